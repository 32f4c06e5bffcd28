// From the float graph and the decisions to the integer graph: the only place where real numbers
// become the engine's integers (format/requantize.h says what these mean).
#ifndef MPQ_QUANTIZE_LOWER_H_
#define MPQ_QUANTIZE_LOWER_H_

#include <cstdint>
#include <vector>

#include "format/graph.h"
#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/decisions.h"

namespace mpq {

struct LoweredGraph {
  Graph graph;
  // Of each float tensor the integer one; kNone where it is never stored, because a convolution
  // takes in the addition that reads it (residuals.h).
  std::vector<uint32_t> tensors;
};

// The float graph must end with a convolution (EndWithConv), whose result becomes the kS16 logits.
Result<LoweredGraph> LowerGraph(const Graph& graph, const Decisions& decisions);

struct LoweredModel {
  ModelData data;
  std::vector<uint32_t> tensors;  // as LoweredGraph's
};

// The integer model: graph, input codes, and the float model's preprocessing, labels, provenance.
Result<LoweredModel> LowerModel(const ModelData& float_model, const Decisions& decisions);

// The codes of all pixel values: [3][256] in the graph's channel order.
std::vector<uint8_t> MakeInputCodes(const Preprocessing& preprocessing,
                                    const ActivationDecision& input);

// Two multipliers within int16 and a shift in 1..30: factor = multiplier / 2^shift (kAdd, kClip).
struct SharedShift {
  int32_t multiplier[2] = {0, 0};
  uint8_t shift = 1;
};
SharedShift ChooseAddMultipliers(double factor_a, double factor_b);

// multiplier / 2^shift nearest to factor, multiplier below 2^24 (pools).
SharedShift ChoosePoolMultiplier(double factor);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_LOWER_H_
