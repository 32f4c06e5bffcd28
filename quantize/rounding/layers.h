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

// Replaces codes and scales of a layer by those of RoundRows (rows.h) for the given real weights,
// ohwi, and inputs. A layer with `shifted` keeps its scales.
Status RoundLayer(const Graph& graph, const Node& node, const InputMoments& moments,
                  std::span<const float> weights, LayerDecision& layer);

// Replaces codes and scales of every layer by those for its effective weights. Deterministic for
// any number of threads.
Status RoundLayers(const Graph& graph, const Equalization& equalization,
                   std::span<const InputMoments> moments, uint32_t threads,
                   const Progress& progress, std::vector<LayerDecision>& layers);

// Sets the scales of every layer such that its outputs vary as much as before rounding
// (MatchVariances, rows.h). Biases no longer fit then. A layer with `shifted` keeps its scales.
Status MatchLayerVariances(const Graph& graph, const Equalization& equalization,
                           std::span<const InputMoments> moments, uint32_t threads,
                           std::vector<LayerDecision>& layers);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ROUNDING_LAYERS_H_
