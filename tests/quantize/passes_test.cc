// Every pass keeps the function of the float graph.
#include <doctest/doctest.h>

#include "quantize/passes/end_with_conv.h"
#include "quantize/passes/equalize.h"
#include "quantize/passes/fold_affine.h"
#include "quantize/passes/fuse_clips.h"
#include "quantize/passes/prune.h"
#include "quantize/passes/simplify.h"
#include "quantize/passes/split_concat.h"
#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

// Runs both graphs on a few inputs; tolerance relative to the largest result.
void CheckSameFunction(const Graph& before, const Graph& after) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const std::vector<float> src = RandomInput(before, seed);
    const std::vector<float> expected = RunReference(before, src);
    const std::vector<float> actual = RunReference(after, src);
    REQUIRE(expected.size() == actual.size());
    float largest = 0;
    for (const float x : expected) largest = std::max(largest, std::abs(x));
    for (size_t i = 0; i < expected.size(); ++i) {
      CHECK(std::abs(actual[i] - expected[i]) <= 2e-5f * largest);
    }
  }
}

TEST_CASE("an affine step after a convolution folds into it, with its activation") {
  GraphBuilder b(6, 5, 3);
  const uint32_t affine = b.Depthwise(b.Conv(b.input(), 7, SquareWindow(3, 1, 1)));
  const Graph before = b.Finish(b.Relu(affine));
  Graph after = before;
  CHECK(FoldAffine(after) == 1);
  CHECK(after.nodes.size() == 2);
  CHECK(FuseClips(after) == 1);
  CHECK(after.nodes.size() == 1);
  CHECK(after.nodes[0].clip_lo == 0.0f);
  CheckSameFunction(before, after);
}

TEST_CASE("chains of affine steps fold, also into depthwise and grouped convolutions") {
  GraphBuilder b(6, 6, 4);
  uint32_t t = b.Depthwise(b.Depthwise(b.Conv(b.input(), 8, SquareWindow(3, 2, 1), 2)));
  t = b.Depthwise(b.Depthwise(t, SquareWindow(3, 1, 1)));
  const Graph before = b.Finish(t);
  Graph after = before;
  // The 3x3 depthwise stays, and so does the grouped convolution.
  CHECK(FoldAffine(after) == 3);
  CheckSameFunction(before, after);
}

TEST_CASE("an affine step before a convolution folds forward only where padding allows") {
  SUBCASE("no padding") {
    GraphBuilder b(6, 6, 4);
    const Graph before = b.Finish(b.Conv(b.Depthwise(b.input()), 6, SquareWindow(3), 2));
    Graph after = before;
    CHECK(FoldAffine(after) == 1);
    CheckSameFunction(before, after);
  }
  SUBCASE("padding and a shift") {
    GraphBuilder b(6, 6, 4);
    const Graph before = b.Finish(b.Conv(b.Depthwise(b.input()), 6, SquareWindow(3, 1, 1)));
    Graph after = before;
    CHECK(FoldAffine(after) == 0);
    CheckSameFunction(before, after);
  }
  SUBCASE("padding without a shift") {
    GraphBuilder b(6, 6, 4);
    const uint32_t affine = b.Depthwise(b.input());
    b.last_weights().bias = std::vector<float>(4, 0.0f);
    const Graph before = b.Finish(b.Conv(affine, 6, SquareWindow(3, 1, 1)));
    Graph after = before;
    CHECK(FoldAffine(after) == 1);
    CheckSameFunction(before, after);
  }
}

TEST_CASE("an affine step whose operand has other readers stays") {
  GraphBuilder b(4, 4, 4);
  const uint32_t conv = b.Conv(b.input(), 4);
  const uint32_t affine = b.Depthwise(conv);
  const Graph before = b.Finish(b.Add(conv, affine));
  Graph after = before;
  CHECK(FoldAffine(after) == 0);
  CheckSameFunction(before, after);
}

TEST_CASE("an affine step after an activation does not fold backward") {
  GraphBuilder b(4, 4, 3);
  const uint32_t relu = b.Relu(b.Conv(b.input(), 4));
  const Graph before = b.Finish(b.Add(b.Depthwise(relu), b.Conv(b.input(), 4)));
  Graph after = before;
  FuseClips(after);
  CHECK(FoldAffine(after) == 0);
  CheckSameFunction(before, after);
}

TEST_CASE("clips fuse into additions, pools and through MaxPool, and clamp one after another") {
  GraphBuilder b(8, 8, 3);
  const uint32_t sum = b.Clip(b.Relu(b.Add(b.Conv(b.input(), 4), b.Conv(b.input(), 4))), -1, 0.5f);
  const uint32_t pool = b.Relu(b.Pool(OpKind::kMaxPool, b.Conv(sum, 5), SquareWindow(3, 2, 1)));
  const Graph before = b.Finish(b.Clip(b.GlobalAvgPool(pool), -0.1f, 0.1f));
  Graph after = before;
  CHECK(FuseClips(after) == 4);
  CheckSameFunction(before, after);
}

TEST_CASE("a clip whose operand has other readers stays") {
  GraphBuilder b(4, 4, 3);
  const uint32_t conv = b.Conv(b.input(), 4);
  const Graph before = b.Finish(b.Add(conv, b.Relu(conv)));
  Graph after = before;
  CHECK(FuseClips(after) == 0);
  CheckSameFunction(before, after);
}

TEST_CASE("pruning drops what the result does not need and separates shared weights") {
  GraphBuilder b(4, 4, 3);
  const uint32_t kept = b.Conv(b.input(), 3);
  b.Conv(b.input(), 5);
  Graph before = b.Finish(b.Conv(kept, 3));
  before.nodes[2].weights = before.nodes[0].weights;
  Graph after = before;
  Prune(after);
  CHECK(after.nodes.size() == 2);
  CHECK(after.tensors.size() == 3);
  REQUIRE(after.weights.size() == 2);
  CHECK(after.nodes[0].weights != after.nodes[1].weights);
  CheckSameFunction(before, after);
}

TEST_CASE("a graph that does not end with a plain convolution gets one") {
  GraphBuilder b(4, 4, 3);
  const Graph before = b.Finish(b.GlobalAvgPool(b.Relu(b.Conv(b.input(), 5))));
  Graph after = before;
  CHECK(EndWithConv(after));
  CHECK_FALSE(EndWithConv(after));
  CheckSameFunction(before, after);
}

TEST_CASE("Concat operands tied to the input are copied first") {
  GraphBuilder b(4, 4, 3);
  const uint32_t pooled = b.Pool(OpKind::kMaxPool, b.input(), SquareWindow(3, 1, 1));
  const Graph before = b.Finish(b.Concat({b.input(), b.Conv(b.input(), 4), pooled}));
  Graph after = before;
  CHECK(SplitConcat(after) == 2);
  CHECK(SplitConcat(after) == 0);
  CheckSameFunction(before, after);
}

TEST_CASE("Simplify leaves one convolution of a conv, batch norm, ReLU6 chain") {
  GraphBuilder b(8, 8, 3);
  uint32_t t = b.Clip(b.Depthwise(b.Conv(b.input(), 8, SquareWindow(3, 2, 1))), 0, 6);
  t = b.Clip(b.Depthwise(b.Depthwise(t, SquareWindow(3, 1, 1))), 0, 6);
  t = b.Depthwise(b.Conv(t, 6));
  const Graph before = b.Finish(b.Dense(b.GlobalAvgPool(t), 5));
  Graph after = before;
  const SimplifyCounts counts = Simplify(after);
  CHECK(counts.affine_folded == 3);
  CHECK(counts.clips_fused == 2);
  CHECK(after.nodes.size() == 5);
  CHECK(after.weights.size() == 4);
  CheckSameFunction(before, after);
}

TEST_CASE("equalisation picks tensors between convolutions and leaves the function alone") {
  GraphBuilder b(8, 8, 3);
  const uint32_t expand = b.Clip(b.Conv(b.input(), 8), 0, 6);
  const uint32_t deep = b.Relu(b.Depthwise(expand, SquareWindow(3, 1, 1)));
  const uint32_t project = b.Conv(deep, 4);
  const uint32_t sum = b.Add(project, b.Conv(b.input(), 4));
  Graph graph = b.Finish(b.Dense(sum, 5));
  Simplify(graph);
  const std::vector<uint32_t> tensors = EqualizableTensors(graph);
  REQUIRE(tensors.size() == 2);  // after expand and after deep: project is added to

  std::vector<std::vector<float>> magnitudes(graph.tensors.size());
  for (size_t t = 0; t < magnitudes.size(); ++t) {
    for (uint32_t c = 0; c < graph.tensors[t].channels; ++c) magnitudes[t].push_back(0.5f + c);
  }
  const Equalization equalization = Equalize(graph, magnitudes);
  CHECK(equalization.count() == 2);
  // Depthwise consumers alone: scales follow the activations.
  const auto scales = equalization.scales(tensors[0]);
  for (size_t c = 1; c < scales.size(); ++c) {
    CHECK(scales[c] / scales[0] == doctest::Approx((0.5 + c) / 0.5));
  }

  // The annotated graph, written out with scaled weights and wide caps, computes the same.
  Graph scaled = graph;
  for (Node& node : scaled.nodes) {
    if (node.weights == kNone) continue;
    const std::vector<double> bias = EffectiveBias(graph, node, equalization);
    scaled.weights[node.weights].values = EffectiveWeights(graph, node, equalization);
    scaled.weights[node.weights].bias = std::vector<float>(bias.begin(), bias.end());
    if (!std::isinf(node.clip_hi)) node.clip_hi = kNoBound;
  }
  Graph uncapped = graph;
  for (Node& node : uncapped.nodes) node.clip_hi = kNoBound;
  CheckSameFunction(uncapped, scaled);
}

}  // namespace
}  // namespace mpq
