// What each ONNX operator, and each habit of the exporters, becomes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "tests/import/onnx_builder.h"

namespace mpq {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Graph ImportOrFail(const OnnxBuilder& builder) {
  Result<ImportedModel> model = builder.Import();
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  return std::move(model->graph);
}

// A test image, [h][w][3] as the engine takes it, and the same in ONNX's order.
struct TestImage {
  int64_t height, width;
  std::vector<float> nhwc;

  TestImage(int64_t h, int64_t w) : height(h), width(w) {
    for (int64_t i = 0; i < h * w * 3; ++i) {
      nhwc.push_back(static_cast<float>((i * 37 + 11) % 64) / 16 - 2);  // exact in float
    }
  }
  float at(int64_t c, int64_t h, int64_t w) const {
    return nhwc[static_cast<size_t>((h * width + w) * 3 + c)];
  }
  // Elements in the order c, h, w.
  std::vector<float> Nchw() const {
    std::vector<float> out;
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t h = 0; h < height; ++h) {
        for (int64_t w = 0; w < width; ++w) out.push_back(at(c, h, w));
      }
    }
    return out;
  }
};

void CheckClose(const std::vector<float>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-5));
  }
}

// Dot products of `flat` with `outputs` rows of a matrix of 0.01, 0.02, ..., stored [outputs][k].
std::vector<double> CountingDense(const std::vector<float>& flat, size_t outputs) {
  std::vector<double> y(outputs, 0);
  for (size_t o = 0; o < outputs; ++o) {
    for (size_t k = 0; k < flat.size(); ++k) {
      y[o] += flat[k] * static_cast<double>(0.01f * static_cast<float>(o * flat.size() + k + 1));
    }
  }
  return y;
}

// --- Dense layers and the order of what they flatten. ---

TEST_CASE("Flatten and Gemm read pixels in ONNX's order") {
  const TestImage image(3, 2);
  for (const int64_t batch : {-1, 1, 4}) {
    OnnxBuilder b({batch, 3, 3, 2});
    b.Counting("w", {2, 18});
    b.Floats("c", {2}, {10, 20});
    b.Node("Flatten", {"x"}, {"f"});
    b.Node("Gemm", {"f", "w", "c"}, {"y"}).Int("transB", 1);
    const Graph graph = ImportOrFail(b);
    CHECK(OpList(graph) == "Conv");
    CHECK(graph.nodes[0].window.kernel_h == 3);
    CHECK(graph.nodes[0].window.kernel_w == 2);
    std::vector<double> expected = CountingDense(image.Nchw(), 2);
    expected[0] += 10;
    expected[1] += 20;
    CheckClose(RunGraph(graph, image.nhwc), expected);
  }
}

TEST_CASE("Gemm applies alpha, beta and a scalar bias") {
  const TestImage image(2, 2);
  OnnxBuilder b({-1, 3, 2, 2});
  b.Floats("w", {12, 1}, std::vector<float>(12, 1.0f));
  b.Floats("c", {}, {3});
  b.Node("Flatten", {"x"}, {"f"});
  b.Node("Gemm", {"f", "w", "c"}, {"y"}).Float("alpha", 0.5f).Float("beta", 2.0f);
  double sum = 0;
  for (const float v : image.nhwc) sum += v;
  CheckClose(RunGraph(ImportOrFail(b), image.nhwc), {0.5 * sum + 6});
}

TEST_CASE("MatMul and Add are one convolution with bias") {
  const TestImage image(2, 3);
  for (const bool constant_first : {false, true}) {
    OnnxBuilder b({-1, 3, 2, 3});
    b.Counting("w", {18, 1});
    b.Floats("c", {1}, {7});
    b.Int64s("shape", {2}, {-1, 18});
    b.Node("Reshape", {"x", "shape"}, {"f"});
    b.Node("MatMul", {"f", "w"}, {"m"});
    b.Node("Add", constant_first ? Names{"c", "m"} : Names{"m", "c"}, {"y"});
    const Graph graph = ImportOrFail(b);
    CHECK(OpList(graph) == "Conv");
    std::vector<double> expected = CountingDense(image.Nchw(), 1);
    expected[0] += 7;
    CheckClose(RunGraph(graph, image.nhwc), expected);
  }
}

TEST_CASE("a bias is not added to a convolution that others read, too") {
  OnnxBuilder b({-1, 3, 2, 2});
  b.Counting("w", {3, 3, 1, 1});
  b.Floats("c", {3, 1, 1}, {1, 2, 3});
  b.Node("Conv", {"x", "w"}, {"conv"});
  b.Node("Add", {"conv", "c"}, {"shifted"});
  b.Node("Add", {"conv", "shifted"}, {"sum"});
  b.PoolToOutput("sum");
  CHECK(OpList(ImportOrFail(b)) == "Conv DepthwiseConv Add GlobalAvgPool");
}

TEST_CASE("Transpose before a dense layer changes the order of its weights") {
  const TestImage image(2, 3);
  OnnxBuilder b({-1, 3, 2, 3});
  b.Counting("w", {2, 18});
  b.Node("Transpose", {"x"}, {"t"}).List("perm", {0, 2, 3, 1});
  b.Node("Flatten", {"t"}, {"f"});
  b.Node("Gemm", {"f", "w"}, {"y"}).Int("transB", 1);
  CheckClose(RunGraph(ImportOrFail(b), image.nhwc), CountingDense(image.nhwc, 2));
}

TEST_CASE("views of one pixel in every spelling") {
  const std::vector<std::function<void(OnnxBuilder&)>> spellings = {
      [](OnnxBuilder& b) { b.Node("Flatten", {"g"}, {"f"}); },
      [](OnnxBuilder& b) { b.Node("Flatten", {"g"}, {"f"}).Int("axis", -3); },
      [](OnnxBuilder& b) {
        b.Int64s("s", {2}, {0, -1});
        b.Node("Reshape", {"g", "s"}, {"f"});
      },
      [](OnnxBuilder& b) {
        b.Int64s("s", {2}, {2, 3});
        b.Node("Squeeze", {"g", "s"}, {"f"});
      },
      [](OnnxBuilder& b) { b.Node("Squeeze", {"g"}, {"f"}); },
      [](OnnxBuilder& b) {
        b.Int64s("s", {1}, {-1});
        b.Node("Squeeze", {"g", "s"}, {"g3"});
        b.Node("Flatten", {"g3"}, {"f0"});
        b.Int64s("u", {2}, {2, 3});
        b.Node("Unsqueeze", {"f0", "u"}, {"f4"});
        b.Node("Identity", {"f4"}, {"f5"});
        b.Node("Dropout", {"f5"}, {"f6"});
        b.Node("Flatten", {"f6"}, {"f"});
      },
  };
  for (size_t i = 0; i < spellings.size(); ++i) {
    CAPTURE(i);
    OnnxBuilder b({-1, 3, 4, 4});
    b.Node("GlobalAveragePool", {"x"}, {"g"});
    spellings[i](b);
    b.Counting("w", {3, 5});
    b.Node("MatMul", {"f", "w"}, {"y"});
    CHECK(OpList(ImportOrFail(b)) == "GlobalAvgPool Conv");
  }
}

TEST_CASE("MatMul over the channels of an NHWC image is a 1x1 convolution") {
  OnnxBuilder b({-1, 4, 5, 3});
  b.Counting("w", {3, 7});
  b.Node("MatMul", {"x", "w"}, {"m"});
  b.Node("ReduceMean", {"m"}, {"y"}).List("axes", {1, 2}).Int("keepdims", 0);
  const Graph graph = ImportOrFail(b);
  CHECK(OpList(graph) == "Conv GlobalAvgPool");
  CHECK(graph.tensors[graph.nodes[0].output].height == 4);
  CHECK(graph.tensors[graph.nodes[0].output].width == 5);
}

// --- Convolutions. ---

TEST_CASE("Conv: weights become ohwi, attributes the window") {
  OnnxBuilder b({-1, 3, 9, 8});
  b.Counting("w", {2, 3, 2, 3}, 1.0f);
  b.Node("Conv", {"x", "w"}, {"c"})
      .List("strides", {2, 1})
      .List("dilations", {1, 2})
      .List("pads", {1, 2, 3, 4})
      .List("kernel_shape", {2, 3});
  b.PoolToOutput("c");
  const Graph graph = ImportOrFail(b);
  const Node& conv = graph.nodes[0];
  CHECK(conv.kind == OpKind::kConv);
  const Window expected{.kernel_h = 2,
                        .kernel_w = 3,
                        .stride_h = 2,
                        .stride_w = 1,
                        .dilation_h = 1,
                        .dilation_w = 2,
                        .pad_top = 1,
                        .pad_left = 2,
                        .pad_bottom = 3,
                        .pad_right = 4,
                        .ceil_mode = false};
  CHECK(conv.window == expected);
  const Weights& weights = graph.weights[conv.weights];
  CHECK(weights.bias.ToVector() == std::vector<float>{0, 0});
  for (size_t o = 0; o < 2; ++o) {
    for (size_t p = 0; p < 6; ++p) {
      for (size_t i = 0; i < 3; ++i) {
        CHECK(weights.values[(o * 6 + p) * 3 + i] == static_cast<float>((o * 3 + i) * 6 + p + 1));
      }
    }
  }
}

TEST_CASE("Conv: groups") {
  struct Case {
    int64_t groups, outputs;
    OpKind kind;
  };
  for (const Case& c :
       {Case{1, 6, OpKind::kConv}, Case{3, 3, OpKind::kDepthwiseConv}, Case{3, 6, OpKind::kConv}}) {
    OnnxBuilder b({-1, 3, 5, 5});
    b.Counting("w", {c.outputs, 3 / c.groups, 3, 3});
    b.Node("Conv", {"x", "w"}, {"c"}).Int("group", c.groups);
    b.PoolToOutput("c");
    const Graph graph = ImportOrFail(b);
    CHECK(graph.nodes[0].kind == c.kind);
    CHECK(graph.nodes[0].groups == c.groups);
  }
}

TEST_CASE("auto_pad: SAME_UPPER, SAME_LOWER, VALID") {
  struct Case {
    const char* mode;
    uint32_t begin, end, out;
  };
  for (const Case& c :
       {Case{"SAME_UPPER", 0, 1, 4}, Case{"SAME_LOWER", 1, 0, 4}, Case{"VALID", 0, 0, 3}}) {
    CAPTURE(c.mode);
    OnnxBuilder b({-1, 3, 8, 8});
    b.Counting("w", {4, 3, 3, 3});
    b.Node("Conv", {"x", "w"}, {"c"}).List("strides", {2, 2}).Text("auto_pad", c.mode);
    b.PoolToOutput("c");
    const Graph graph = ImportOrFail(b);
    const Window& window = graph.nodes[0].window;
    CHECK(window.pad_top == c.begin);
    CHECK(window.pad_bottom == c.end);
    CHECK(window.pad_left == c.begin);
    CHECK(window.pad_right == c.end);
    CHECK(graph.tensors[graph.nodes[0].output].height == c.out);
  }
}

TEST_CASE("BatchNormalization is a 1x1 depthwise convolution") {
  const TestImage image(1, 1);
  OnnxBuilder b({-1, 3, 1, 1});
  b.Floats("gamma", {3}, {1, 2, 3});
  b.Floats("beta", {3}, {10, 20, 30});
  b.Floats("mean", {3}, {0.5f, 1, 2});
  b.Floats("var", {3}, {3, 8, 15});
  b.Node("BatchNormalization", {"x", "gamma", "beta", "mean", "var"}, {"n"}).Float("epsilon", 1);
  b.PoolToOutput("n");
  const Graph graph = ImportOrFail(b);
  CHECK(OpList(graph) == "DepthwiseConv GlobalAvgPool");
  CHECK(graph.nodes[0].groups == 3);
  CheckClose(RunGraph(graph, image.nhwc),
             {(image.nhwc[0] - 0.5) / 2 + 10, (image.nhwc[1] - 1.0) * 2 / 3 + 20,
              (image.nhwc[2] - 2.0) * 3 / 4 + 30});
}

// --- Pads and strided slices. ---

TEST_CASE("Pad before Conv becomes the convolution's padding") {
  OnnxBuilder b({-1, 3, 8, 8});
  b.Counting("w", {4, 3, 3, 3});
  b.Int64s("pads", {8}, {0, 0, 1, 2, 0, 0, 3, 4});
  b.Node("Pad", {"x", "pads"}, {"p"});
  b.Node("Conv", {"p", "w"}, {"c"}).List("pads", {1, 0, 0, 1});
  b.Node("Conv", {"p", "w"}, {"d"}).List("pads", {1, 0, 0, 1});
  b.Node("Add", {"c", "d"}, {"s"});
  b.PoolToOutput("s");
  const Graph graph = ImportOrFail(b);
  CHECK(OpList(graph) == "Conv Conv Add GlobalAvgPool");
  for (const size_t i : {0, 1}) {
    const Window& window = graph.nodes[i].window;
    CHECK(window.pad_top == 2);
    CHECK(window.pad_left == 2);
    CHECK(window.pad_bottom == 3);
    CHECK(window.pad_right == 5);
  }
}

TEST_CASE("Pad by attribute and by axes") {
  for (const int64_t opset : {9, 18}) {
    OnnxBuilder b({-1, 3, 8, 8}, opset);
    b.Counting("w", {4, 3, 3, 3});
    if (opset == 9) {
      b.Node("Pad", {"x"}, {"p"}).List("pads", {0, 0, 1, 2, 0, 0, 3, 4}).Text("mode", "constant");
    } else {
      b.Int64s("pads", {4}, {2, 1, 4, 3});
      b.Int64s("axes", {2}, {-1, 2});
      b.Node("Pad", {"x", "pads", "", "axes"}, {"p"});
    }
    b.Node("Conv", {"p", "w"}, {"c"});
    b.PoolToOutput("c");
    const Graph graph = ImportOrFail(b);
    CHECK(OpList(graph) == "Conv GlobalAvgPool");
    CHECK(graph.nodes[0].window.pad_left == 2);
    CHECK(graph.nodes[0].window.pad_bottom == 3);
  }
}

TEST_CASE("Pad before MaxPool: zeros only where nothing is negative") {
  struct Case {
    bool relu;
    float value;
    const char* ops;
  };
  for (const Case& c : {Case{true, 0, "Clip MaxPool GlobalAvgPool"},
                        Case{false, 0, "SlicePad MaxPool GlobalAvgPool"},
                        Case{false, -kInfinity, "MaxPool GlobalAvgPool"}}) {
    CAPTURE(c.ops);
    OnnxBuilder b({-1, 3, 8, 8});
    b.Int64s("pads", {8}, {0, 0, 1, 1, 0, 0, 1, 1});
    b.Floats("value", {}, {c.value});
    if (c.relu) b.Node("Relu", {"x"}, {"r"});
    b.Node("Pad", {c.relu ? "r" : "x", "pads", "value"}, {"p"});
    b.Node("MaxPool", {"p"}, {"m"}).List("kernel_shape", {3, 3}).List("strides", {2, 2});
    b.PoolToOutput("m");
    CHECK(OpList(ImportOrFail(b)) == c.ops);
  }
}

TEST_CASE("Pad before AveragePool counts as pixels") {
  for (const bool own_pads : {false, true}) {
    OnnxBuilder b({-1, 3, 4, 4});
    b.Int64s("pads", {8}, {0, 0, 1, 1, 0, 0, 1, 1});
    b.Node("Pad", {"x", "pads"}, {"p"});
    const int64_t pad = own_pads ? 1 : 0;
    b.Node("AveragePool", {"p"}, {"a"})
        .List("kernel_shape", {3, 3})
        .List("pads", {pad, pad, pad, pad});
    b.PoolToOutput("a");
    const Graph graph = ImportOrFail(b);
    if (own_pads) {  // those are not counted, the others are: no single window says that
      CHECK(OpList(graph) == "SlicePad AvgPool GlobalAvgPool");
      CHECK_FALSE(graph.nodes[1].count_include_pad);
    } else {
      CHECK(OpList(graph) == "AvgPool GlobalAvgPool");
      CHECK(graph.nodes[0].count_include_pad);
    }
  }
}

TEST_CASE("shortcut of CIFAR ResNets: strided slices and a channel pad are one node") {
  const TestImage image(4, 4);
  OnnxBuilder b({-1, 3, 4, 4});
  b.Int64s("zero", {1}, {0});
  b.Int64s("end", {1}, {std::numeric_limits<int64_t>::max()});
  b.Int64s("two", {1}, {2});
  b.Int64s("h", {1}, {2});
  b.Int64s("w", {1}, {3});
  b.Int64s("pads", {8}, {0, 2, 0, 0, 0, 1, 0, 0});
  b.Node("Slice", {"x", "zero", "end", "h", "two"}, {"sh"});
  b.Node("Slice", {"sh", "zero", "end", "w", "two"}, {"sw"});
  b.Node("Pad", {"sw", "pads"}, {"p"});
  b.PoolToOutput("p");
  const Graph graph = ImportOrFail(b);
  CHECK(OpList(graph) == "SlicePad GlobalAvgPool");
  const Node& node = graph.nodes[0];
  CHECK(node.window.stride_h == 2);
  CHECK(node.window.stride_w == 2);
  CHECK(node.channels_before == 2);
  CHECK(node.channels_after == 1);
  std::vector<double> expected = {0, 0, 0, 0, 0, 0};
  for (int64_t c = 0; c < 3; ++c) {
    double sum = 0;
    for (const int64_t h : {0, 2}) {
      for (const int64_t w : {0, 2}) sum += image.at(c, h, w);
    }
    expected[static_cast<size_t>(c) + 2] = sum / 4;
  }
  CheckClose(RunGraph(graph, image.nhwc), expected);
}

// --- Pools. ---

TEST_CASE("pools: padding, ceil_mode, count_include_pad") {
  OnnxBuilder b({-1, 3, 8, 8});
  b.Node("MaxPool", {"x"}, {"m"})
      .List("kernel_shape", {3, 3})
      .List("strides", {2, 2})
      .List("pads", {0, 0, 1, 1})
      .Int("ceil_mode", 1);
  b.Node("AveragePool", {"m"}, {"a"})
      .List("kernel_shape", {2, 2})
      .List("pads", {1, 1, 1, 1})
      .Int("count_include_pad", 1);
  b.PoolToOutput("a");
  const Graph graph = ImportOrFail(b);
  CHECK(OpList(graph) == "MaxPool AvgPool GlobalAvgPool");
  CHECK(graph.nodes[0].window.ceil_mode);
  CHECK(graph.tensors[graph.nodes[0].output].height == 4);
  CHECK(graph.nodes[1].count_include_pad);
  CHECK_FALSE(graph.nodes[1].window.ceil_mode);
}

TEST_CASE("reductions over height and width are global pools") {
  struct Case {
    const char* op;
    int64_t opset, keep;
    const char* kind;
  };
  for (const Case& c :
       {Case{"ReduceMean", 13, 0, "GlobalAvgPool"}, Case{"ReduceMean", 13, 1, "GlobalAvgPool"},
        Case{"ReduceMean", 18, 0, "GlobalAvgPool"}, Case{"ReduceMax", 13, 1, "MaxPool"}}) {
    CAPTURE(c.op);
    CAPTURE(c.opset);
    OnnxBuilder b({-1, 3, 4, 6}, c.opset);
    NodeBuilder node = [&] {
      if (c.opset < 18) return b.Node(c.op, {"x"}, {"r"}).List("axes", {-1, 2});
      b.Int64s("axes", {2}, {2, 3});
      return b.Node(c.op, {"x", "axes"}, {"r"});
    }();
    node.Int("keepdims", c.keep);
    b.Node("Flatten", {"r"}, {"y"});
    const Graph graph = ImportOrFail(b);
    CHECK(OpList(graph) == c.kind);
    CHECK(graph.tensors[graph.output].channels == 3);
  }
}

TEST_CASE("GlobalMaxPool is a pool over the whole image") {
  OnnxBuilder b({-1, 3, 4, 6});
  b.Node("GlobalMaxPool", {"x"}, {"g"});
  b.Node("Flatten", {"g"}, {"y"});
  const Graph graph = ImportOrFail(b);
  CHECK(OpList(graph) == "MaxPool");
  CHECK(graph.nodes[0].window.kernel_h == 4);
  CHECK(graph.nodes[0].window.kernel_w == 6);
}

// --- Element-wise. ---

TEST_CASE("Relu, Clip, Min and Max are clips") {
  struct Case {
    const char* op;
    int64_t opset;
    Names inputs;
    float lo, hi;
  };
  for (const Case& c :
       {Case{"Relu", 13, {"x"}, 0, kInfinity}, Case{"Clip", 13, {"x", "zero", "six"}, 0, 6},
        Case{"Clip", 13, {"x", "", "six"}, -kInfinity, 6}, Case{"Clip", 9, {"x"}, 0, 6},
        Case{"Min", 13, {"x", "six"}, -kInfinity, 6},
        Case{"Max", 13, {"zero", "x"}, 0, kInfinity}}) {
    CAPTURE(c.op);
    OnnxBuilder b({-1, 3, 2, 2}, c.opset);
    b.Floats("zero", {}, {0});
    b.Floats("six", {1}, {6});
    NodeBuilder node = b.Node(c.op, c.inputs, {"c"});
    if (c.opset == 9) node.Float("min", 0).Float("max", 6);
    b.PoolToOutput("c");
    const Graph graph = ImportOrFail(b);
    CHECK(OpList(graph) == "Clip GlobalAvgPool");
    CHECK(graph.nodes[0].clip_lo == c.lo);
    CHECK(graph.nodes[0].clip_hi == c.hi);
  }
}

TEST_CASE("arithmetic with constants is a scale and a bias per channel") {
  const TestImage image(1, 1);
  struct Case {
    const char* op;
    Names inputs;
    std::function<double(double, double)> function;
  };
  for (const Case& c : {Case{"Add", {"x", "c"}, [](double x, double v) { return x + v; }},
                        Case{"Add", {"c", "x"}, [](double x, double v) { return x + v; }},
                        Case{"Sub", {"x", "c"}, [](double x, double v) { return x - v; }},
                        Case{"Sub", {"c", "x"}, [](double x, double v) { return v - x; }},
                        Case{"Mul", {"x", "c"}, [](double x, double v) { return x * v; }},
                        Case{"Mul", {"c", "x"}, [](double x, double v) { return x * v; }},
                        Case{"Div", {"x", "c"}, [](double x, double v) { return x / v; }}}) {
    for (const Ints& dims : {Ints{}, Ints{3, 1, 1}, Ints{1, 3, 1, 1}}) {
      CAPTURE(c.op);
      CAPTURE(dims.size());
      OnnxBuilder b({-1, 3, 1, 1});
      const std::vector<float> values =
          dims.empty() ? std::vector<float>{2.5f} : std::vector<float>{2, 3, 4};
      b.Floats("c", dims, values);
      b.Node(c.op, c.inputs, {"e"});
      b.PoolToOutput("e");
      const Graph graph = ImportOrFail(b);
      CHECK(OpList(graph) == "DepthwiseConv GlobalAvgPool");
      std::vector<double> expected;
      for (size_t i = 0; i < 3; ++i) {
        expected.push_back(c.function(image.nhwc[i], values[values.size() == 1 ? 0 : i]));
      }
      CheckClose(RunGraph(graph, image.nhwc), expected);
    }
  }
}

TEST_CASE("Concat along the channels") {
  OnnxBuilder b({-1, 3, 2, 2});
  b.Node("Relu", {"x"}, {"r"});
  b.Node("Concat", {"r", "x", "r"}, {"c"}).Int("axis", -3);
  b.PoolToOutput("c");
  const Graph graph = ImportOrFail(b);
  CHECK(OpList(graph) == "Clip Concat GlobalAvgPool");
  CHECK(graph.nodes[1].inputs.size() == 3);
  CHECK(graph.tensors[graph.output].channels == 9);
}

// --- What exporters leave behind. ---

TEST_CASE("TensorFlow's transposes between NHWC and NCHW cancel") {
  const TestImage image(4, 4);
  OnnxBuilder b({-1, 4, 4, 3});
  b.Floats("mean", {3}, {1, 2, 3});
  b.Floats("w", {3, 3, 1, 1}, {1, 0, 0, 0, 1, 0, 0, 0, 1});
  b.Node("Sub", {"x", "mean"}, {"normal"});
  b.Node("Transpose", {"normal"}, {"nchw"}).List("perm", {0, 3, 1, 2});
  b.Node("Conv", {"nchw", "w"}, {"c"});
  b.Node("Transpose", {"c"}, {"nhwc"}).List("perm", {0, 2, 3, 1});
  b.Node("Relu", {"nhwc"}, {"r"});
  b.Node("ReduceMean", {"r"}, {"y"}).List("axes", {1, 2}).Int("keepdims", 0);
  const Graph graph = ImportOrFail(b);
  CHECK(OpList(graph) == "DepthwiseConv Conv Clip GlobalAvgPool");
  CHECK(graph.tensors[graph.input].height == 4);
  CHECK(graph.tensors[graph.input].channels == 3);
  std::vector<double> expected(3, 0);
  for (int64_t c = 0; c < 3; ++c) {
    for (int64_t p = 0; p < 16; ++p) {
      const double v = image.at(c, p / 4, p % 4) - static_cast<double>(c + 1);
      expected[static_cast<size_t>(c)] += std::max(v, 0.0) / 16;
    }
  }
  CheckClose(RunGraph(graph, image.nhwc), expected);
}

TEST_CASE("PyTorch's view(x.size(0), -1) folds") {
  OnnxBuilder b({-1, 3, 4, 4});
  b.Int64s("zero", {}, {0});
  b.Int64s("axis", {1}, {0});
  b.Int64s("rest", {1}, {-1});
  b.Node("GlobalAveragePool", {"x"}, {"g"});
  b.Node("Shape", {"g"}, {"s"});
  b.Node("Gather", {"s", "zero"}, {"n"}).Int("axis", 0);
  b.Node("Unsqueeze", {"n", "axis"}, {"n1"});
  b.Node("Concat", {"n1", "rest"}, {"target"}).Int("axis", 0);
  b.Node("Reshape", {"g", "target"}, {"y"});
  CHECK(OpList(ImportOrFail(b)) == "GlobalAvgPool");
}

TEST_CASE("PyTorch's padding arithmetic folds") {
  // F.pad(x, (0, 1, 0, 1)) as torch.onnx writes it.
  OnnxBuilder b({-1, 3, 8, 8});
  b.Counting("w", {4, 3, 3, 3});
  b.Int64s("p", {4}, {0, 1, 0, 1});
  b.Int64s("i0", {1}, {0});
  b.Int64s("four", {}, {4});
  b.Int64s("two", {}, {2});
  b.Node("Shape", {"p"}, {"ps"});
  b.Node("Gather", {"ps", "i0"}, {"len"}).Int("axis", 0);
  b.Node("Mul", {"four", "two"}, {"eight"});
  b.Node("Sub", {"eight", "len"}, {"missing"});
  b.Node("Cast", {"p"}, {"p64"}).Int("to", onnx::TensorProto::INT64);
  NodeBuilder zeros = b.Node("ConstantOfShape", {"missing"}, {"zeros"});
  onnx::AttributeProto* value = zeros.proto()->add_attribute();
  value->set_name("value");
  value->set_type(onnx::AttributeProto::TENSOR);
  value->mutable_t()->set_data_type(onnx::TensorProto::INT64);
  value->mutable_t()->add_dims(1);
  value->mutable_t()->add_int64_data(0);
  b.Node("Concat", {"p64", "zeros"}, {"all"}).Int("axis", 0);
  b.Int64s("pairs", {2}, {-1, 2});
  b.Node("Reshape", {"all", "pairs"}, {"rows"});
  b.Int64s("start", {1}, {-1});
  b.Int64s("stop", {1}, {-std::numeric_limits<int64_t>::max()});
  b.Int64s("step", {1}, {-1});
  b.Node("Slice", {"rows", "start", "stop", "i0", "step"}, {"reversed"});
  b.Node("Transpose", {"reversed"}, {"columns"}).List("perm", {1, 0});
  b.Int64s("flat", {1}, {-1});
  b.Node("Reshape", {"columns", "flat"}, {"pads"});
  b.Node("Pad", {"x", "pads"}, {"padded"});
  b.Node("Conv", {"padded", "w"}, {"c"}).List("strides", {2, 2});
  b.PoolToOutput("c");
  const Graph graph = ImportOrFail(b);
  CHECK(OpList(graph) == "Conv GlobalAvgPool");
  CHECK(graph.nodes[0].window.pad_top == 0);
  CHECK(graph.nodes[0].window.pad_bottom == 1);
  CHECK(graph.nodes[0].window.pad_right == 1);
}

TEST_CASE("weights may be computed from constants") {
  const TestImage image(2, 2);
  OnnxBuilder b({-1, 3, 2, 2});
  b.Counting("w", {12, 2});
  b.Floats("unit", {}, {1});
  b.Node("Identity", {"w"}, {"same"});
  b.Node("Mul", {"same", "unit"}, {"scaled"});
  b.Node("Transpose", {"scaled"}, {"wt"}).List("perm", {1, 0});
  b.Node("Flatten", {"x"}, {"f"});
  b.Node("Gemm", {"f", "wt"}, {"y"}).Int("transB", 1);
  OnnxBuilder direct({-1, 3, 2, 2});
  direct.Counting("w", {12, 2});
  direct.Node("Flatten", {"x"}, {"f"});
  direct.Node("Gemm", {"f", "w"}, {"y"});
  CHECK(RunGraph(ImportOrFail(b), image.nhwc) == RunGraph(ImportOrFail(direct), image.nhwc));
}

TEST_CASE("a closing Softmax is dropped and noted") {
  for (const char* op : {"Softmax", "LogSoftmax"}) {
    OnnxBuilder b({-1, 3, 4, 4});
    b.Node("GlobalAveragePool", {"x"}, {"g"});
    b.Node("Flatten", {"g"}, {"f"});
    b.Node(op, {"f"}, {"p"}).Int("axis", 1);
    b.Node("Identity", {"p"}, {"y"});
    Result<ImportedModel> model = b.Import();
    REQUIRE_MESSAGE(model.ok(), model.status().message());
    CHECK(OpList(model->graph) == "GlobalAvgPool");
    REQUIRE(model->notes.size() == 1);
    CHECK(model->notes[0].find(op) != std::string::npos);
  }
}

TEST_CASE("nodes that the output does not need are dropped, whatever they are") {
  OnnxBuilder b({-1, 3, 4, 4});
  b.Counting("w", {4, 3, 1, 1});
  b.Node("Conv", {"x", "w"}, {"unused"});
  b.Node("NoSuchOperator", {"unused"}, {"nothing"});
  b.Node("Shape", {"x"}, {"shape"});
  b.PoolToOutput("x");
  const Graph graph = ImportOrFail(b);
  CHECK(OpList(graph) == "GlobalAvgPool");
  CHECK(graph.weights.empty());
  CHECK(graph.tensors.size() == 2);
}

TEST_CASE("nodes may stand in any order") {
  OnnxBuilder b({-1, 3, 4, 4});
  b.Node("Flatten", {"g"}, {"y"});
  b.Node("GlobalAveragePool", {"r"}, {"g"});
  b.Node("Relu", {"x"}, {"r"});
  CHECK(OpList(ImportOrFail(b)) == "Clip GlobalAvgPool");
}

TEST_CASE("old files list weights among the inputs") {
  OnnxBuilder b({-1, 3, 4, 4}, 9);
  b.Counting("w", {4, 3, 1, 1});
  b.graph().add_input()->set_name("w");
  b.Node("Conv", {"x", "w"}, {"c"});
  b.PoolToOutput("c");
  CHECK(OpList(ImportOrFail(b)) == "Conv GlobalAvgPool");
}

TEST_CASE("a second output is left out and noted") {
  OnnxBuilder b({-1, 3, 4, 4});
  b.Node("Relu", {"x"}, {"r"});
  b.PoolToOutput("r");
  b.graph().add_output()->set_name("r");
  Result<ImportedModel> model = b.Import();
  REQUIRE(model.ok());
  REQUIRE(model->notes.size() == 1);
  CHECK(model->notes[0].find("'r'") != std::string::npos);
}

TEST_CASE("nodes of one name get names of their own") {
  OnnxBuilder b({-1, 3, 4, 4});
  b.Node("Relu", {"x"}, {"r"}).proto()->set_name("act");
  b.Node("Relu", {"r"}, {"s"}).proto()->set_name("act");
  b.PoolToOutput("s");
  const Graph graph = ImportOrFail(b);
  CHECK(graph.nodes[0].name == "act");
  CHECK(graph.nodes[1].name == "s");
}

}  // namespace
}  // namespace mpq
