#include "quantize/memory_estimate.h"

#include <algorithm>

#include "quantize/calibration.h"
#include "quantize/distillation/distillation.h"
#include "quantize/passes/graph_view.h"
#include "quantize/rounding/input_moments.h"
#include "quantize/rounding/sequential.h"

namespace mpq {

namespace {

// Pages of oneDNN's library and of the code it generates; 10 to 13 MB measured.
constexpr uint64_t kBackendBytes = 16000000;

// Every tensor stays, weights are copied into the backend's layout; the image as floats, one tensor
// packed for reading and one divided by its channels' scales come on top.
uint64_t ExecutorBytes(const Graph& graph) {
  uint64_t values = 0;
  uint64_t largest = 0;
  for (const Tensor& tensor : graph.tensors) {
    values += NumValues(tensor);
    largest = std::max(largest, NumValues(tensor));
  }
  for (const Weights& weights : graph.weights) values += weights.values.size();
  values += NumValues(graph.tensors[graph.input]) + 2 * largest;
  return values * sizeof(float);
}

// Histograms, channel magnitudes and patch sums of one part.
uint64_t StatisticsBytes(const Graph& graph) {
  uint64_t bytes = graph.tensors.size() * 2 * Histogram::kBinsPerSide * sizeof(uint64_t);
  for (const Tensor& tensor : graph.tensors) bytes += tensor.channels * sizeof(float);
  for (const Node& node : graph.nodes) {
    if (!IsConvolution(node)) continue;
    const uint64_t taps = uint64_t{node.window.kernel_h} * node.window.kernel_w;
    bytes += taps * graph.tensors[node.inputs[0]].channels * sizeof(double);
  }
  return bytes;
}

}  // namespace

uint64_t EstimateCalibrationBytes(const Graph& graph, uint32_t num_images, uint32_t threads) {
  const uint64_t image = NumValues(graph.tensors[graph.input]);  // bytes
  const uint64_t logits = graph.tensors[graph.output].channels * sizeof(float);
  const uint64_t executors = std::clamp(threads, 1u, kCalibrationParts);
  return kBackendBytes + num_images * (image + 2 * logits) + executors * ExecutorBytes(graph) +
         kCalibrationParts * StatisticsBytes(graph);
}

uint64_t EstimateRoundingBytes(const Graph& graph, uint32_t num_images, uint32_t num_views,
                               uint32_t threads) {
  // While a layer is rounded: its damped covariance, reordered, its factor; its weights, their
  // errors and the products of both.
  constexpr uint64_t kCopiesOfCovariance = 4;
  constexpr uint64_t kCopiesOfWeights = 6;
  uint64_t scratch = 0;
  for (const Node& node : graph.nodes) {
    if (!IsConvolution(node) || node.kind == OpKind::kDepthwiseConv) continue;
    const Weights& weights = graph.weights[node.weights];
    const uint64_t row = weights.values.size() / weights.out_channels;
    scratch = std::max(scratch, sizeof(float) * (kCopiesOfCovariance * row * row +
                                                 kCopiesOfWeights * weights.values.size()));
  }
  const uint64_t stage = EstimateSequentialBytes(graph, num_images, num_views);
  const uint64_t moments = EstimateMomentBytes(graph, num_images);
  return kBackendBytes + num_images * NumValues(graph.tensors[graph.input]) +
         std::max(threads, 1u) * (ExecutorBytes(graph) + scratch) + std::max(moments, stage);
}

uint64_t EstimateDistillationBytes(const Graph& graph, uint32_t num_images, uint32_t threads) {
  uint64_t values = 0;
  uint64_t largest = 0;
  for (const Tensor& tensor : graph.tensors) {
    values += NumValues(tensor);
    largest = std::max(largest, NumValues(tensor));
  }
  uint64_t weights = 0;
  uint64_t largest_weights = 0;
  for (const Weights& layer : graph.weights) {
    weights += layer.values.size();
    largest_weights = std::max<uint64_t>(largest_weights, layer.values.size());
  }
  // Two layouts, the latent weights and their two moments.
  constexpr uint64_t kCopiesOfWeights = 5;
  // Gradients that live at one time, in tensors of the largest size; the same again for the
  // teacher, and for oneDNN's scratch two layouts of the largest weights.
  constexpr uint64_t kLiveTensors = 4;
  const uint64_t image = values * 5 / 4 + 2 * kLiveTensors * largest;
  const uint64_t thread = kPartImages * image + weights + 2 * largest_weights;
  const uint64_t workers = std::clamp(threads, 1u, kBatchParts);
  return kBackendBytes + num_images * NumValues(graph.tensors[graph.input]) +
         sizeof(float) * ((kCopiesOfWeights + kBatchParts) * weights + workers * thread);
}

}  // namespace mpq
