// Small float graphs with seeded random weights, for the quantiser's tests.
#ifndef MPQ_TESTS_QUANTIZE_GRAPH_BUILDER_H_
#define MPQ_TESTS_QUANTIZE_GRAPH_BUILDER_H_

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/core/float_executor.h"
#include "format/graph.h"
#include "format/message.h"
#include "format/shape.h"
#include "quantize/images.h"

namespace mpq {

inline constexpr float kNoBound = std::numeric_limits<float>::infinity();

class GraphBuilder {
 public:
  GraphBuilder(uint32_t height, uint32_t width, uint32_t channels, uint64_t seed = 1)
      : random_(seed) {
    graph_.input = AddTensor({height, width, channels});
  }

  uint32_t input() const { return graph_.input; }

  uint32_t Conv(uint32_t src, uint32_t out_channels, Window window = {}, uint32_t groups = 1) {
    return AddConvolution(OpKind::kConv, src, out_channels, graph_.tensors[src].channels / groups,
                          window, groups);
  }
  uint32_t Depthwise(uint32_t src, Window window = {}) {
    const uint32_t channels = graph_.tensors[src].channels;
    return AddConvolution(OpKind::kDepthwiseConv, src, channels, 1, window, channels);
  }
  uint32_t Relu(uint32_t src) { return Clip(src, 0, kNoBound); }
  uint32_t Clip(uint32_t src, float lo, float hi) {
    Node node;
    node.kind = OpKind::kClip;
    node.clip_lo = lo;
    node.clip_hi = hi;
    return AddNode(node, {src});
  }
  uint32_t Add(uint32_t a, uint32_t b) {
    Node node;
    node.kind = OpKind::kAdd;
    return AddNode(node, {a, b});
  }
  uint32_t Concat(std::vector<uint32_t> inputs) {
    Node node;
    node.kind = OpKind::kConcat;
    return AddNode(node, std::move(inputs));
  }
  uint32_t Pool(OpKind kind, uint32_t src, Window window, bool count_include_pad = false) {
    Node node;
    node.kind = kind;
    node.window = window;
    node.count_include_pad = count_include_pad;
    return AddNode(node, {src});
  }
  uint32_t GlobalAvgPool(uint32_t src) {
    Node node;
    node.kind = OpKind::kGlobalAvgPool;
    return AddNode(node, {src});
  }
  uint32_t SlicePad(uint32_t src, uint32_t stride, uint32_t before, uint32_t after) {
    Node node;
    node.kind = OpKind::kSlicePad;
    node.window.stride_h = node.window.stride_w = stride;
    node.channels_before = before;
    node.channels_after = after;
    return AddNode(node, {src});
  }
  // The last dense layer: a convolution over all that is left.
  uint32_t Dense(uint32_t src, uint32_t classes) {
    Window window;
    window.kernel_h = graph_.tensors[src].height;
    window.kernel_w = graph_.tensors[src].width;
    return Conv(src, classes, window);
  }

  Graph Finish(uint32_t output) {
    graph_.output = output;
    return std::move(graph_);
  }

  std::mt19937_64& random() { return random_; }
  Weights& last_weights() { return graph_.weights.back(); }

 private:
  uint32_t AddTensor(Shape shape) {
    Tensor tensor;
    tensor.name = Message("t", graph_.tensors.size());
    tensor.height = shape.height;
    tensor.width = shape.width;
    tensor.channels = shape.channels;
    graph_.tensors.push_back(tensor);
    return static_cast<uint32_t>(graph_.tensors.size() - 1);
  }

  uint32_t AddNode(Node node, std::vector<uint32_t> inputs) {
    std::vector<Shape> shapes;
    for (const uint32_t t : inputs) {
      const Tensor& tensor = graph_.tensors[t];
      shapes.push_back({tensor.height, tensor.width, tensor.channels});
    }
    node.inputs = std::move(inputs);
    const Result<Shape> shape = OutputShape(graph_, node, shapes);
    REQUIRE_MESSAGE(shape.ok(), shape.status().message());
    node.name = Message(OpKindName(node.kind), graph_.nodes.size());
    node.output = AddTensor(*shape);
    graph_.nodes.push_back(node);
    return node.output;
  }

  uint32_t AddConvolution(OpKind kind, uint32_t src, uint32_t out_channels, uint32_t in_channels,
                          Window window, uint32_t groups) {
    Weights weights;
    weights.out_channels = out_channels;
    weights.kernel_h = window.kernel_h;
    weights.kernel_w = window.kernel_w;
    weights.in_channels = in_channels;
    const size_t row = size_t{window.kernel_h} * window.kernel_w * in_channels;
    std::normal_distribution<float> normal(0, 1.0f / std::sqrt(static_cast<float>(row)));
    std::vector<float> values(out_channels * row);
    for (float& v : values) v = normal(random_);
    std::vector<float> bias(out_channels);
    for (float& b : bias) b = 0.2f * std::normal_distribution<float>()(random_);
    weights.values = std::move(values);
    weights.bias = std::move(bias);
    graph_.weights.push_back(std::move(weights));
    Node node;
    node.kind = kind;
    node.window = window;
    node.groups = groups;
    node.weights = static_cast<uint32_t>(graph_.weights.size() - 1);
    return AddNode(node, {src});
  }

  Graph graph_;
  std::mt19937_64 random_;
};

inline Window SquareWindow(uint32_t kernel, uint32_t stride = 1, uint32_t pad = 0) {
  Window window;
  window.kernel_h = window.kernel_w = kernel;
  window.stride_h = window.stride_w = stride;
  window.pad_top = window.pad_left = window.pad_bottom = window.pad_right = pad;
  return window;
}

// The graph's result for `src` by the scalar reference.
inline std::vector<float> RunReference(const Graph& graph, std::span<const float> src) {
  auto executor = MakeRefFloatExecutor(graph, {});
  REQUIRE_MESSAGE(executor.ok(), executor.status().message());
  const Status run = (*executor)->Run(src);
  REQUIRE_MESSAGE(run.ok(), run.message());
  const auto result = (*executor)->Read(graph.output);
  REQUIRE(result.ok());
  return std::vector<float>(result->begin(), result->end());
}

inline std::vector<float> RandomInput(const Graph& graph, uint64_t seed) {
  const Tensor& input = graph.tensors[graph.input];
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> src(size_t{input.height} * input.width * input.channels);
  for (float& x : src) x = normal(random);
  return src;
}

// Pixels with smooth structure: sums of a few waves, so that tensors look like those of
// photographs.
inline CalibrationImages RandomImages(uint32_t count, uint32_t height, uint32_t width,
                                      uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  CalibrationImages images{count, height, width, {}};
  images.pixels.reserve(count * images.image_bytes());
  for (uint32_t i = 0; i < count; ++i) {
    double wave[3][3];
    for (auto& w : wave) {
      for (double& v : w) v = uniform(random);
    }
    for (uint32_t y = 0; y < height; ++y) {
      for (uint32_t x = 0; x < width; ++x) {
        for (int c = 0; c < 3; ++c) {
          const double phase = wave[c][0] * 7 + wave[c][1] * y + wave[c][2] * x;
          const double value = 127 + 90 * std::sin(phase) + 30 * (uniform(random) - 0.5);
          images.pixels.push_back(static_cast<uint8_t>(std::clamp(value, 0.0, 255.0)));
        }
      }
    }
  }
  return images;
}

}  // namespace mpq

#endif  // MPQ_TESTS_QUANTIZE_GRAPH_BUILDER_H_
