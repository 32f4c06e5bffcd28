// Which additions become part of the convolution before them, as its residual: the quantiser's
// decision, which stands in the file. Fused, a sum is rounded once, and the convolution's own
// output is never stored.
#ifndef MPQ_QUANTIZE_RESIDUALS_H_
#define MPQ_QUANTIZE_RESIDUALS_H_

#include <cstdint>
#include <vector>

#include "format/graph.h"
#include "quantize/decisions.h"

namespace mpq {

// Per node of the float graph: the addition that a convolution takes in, or kNone.
//
// The convolution is one that only the addition reads, without an activation in between and with
// multipliers (not shifts) for requantisation. Where requantisation saturates it, no residual may
// bring the sum back, and the residual's scale must be what its multiplier can say (requantize.h).
// Of two convolutions the later takes in the addition, so that no tensor lives longer.
std::vector<uint32_t> ChooseResiduals(const Graph& graph, const Decisions& decisions);

// The operand of `addition` that is not `tensor`.
uint32_t OtherOperand(const Node& addition, uint32_t tensor);

// The multiplier of a residual (requantize.h); may be beyond kMaxResidualMultiplier.
int32_t ResidualMultiplier(const ActivationDecision& residual, const ActivationDecision& sum);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_RESIDUALS_H_
