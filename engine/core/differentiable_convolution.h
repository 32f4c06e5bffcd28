// A float convolution with its gradients: what training needs beyond a FloatExecutor. There is one
// implementation, in the oneDNN module; all other operators are loops in quantize/gradient.
#ifndef MPQ_ENGINE_CORE_DIFFERENTIABLE_CONVOLUTION_H_
#define MPQ_ENGINE_CORE_DIFFERENTIABLE_CONVOLUTION_H_

#include <cstddef>
#include <memory>

#include "format/graph.h"
#include "format/shape.h"
#include "mpq/status.h"

namespace mpq {

// All tensors are packed NHWC floats of `batch` images. The weights are ohwi,
// [out_channels][kernel_h][kernel_w][in_channels / groups], as in Weights.
struct ConvolutionShape {
  uint32_t batch = 1;
  Shape src, dst;
  Window window;
  uint32_t groups = 1;  // depthwise: src.channels

  size_t num_weights() const {
    return size_t{dst.channels} * window.kernel_h * window.kernel_w * (src.channels / groups);
  }
};

// y = w * x + b. With L a function of y and dy its gradient dL/dy:
//   dx = dy *^T w   db[o] = sum over images and positions of dy[o]
//   dw[o][i][j][c] = sum over images and positions (h, w) of
//                    dy[h][w][o] x[h stride_h + i dilation_h - pad_top][w ...][c]
//
// Weights are kept in the backend's own layouts and shared by all threads. Forward and Backward may
// run in several threads at once, each with scratch of its own; each call is single-threaded and
// gives the same bits for the same arguments.
class DifferentiableConvolution {
 public:
  virtual ~DifferentiableConvolution() = default;

  // Bytes of the scratch that a call needs; aligned to 64.
  virtual size_t scratch_bytes() const = 0;
  // Bytes of the weights in the backend's layouts.
  virtual size_t weight_bytes() const = 0;
  // Takes copies. Not while another call runs.
  virtual Status SetWeights(const float* weights, const float* bias) = 0;
  // Writes dst, without any activation.
  virtual Status Forward(const float* src, float* dst, void* scratch) const = 0;
  // Writes (does not add to) the gradients; d_src may be null, which saves a third of the work.
  virtual Status Backward(const float* src, const float* d_dst, float* d_src, float* d_weights,
                          float* d_bias, void* scratch) const = 0;
};

// kUnsupported without oneDNN's module, and where FloatIsaName() is "scalar".
Result<std::unique_ptr<DifferentiableConvolution>> MakeDifferentiableConvolution(
    const ConvolutionShape& shape);

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_DIFFERENTIABLE_CONVOLUTION_H_
