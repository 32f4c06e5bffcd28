// PTILMPQ, "post-training intra-layer multi-precision quantisation" (arXiv 2404.02947): important
// channels of important layers get a high width, all others a low one, and every block of channels
// two-region levels, dense in the centre and sparse in the tails (two_region.h). Alpha trades
// accuracy for size. The paper's text could not be had beyond its abstract: how importance is
// measured and what alpha multiplies are reconstructions (selection.h, options.h).
#ifndef MPQ_QUANTIZE_PTILMPQ_METHOD_H_
#define MPQ_QUANTIZE_PTILMPQ_METHOD_H_

#include <memory>

#include "quantize/method.h"

namespace mpq {

// The first and the last layer get the high width, layers that the user named their own. With
// MethodInput::target_bytes alpha is found by bisection: the largest whose file fits.
std::unique_ptr<Method> MakePtilmpqMethod(const MethodOptions& options);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PTILMPQ_METHOD_H_
