// Integer logits are made by a convolution's epilogue, the only one with 16-bit results.
#ifndef MPQ_QUANTIZE_PASSES_END_WITH_CONV_H_
#define MPQ_QUANTIZE_PASSES_END_WITH_CONV_H_

#include "format/graph.h"

namespace mpq {

// If the output is not made by a convolution without activation that nothing else reads, appends a
// 1x1 depthwise convolution that multiplies by 1. Returns whether it did.
bool EndWithConv(Graph& graph);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PASSES_END_WITH_CONV_H_
