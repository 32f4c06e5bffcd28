// What the inputs of every convolution look like to second order: the covariance of its im2col
// columns. The error that rounding weights w to w' makes in an output, its mean left to the bias,
// is (w - w') C (w - w')^T on average: C is the Hessian of layer-wise quantisation (OBQ, GPTQ).
//
// The covariance, not E[x x^T]: the mean error of an output is made up for exactly by its bias
// (bias_correction.h), so rounding need not care for it.
#ifndef MPQ_QUANTIZE_ROUNDING_INPUT_MOMENTS_H_
#define MPQ_QUANTIZE_ROUNDING_INPUT_MOMENTS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "format/graph.h"
#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/images.h"
#include "quantize/passes/equalize.h"
#include "quantize/progress.h"

namespace mpq {

// Of one convolution: one matrix per group (one per channel of a depthwise convolution). Rows and
// columns in the order of a weight row: [kernel_h][kernel_w][in_channels of the group].
struct InputMoments {
  uint32_t groups = 0;
  uint32_t size = 0;
  std::vector<float> covariance;  // [groups][size][size], both triangles

  std::span<const float> group(uint32_t index) const {
    const size_t count = size_t{size} * size;
    return std::span(covariance).subspan(index * count, count);
  }
  std::span<float> group(uint32_t index) {
    const size_t count = size_t{size} * size;
    return std::span(covariance).subspan(index * count, count);
  }
};

// Per node of the float graph, empty for nodes that are no convolutions. Values are equalised ones.
// Output positions are sampled (patch_sampler.h), the same for the same seed. Deterministic for any
// number of threads: images run in parallel, but each matrix sums them in order.
Result<std::vector<InputMoments>> MeasureInputMoments(
    const Graph& graph, const Preprocessing& preprocessing, const CalibrationImages& images,
    const Equalization& equalization, uint64_t seed, uint32_t threads, const Progress& progress);

// Bytes that the matrices and the samples on their way take.
uint64_t EstimateMomentBytes(const Graph& graph, uint32_t num_images);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ROUNDING_INPUT_MOMENTS_H_
