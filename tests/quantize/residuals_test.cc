// Which additions become residuals of convolutions, and what the integer graph is then.
#include "quantize/residuals.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "format/requantize.h"
#include "quantize/passes/simplify.h"
#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

constexpr uint32_t kSide = 6;

// Decisions under which every addition that has a suitable convolution becomes a residual.
Decisions EasyDecisions(const Graph& graph) {
  Decisions decisions;
  decisions.activations.resize(graph.tensors.size());
  decisions.layers.resize(graph.nodes.size());
  return decisions;
}

// The node of `graph` that makes tensor `tensor`.
uint32_t MakerOf(const Graph& graph, uint32_t tensor) {
  const auto makes = [&](const Node& node) { return node.output == tensor; };
  const auto it = std::find_if(graph.nodes.begin(), graph.nodes.end(), makes);
  REQUIRE(it != graph.nodes.end());
  return static_cast<uint32_t>(it - graph.nodes.begin());
}

bool NoneChosen(const Graph& graph, const Decisions& decisions) {
  const std::vector<uint32_t> chosen = ChooseResiduals(graph, decisions);
  return std::all_of(chosen.begin(), chosen.end(), [](uint32_t n) { return n == kNone; });
}

TEST_CASE("a convolution takes in the addition that alone reads it") {
  GraphBuilder b(kSide, kSide, 3);
  const uint32_t x = b.Relu(b.Conv(b.input(), 8));
  const uint32_t conv = b.Conv(x, 8, SquareWindow(3, 1, 1), 2);
  const uint32_t sum = b.Add(x, conv);
  const Graph graph = b.Finish(b.Dense(sum, 5));
  Decisions decisions = EasyDecisions(graph);
  const std::vector<uint32_t> chosen = ChooseResiduals(graph, decisions);
  CHECK(chosen[MakerOf(graph, conv)] == MakerOf(graph, sum));
  CHECK(std::count(chosen.begin(), chosen.end(), kNone) == std::ssize(chosen) - 1);

  SUBCASE("not if the residual's scale is twice the sum's") {
    decisions.activations[sum].scale = 0.5f;
    decisions.activations[conv].scale = 0.25f;
    CHECK(NoneChosen(graph, decisions));
    decisions.activations[x].scale = 0.9999f;
    CHECK(!NoneChosen(graph, decisions));
  }
  SUBCASE("not if a residual could bring it back from where it saturates") {
    // Requantisation keeps -256..256 codes of the sum, and the sum has 0..255.
    decisions.activations[conv].scale = 1.5f;
    CHECK(!NoneChosen(graph, decisions));     // 0..382 + 0..255
    decisions.activations[x].zero_point = 2;  // -2..253
    CHECK(NoneChosen(graph, decisions));
    decisions.activations[conv].zero_point = 100;  // -150..232
    CHECK(!NoneChosen(graph, decisions));
    decisions.activations[conv].zero_point = 200;  // -300..82
    CHECK(!NoneChosen(graph, decisions));
    decisions.activations[x].scale = 1.1f;  // up to 278
    CHECK(NoneChosen(graph, decisions));
  }
  SUBCASE("not if it requantises by shifts") {
    decisions.layers[MakerOf(graph, conv)].shifted = true;
    CHECK(NoneChosen(graph, decisions));
  }
}

TEST_CASE("additions that stay") {
  GraphBuilder b(kSide, kSide, 3);
  const uint32_t x = b.Relu(b.Conv(b.input(), 8));
  uint32_t sum = kNone;
  SUBCASE("the convolution has other readers") {
    const uint32_t conv = b.Conv(x, 8);
    sum = b.Add(b.Add(x, conv), conv);
  }
  SUBCASE("a convolution twice") {
    const uint32_t conv = b.Conv(x, 8);
    sum = b.Add(conv, conv);
  }
  SUBCASE("an activation in between") { sum = b.Add(x, b.Relu(b.Conv(x, 8))); }
  SUBCASE("a depthwise convolution") { sum = b.Add(x, b.Depthwise(x)); }
  SUBCASE("no convolution") { sum = b.Add(x, b.Pool(OpKind::kMaxPool, x, SquareWindow(3, 1, 1))); }
  Graph graph = b.Finish(b.Dense(sum, 5));
  Simplify(graph);  // activations become part of the nodes before them
  CHECK(NoneChosen(graph, EasyDecisions(graph)));
}

TEST_CASE("of two convolutions the later one takes in the addition") {
  GraphBuilder b(kSide, kSide, 3);
  const uint32_t first = b.Conv(b.input(), 8);
  const uint32_t second = b.Conv(b.input(), 8);
  const uint32_t sum = b.Add(second, first);
  const Graph graph = b.Finish(b.Dense(sum, 5));
  Decisions decisions = EasyDecisions(graph);
  std::vector<uint32_t> chosen = ChooseResiduals(graph, decisions);
  CHECK(chosen[MakerOf(graph, first)] == kNone);
  CHECK(chosen[MakerOf(graph, second)] == MakerOf(graph, sum));
  decisions.layers[MakerOf(graph, second)].shifted = true;
  chosen = ChooseResiduals(graph, decisions);
  CHECK(chosen[MakerOf(graph, first)] == MakerOf(graph, sum));
  CHECK(chosen[MakerOf(graph, second)] == kNone);
}

TEST_CASE("multipliers of residuals") {
  CHECK(ResidualMultiplier({.scale = 0.5f}, {.scale = 0.5f}) == 1 << 14);
  CHECK(ResidualMultiplier({.scale = 0.25f}, {.scale = 0.5f}) == 1 << 13);
  CHECK(ResidualMultiplier({.scale = 1e-9f}, {.scale = 1.0f}) == 0);
  CHECK(ResidualMultiplier({.scale = 1.0f}, {.scale = 0.5f}) > kMaxResidualMultiplier);
  CHECK(ResidualMultiplier({.scale = 1e30f}, {.scale = 1e-30f}) > kMaxResidualMultiplier);
}

}  // namespace
}  // namespace mpq
