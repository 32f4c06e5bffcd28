#include "engine/core/float_executor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/core/isa.h"
#include "format/shape.h"

namespace mpq {
namespace {

using Random = std::mt19937;

auto CountThreads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}
const auto kThreadsAtStart = CountThreads();

// The thread sanitizer starts a thread of its own with the program's first one.
#ifdef __SANITIZE_THREAD__
constexpr int kSanitizerThreads = 1;
#else
constexpr int kSanitizerThreads = 0;
#endif

// After other threads were started and joined: the kernel may list one for a moment longer.
bool OnlyThreadsOfStart() {
  const int expected = kThreadsAtStart + kSanitizerThreads;
  for (int i = 0; i < 100 && CountThreads() != expected; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return CountThreads() == expected;
}

uint32_t Pick(Random& random, uint32_t lo, uint32_t hi) {
  return lo + static_cast<uint32_t>(random() % (hi - lo + 1));
}

std::vector<float> RandomValues(Random& random, size_t count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

Node MakeNode(OpKind kind, float clip_lo = -INFINITY, float clip_hi = INFINITY) {
  Node node;
  node.kind = kind;
  node.clip_lo = clip_lo;
  node.clip_hi = clip_hi;
  return node;
}

// A graph under construction; tensors' shapes are set at the end.
class GraphBuilder {
 public:
  GraphBuilder(uint32_t height, uint32_t width, uint32_t channels) {
    graph_.tensors.push_back(
        {.name = "input", .height = height, .width = width, .channels = channels});
    graph_.input = graph_.output = 0;
  }

  // Returns the output tensor, which becomes the graph's.
  uint32_t Append(Node node, std::vector<uint32_t> inputs) {
    node.name = "node" + std::to_string(graph_.nodes.size());
    node.inputs = std::move(inputs);
    node.output = graph_.output = static_cast<uint32_t>(graph_.tensors.size());
    graph_.tensors.push_back({.name = node.name + ".out"});
    graph_.nodes.push_back(std::move(node));
    return graph_.output;
  }

  uint32_t AppendConv(Random& random, Node node, uint32_t input, uint32_t in_channels,
                      uint32_t out_channels, bool bias = true) {
    Weights weights;
    weights.out_channels = out_channels;
    weights.kernel_h = node.window.kernel_h;
    weights.kernel_w = node.window.kernel_w;
    const bool depthwise = node.kind == OpKind::kDepthwiseConv;
    weights.in_channels = depthwise ? 1 : in_channels / node.groups;
    if (depthwise) node.groups = in_channels;
    const size_t taps = size_t{weights.kernel_h} * weights.kernel_w * weights.in_channels;
    weights.values = RandomValues(random, taps * out_channels);
    if (bias) weights.bias = RandomValues(random, out_channels);
    node.weights = static_cast<uint32_t>(graph_.weights.size());
    graph_.weights.push_back(std::move(weights));
    return Append(std::move(node), {input});
  }

  uint32_t AppendPointwise(Random& random, uint32_t input, uint32_t in_channels,
                           uint32_t out_channels, float clip_lo = -INFINITY) {
    return AppendConv(random, MakeNode(OpKind::kConv, clip_lo), input, in_channels, out_channels);
  }

  Graph& graph() { return graph_; }

 private:
  Graph graph_;
};

std::vector<float> InputValues(const Graph& graph, uint32_t batch, Random& random) {
  const Tensor& t = graph.tensors[graph.input];
  return RandomValues(random, size_t{batch} * t.height * t.width * t.channels);
}

using MakeExecutor = decltype(MakeFloatExecutor);

// All requested tensors of one run.
std::vector<std::vector<float>> RunAndRead(MakeExecutor* make, const Graph& graph,
                                           const FloatExecutorOptions& options,
                                           const std::vector<float>& src,
                                           const std::vector<uint32_t>& tensors) {
  auto executor = make(graph, options);
  REQUIRE_MESSAGE(executor.ok(), executor.status().message());
  const Status status = (*executor)->Run(src);
  REQUIRE_MESSAGE(status.ok(), status.message());
  std::vector<std::vector<float>> read;
  for (const uint32_t tensor : tensors) {
    const auto values = (*executor)->Read(tensor);
    REQUIRE_MESSAGE(values.ok(), values.status().message());
    read.emplace_back(values->begin(), values->end());
  }
  return read;
}

std::vector<float> RunGraph(MakeExecutor* make, const Graph& graph,
                            const FloatExecutorOptions& options, const std::vector<float>& src) {
  return RunAndRead(make, graph, options, src, {graph.output})[0];
}

std::vector<float> Magnitudes(std::vector<float> values) {
  for (float& value : values) value = std::abs(value);
  return values;
}

// The same graph on magnitudes: the sum of |terms| of every output.
Graph MagnitudeGraph(Graph graph) {
  for (Weights& weights : graph.weights) {
    weights.values = Magnitudes(weights.values.ToVector());
    weights.bias = Magnitudes(weights.bias.ToVector());
  }
  for (Node& node : graph.nodes) {
    node.clip_lo = -INFINITY;
    node.clip_hi = INFINITY;
  }
  return graph;
}

// Terms added up for one output of a node.
size_t NumTerms(const Graph& graph, const Node& node) {
  if (node.weights != kNone) {
    return graph.weights[node.weights].values.size() / graph.weights[node.weights].out_channels + 1;
  }
  const Tensor& in = graph.tensors[node.inputs[0]];
  if (node.kind == OpKind::kAvgPool) return size_t{node.window.kernel_h} * node.window.kernel_w;
  if (node.kind == OpKind::kGlobalAvgPool) return size_t{in.height} * in.width;
  return node.kind == OpKind::kAdd ? 2 : 0;
}

bool CanRun(const Graph& graph) {
  const Tensor& input = graph.tensors[graph.input];
  return InferShapes(graph, input.height, input.width).ok();
}

// A graph of one node: whatever the order of summation, an output is wrong by at most
// (terms + 1) * eps * sum of |terms|. Pools of maxima, clips and copies are exact.
void CheckAgainstReference(const Graph& graph, uint32_t batch, Random& random) {
  REQUIRE(graph.nodes.size() == 1);
  const Node& node = graph.nodes[0];
  const FloatExecutorOptions options{.batch = batch};
  const std::vector<float> src = InputValues(graph, batch, random);
  const std::vector<float> actual = RunGraph(MakeFloatExecutor, graph, options, src);
  const std::vector<float> expected = RunGraph(MakeRefFloatExecutor, graph, options, src);
  const std::vector<float> sums =
      RunGraph(MakeRefFloatExecutor, MagnitudeGraph(graph), options, Magnitudes(src));
  REQUIRE(actual.size() == expected.size());
  const size_t terms = NumTerms(graph, node);
  const double unit =
      terms == 0 ? 0 : static_cast<double>(terms + 1) * std::numeric_limits<float>::epsilon();
  for (size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(double{actual[i]} - expected[i]);
    if (!(error <= unit * sums[i])) {
      FAIL_CHECK(OpKindName(node.kind) << " output " << i << " of " << actual.size() << ": "
                                       << actual[i] << ", expected " << expected[i]);
      return;
    }
  }
}

Window RandomWindow(Random& random, uint32_t max_dilation) {
  Window w;
  w.kernel_h = Pick(random, 1, 5);
  w.kernel_w = Pick(random, 1, 5);
  w.stride_h = Pick(random, 1, 3);
  w.stride_w = Pick(random, 1, 3);
  w.dilation_h = Pick(random, 1, max_dilation);
  w.dilation_w = Pick(random, 1, max_dilation);
  w.pad_top = Pick(random, 0, w.kernel_h - 1);
  w.pad_bottom = Pick(random, 0, w.kernel_h - 1);
  w.pad_left = Pick(random, 0, w.kernel_w - 1);
  w.pad_right = Pick(random, 0, w.kernel_w - 1);
  return w;
}

void RandomClip(Random& random, Node& node) {
  switch (random() % 5) {
    case 0:
      node.clip_lo = 0;
      break;
    case 1:
      node.clip_lo = 0;
      node.clip_hi = 6;
      break;
    case 2:
      node.clip_lo = -0.5f;
      node.clip_hi = 0.75f;
      break;
    case 3:
      node.clip_hi = 0.25f;
      break;
    default:
      break;
  }
}

double RelativeError(const std::vector<float>& actual, const std::vector<float>& expected) {
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(double{actual[i]} - expected[i], 2);
    norm += std::pow(double{expected[i]}, 2);
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

// A residual network in small: everything that may fuse, share memory or refuse to.
Graph ResidualGraph(Random& random) {
  GraphBuilder builder(9, 7, 3);
  Node stem = MakeNode(OpKind::kConv, 0);
  stem.window.kernel_h = stem.window.kernel_w = 3;
  stem.window.stride_h = stem.window.stride_w = 2;
  stem.window.pad_top = stem.window.pad_left = 1;
  Node shortcut = MakeNode(OpKind::kSlicePad);
  shortcut.window.stride_h = shortcut.window.stride_w = 2;
  shortcut.channels_after = 2;

  const uint32_t a = builder.AppendConv(random, stem, 0, 3, 16);
  const uint32_t b = builder.AppendPointwise(random, a, 16, 16);
  const uint32_t c = builder.Append(MakeNode(OpKind::kAdd, 0), {b, a});  // a is dead then: fuses
  const uint32_t d = builder.AppendPointwise(random, c, 16, 16, 0);
  const uint32_t e = builder.Append(MakeNode(OpKind::kAdd, 0), {c, d});  // d is clipped: cannot
  const uint32_t f = builder.AppendPointwise(random, e, 16, 16);
  const uint32_t g = builder.AppendPointwise(random, e, 16, 16);
  const uint32_t h = builder.Append(MakeNode(OpKind::kAdd), {f, g});  // of two convolutions
  const uint32_t i = builder.AppendPointwise(random, h, 16, 16);
  const uint32_t j = builder.Append(MakeNode(OpKind::kAdd), {h, i});  // h is read again: cannot
  const uint32_t k = builder.Append(MakeNode(OpKind::kConcat), {h, j, e});
  const uint32_t l = builder.Append(MakeNode(OpKind::kClip, -1, 1), {k});
  const uint32_t m = builder.Append(shortcut, {l});
  const uint32_t n = builder.Append(MakeNode(OpKind::kAdd), {m, m});
  const uint32_t o = builder.Append(MakeNode(OpKind::kGlobalAvgPool), {n});
  builder.AppendPointwise(random, o, 50, 11);
  return builder.graph();
}

bool HasOneDnn() { return FloatBackendDescription().rfind("onednn", 0) == 0; }

TEST_CASE("the module is found in the build tree") {
  const std::string description = FloatBackendDescription();
  if (std::getenv("MPQ_EXPECT_ONEDNN") != nullptr) {
    CHECK_MESSAGE(HasOneDnn(), description);
  } else if (!HasOneDnn()) {
    MESSAGE("skipped: ", description);
  }
}

TEST_CASE("convolutions agree with the reference") {
  Random random(1);
  for (int round = 0; round < 250; ++round) {
    const bool depthwise = round % 3 == 0;
    const uint32_t groups = depthwise || round % 3 == 1 ? 1 : Pick(random, 2, 4);
    const uint32_t in_channels = groups * Pick(random, 1, round % 2 ? 5 : 40);
    const uint32_t out_channels =
        depthwise ? in_channels : groups * Pick(random, 1, round % 2 ? 5 : 40);
    GraphBuilder builder(Pick(random, 1, 12), Pick(random, 1, 12), in_channels);
    Node node;
    node.kind = depthwise ? OpKind::kDepthwiseConv : OpKind::kConv;
    node.groups = groups;
    node.window = RandomWindow(random, 3);
    if (round % 7 == 0) node.window.pad_bottom += 4;  // wider than the kernel
    if (round % 5 == 0) node.window.kernel_h = node.window.kernel_w = 1;
    RandomClip(random, node);
    builder.AppendConv(random, node, 0, in_channels, out_channels, round % 4 != 0);
    if (!CanRun(builder.graph())) continue;
    CAPTURE(round);
    CheckAgainstReference(builder.graph(), Pick(random, 1, 3), random);
  }
}

TEST_CASE("a dense layer on a whole map agrees with the reference") {
  Random random(2);
  GraphBuilder builder(7, 5, 48);
  Node node;
  node.window.kernel_h = 7;
  node.window.kernel_w = 5;
  builder.AppendConv(random, node, 0, 48, 1001);
  CheckAgainstReference(builder.graph(), 2, random);
}

TEST_CASE("pools agree with the reference") {
  Random random(3);
  for (int round = 0; round < 300; ++round) {
    GraphBuilder builder(Pick(random, 1, 13), Pick(random, 1, 13), Pick(random, 1, 40));
    Node node;
    node.kind = round % 3 == 0 ? OpKind::kMaxPool : OpKind::kAvgPool;
    node.count_include_pad = round % 3 == 1;
    node.window = RandomWindow(random, round % 4 == 0 ? 2 : 1);
    node.window.ceil_mode = random() % 2 == 0;
    if (random() % 2 == 0) RandomClip(random, node);
    if (round % 10 == 0) node.kind = OpKind::kGlobalAvgPool;
    builder.Append(node, {0});
    if (!CanRun(builder.graph())) continue;
    CAPTURE(round);
    CheckAgainstReference(builder.graph(), Pick(random, 1, 3), random);
  }
}

TEST_CASE("Add, Concat, Clip and SlicePad agree with the reference") {
  Random random(4);
  for (int round = 0; round < 60; ++round) {
    GraphBuilder builder(Pick(random, 1, 9), Pick(random, 1, 9), Pick(random, 1, 40));
    constexpr OpKind kKinds[] = {OpKind::kAdd, OpKind::kConcat, OpKind::kClip, OpKind::kSlicePad};
    Node node;
    node.kind = kKinds[round % 4];
    RandomClip(random, node);
    if (node.kind == OpKind::kSlicePad) {
      node.window.stride_h = Pick(random, 1, 3);
      node.window.pad_top = Pick(random, 0, 2);
      node.window.pad_right = Pick(random, 0, 2);
      node.channels_before = Pick(random, 0, 5);
      node.channels_after = Pick(random, 0, 5);
    }
    const bool two = node.kind == OpKind::kAdd || node.kind == OpKind::kConcat;
    builder.Append(node, two ? std::vector<uint32_t>{0, 0} : std::vector<uint32_t>{0});
    CAPTURE(round);
    CheckAgainstReference(builder.graph(), Pick(random, 1, 3), random);
  }
}

TEST_CASE("ceil_mode: padding that is counted ends where the padded input ends") {
  // 1 x 4 pixels, window 3, stride 2, one pixel of padding on both sides: with ceil_mode the third
  // window starts at pixel 3 and covers it, one padding pixel and nothing.
  GraphBuilder builder(1, 4, 1);
  Node node;
  node.kind = OpKind::kAvgPool;
  node.window = {.kernel_w = 3, .stride_w = 2, .pad_left = 1, .pad_right = 1, .ceil_mode = true};
  for (const bool count_include_pad : {false, true}) {
    node.count_include_pad = count_include_pad;
    GraphBuilder copy = builder;
    copy.Append(node, {0});
    for (MakeExecutor* make : {MakeFloatExecutor, MakeRefFloatExecutor}) {
      const std::vector<float> out = RunGraph(make, copy.graph(), {}, {1, 2, 3, 4});
      REQUIRE(out.size() == 3);
      CHECK(out[0] == doctest::Approx(count_include_pad ? 1 : 1.5));
      CHECK(out[1] == doctest::Approx(3));
      CHECK(out[2] == doctest::Approx(count_include_pad ? 2 : 4));
    }
  }
}

TEST_CASE("a residual graph agrees with the reference, every tensor of it") {
  Random random(5);
  const Graph graph = ResidualGraph(random);
  const FloatExecutorOptions options{.batch = 3, .keep_tensors = true};
  const std::vector<float> src = InputValues(graph, options.batch, random);
  std::vector<uint32_t> tensors;
  for (uint32_t t = 0; t < graph.tensors.size(); ++t) tensors.push_back(t);
  const auto actual = RunAndRead(MakeFloatExecutor, graph, options, src, tensors);
  const auto expected = RunAndRead(MakeRefFloatExecutor, graph, options, src, tensors);
  for (const uint32_t t : tensors) {
    CAPTURE(graph.tensors[t].name);
    REQUIRE(actual[t].size() == expected[t].size());
    CHECK(RelativeError(actual[t], expected[t]) < 1e-5);
  }
}

TEST_CASE("fused Adds and shared memory change nothing") {
  Random random(6);
  const Graph graph = ResidualGraph(random);
  const std::vector<float> src = InputValues(graph, 2, random);
  const auto kept = RunGraph(MakeFloatExecutor, graph, {.batch = 2, .keep_tensors = true}, src);
  const auto shared = RunGraph(MakeFloatExecutor, graph, {.batch = 2}, src);
  CHECK(RelativeError(shared, kept) < 1e-6);
}

TEST_CASE("an executor can run again, in another thread and beside others, with the same bits") {
  Random random(7);
  const Graph graph = ResidualGraph(random);
  const FloatExecutorOptions options{.batch = 2};
  const std::vector<float> src = InputValues(graph, options.batch, random);
  const std::vector<float> expected = RunGraph(MakeFloatExecutor, graph, options, src);
  constexpr int kThreads = 4;
  std::vector<std::unique_ptr<FloatExecutor>> executors;
  for (int i = 0; i < kThreads; ++i) {
    auto executor = MakeFloatExecutor(graph, options);
    REQUIRE(executor.ok());
    executors.push_back(std::move(executor).value());
  }
  std::vector<int> wrong(kThreads, 0);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 20; ++round) {
        const bool ran = executors[i]->Run(src).ok();
        const auto read = executors[i]->Read(graph.output);
        wrong[i] += !ran || !read.ok() || !std::equal(read->begin(), read->end(), expected.begin());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : wrong) CHECK(count == 0);
  CHECK(OnlyThreadsOfStart());  // no OpenMP team was ever started
}

TEST_CASE("another input size") {
  Random random(8);
  const Graph graph = ResidualGraph(random);
  const FloatExecutorOptions options{.batch = 1, .height = 14, .width = 12};
  const std::vector<float> src = RandomValues(random, 14 * 12 * 3);
  CHECK(RelativeError(RunGraph(MakeFloatExecutor, graph, options, src),
                      RunGraph(MakeRefFloatExecutor, graph, options, src)) < 1e-5);
}

TEST_CASE("errors are values") {
  Random random(9);
  const Graph graph = ResidualGraph(random);
  for (MakeExecutor* make : {MakeFloatExecutor, MakeRefFloatExecutor}) {
    auto executor = make(graph, {});
    REQUIRE(executor.ok());
    CHECK((*executor)->Run(std::vector<float>(5)).code() == ErrorCode::kInvalidArgument);
    CHECK(!(*executor)->Read(1).ok());  // not kept
    CHECK(!(*executor)->Read(kNone).ok());
    CHECK(!make(graph, {.batch = 0}).ok());

    Graph integer = graph;
    integer.tensors[3].type = ElementType::kU8;
    CHECK(make(integer, {}).status().code() == ErrorCode::kInvalidArgument);
    Graph truncated = graph;
    truncated.weights[0].values = std::vector<float>(7);
    CHECK(make(truncated, {}).status().code() == ErrorCode::kInvalidArgument);
    Graph misshapen = graph;
    misshapen.nodes[0].inputs = {5};
    CHECK(!make(misshapen, {}).ok());
    // More than there can be: refused, not thrown.
    const uint32_t huge = 1u << 30;
    CHECK(!make(graph, {.batch = 1u << 31, .height = huge, .width = huge}).ok());
  }
}

// Last: it fixes the instruction set for the process.
TEST_CASE("the float instruction set has a name and cannot be changed once in use") {
  const std::string name = FloatIsaName();
  const Result<Isa> isa = ParseIsa(name);
  REQUIRE(isa.ok());
  CHECK(SetFloatIsa("no such isa").code() == ErrorCode::kInvalidArgument);
  if (!HasOneDnn()) {
    CHECK(name == "scalar");
    return;
  }
  CHECK(SetFloatIsa(name).ok());  // what it is anyway
  if (name == "avx512" || name == "avx2") {
    const Status late = SetFloatIsa("sse4");
    CHECK(late.code() == ErrorCode::kInvalidArgument);
    CHECK(late.message().find(name) != std::string::npos);
  }
  CHECK(SetFloatIsa("scalar").ok());
  CHECK(FloatIsaName() == "scalar");
  CHECK(FloatBackendDescription() == "ref: asked for");
}

}  // namespace
}  // namespace mpq
