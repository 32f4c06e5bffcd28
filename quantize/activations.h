// Scale and zero point of every activation tensor.
#ifndef MPQ_QUANTIZE_ACTIVATIONS_H_
#define MPQ_QUANTIZE_ACTIVATIONS_H_

#include <cstdint>
#include <vector>

#include "format/graph.h"
#include "format/model_data.h"
#include "quantize/activation_range.h"
#include "quantize/calibration.h"
#include "quantize/decisions.h"

namespace mpq {

// The group of each tensor, named by its smallest member: operators that only move or select codes
// (MaxPool, SlicePad, Concat) tie their operands and results to one scale and zero point.
std::vector<uint32_t> SharingGroups(const Graph& graph);

// The graph's input: every pixel value of every channel has a code, 0 has one too.
ActivationRange InputRange(const Preprocessing& preprocessing);

// All tensors, from what calibration saw. The input keeps 8 bits.
std::vector<ActivationDecision> DecideActivations(const Graph& graph,
                                                  const Preprocessing& preprocessing,
                                                  const Calibration& calibration, int bits,
                                                  RangeMethod method);

// The scale of 16-bit logits: the largest that calibration saw takes kLogitSteps.
float LogitScale(const Calibration& calibration);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ACTIVATIONS_H_
