// Convolutions with gradients through oneDNN's training primitives.
#ifndef MPQ_ENGINE_ONEDNN_DIFFERENTIABLE_CONVOLUTION_H_
#define MPQ_ENGINE_ONEDNN_DIFFERENTIABLE_CONVOLUTION_H_

#include <memory>

#include "engine/core/differentiable_convolution.h"

namespace mpq::onednn {

Result<std::unique_ptr<DifferentiableConvolution>> MakeConvolution(const ConvolutionShape& shape);

}  // namespace mpq::onednn

#endif  // MPQ_ENGINE_ONEDNN_DIFFERENTIABLE_CONVOLUTION_H_
