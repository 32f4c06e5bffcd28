// Folds 1x1 depthwise convolutions, which is what batch norm and per-channel scaling are imported
// as, into the convolution before or after them (Jacob et al.,
// "Quantization and Training of Neural Networks", 2018, section 3.2).
#ifndef MPQ_QUANTIZE_PASSES_FOLD_AFFINE_H_
#define MPQ_QUANTIZE_PASSES_FOLD_AFFINE_H_

#include <cstdint>

#include "format/graph.h"

namespace mpq {

// Keeps the function of the float graph. An affine step is folded
//   backward into the convolution that alone feeds it, if that has no activation, or else
//   forward into the convolution that alone reads it, if the step has no activation itself and
//   either shifts nothing or the convolution pads nothing (padding is 0 after the step, not
//   before it).
// Returns how many were folded; the nodes are gone.
uint32_t FoldAffine(Graph& graph);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PASSES_FOLD_AFFINE_H_
