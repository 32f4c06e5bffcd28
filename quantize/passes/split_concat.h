// Concat's operands share one scale and zero point in integer graphs. The graph's input cannot: its
// scale is that of pixels.
#ifndef MPQ_QUANTIZE_PASSES_SPLIT_CONCAT_H_
#define MPQ_QUANTIZE_PASSES_SPLIT_CONCAT_H_

#include <cstdint>

#include "format/graph.h"

namespace mpq {

// Puts a kClip without bounds, which lowering makes a requantising copy, before every Concat
// operand that is tied to the graph's input. Keeps the function of the float graph. Returns how
// many.
uint32_t SplitConcat(Graph& graph);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PASSES_SPLIT_CONCAT_H_
