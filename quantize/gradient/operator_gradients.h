// Gradients of the operators that are no convolutions, as plain loops: they move memory, and it
// moves no faster otherwise. The forward direction is engine/ref's.
#ifndef MPQ_QUANTIZE_GRADIENT_OPERATOR_GRADIENTS_H_
#define MPQ_QUANTIZE_GRADIENT_OPERATOR_GRADIENTS_H_

#include <span>

#include "engine/ref/float_ops.h"
#include "format/graph.h"

namespace mpq {

// Adds dL/dsrc to every d_src, given d_dst = dL/dy for y = the node's result before its clip.
// `src`: the node's operands as they were (a maximum passes its gradient to the first largest value
// of the window, row by row). All views are of the same images.
void AddOperatorGradients(const Node& node, std::span<const ref::FloatView> src,
                          const ref::FloatView& d_dst, std::span<const ref::FloatView> d_src);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_GRADIENT_OPERATOR_GRADIENTS_H_
