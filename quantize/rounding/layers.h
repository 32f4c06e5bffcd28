// Rounds the weights of whole layers, whatever method chose their bits, level sets and scales.
#ifndef MPQ_QUANTIZE_ROUNDING_LAYERS_H_
#define MPQ_QUANTIZE_ROUNDING_LAYERS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/graph.h"
#include "mpq/status.h"
#include "quantize/decisions.h"
#include "quantize/progress.h"
#include "quantize/rounding/input_moments.h"

namespace mpq {

// Replaces codes and scales of every layer by those of RoundRows (rows.h). Layers with `shifted`
// keep their scales. Deterministic for any number of threads.
Status RoundLayers(const Graph& graph, const Equalization& equalization,
                   std::span<const InputMoments> moments, uint32_t threads,
                   const Progress& progress, std::vector<LayerDecision>& layers);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ROUNDING_LAYERS_H_
