// Bit widths, sampling, parallel loops.
#include <doctest/doctest.h>

#include <atomic>

#include "format/message.h"
#include "quantize/bit_widths.h"
#include "quantize/images.h"
#include "quantize/method.h"
#include "quantize/parallel.h"
#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

Graph ThreeLayers() {
  GraphBuilder b(4, 4, 3);
  return b.Finish(b.Dense(b.GlobalAvgPool(b.Conv(b.Conv(b.input(), 4), 4)), 5));
}

TEST_CASE("bit widths: rules in order, first and last layer settable") {
  const Graph graph = ThreeLayers();
  BitWidths widths;
  widths.weights = 4;
  CHECK(*ResolveBitWidths(graph, widths) == std::vector<uint8_t>{4, 4, 0, 4});
  widths.first = 8;
  widths.last = 6;
  CHECK(*ResolveBitWidths(graph, widths) == std::vector<uint8_t>{8, 4, 0, 6});
  widths.layers = {{"Conv[01]", 3}, {"^Conv1$", 2}};
  CHECK(*ResolveBitWidths(graph, widths) == std::vector<uint8_t>{3, 2, 0, 6});
}

TEST_CASE("rules that mean the same get the same names") {
  const Graph graph = ThreeLayers();
  BitWidths widths{4, 8, 0, {{"Conv[01]", 3}, {"1", 4}}};
  const Result<BitWidths> named = NameLayers(graph, widths);
  REQUIRE(named.ok());
  REQUIRE(named->layers.size() == 1);  // Conv1 has what `weights` says
  CHECK(named->layers[0].pattern == graph.nodes[0].name);
  CHECK(named->layers[0].bits == 3);
  CHECK(named->layers[0].whole_name);
  CHECK(*ResolveBitWidths(graph, *named) == *ResolveBitWidths(graph, widths));
  const Result<BitWidths> again = NameLayers(graph, *named);
  REQUIRE(again.ok());
  CHECK(again->layers.size() == 1);

  widths.layers = {{"Conv", 3, /*whole_name=*/true}};
  CHECK(NameLayers(graph, widths).status().message() == "layers 'Conv': no layer has this name");
}

TEST_CASE("where widths are chosen later, a rule counts even if it says what `weights` says") {
  const Graph graph = ThreeLayers();
  const BitWidths widths{8, 6, 0, {{"Conv[01]", 8}, {"^Conv0$", 6}}};
  CHECK(NameLayers(graph, widths)->layers.empty());
  const Result<BitWidths> named = NameLayers(graph, widths, /*weights_are_chosen=*/true);
  REQUIRE(named.ok());
  REQUIRE(named->layers.size() == 1);  // Conv0 has what `first` says
  CHECK(named->layers[0].pattern == graph.nodes[1].name);
  CHECK(named->layers[0].bits == 8);
}

TEST_CASE("bad bit widths are errors that name the rule") {
  const Graph graph = ThreeLayers();
  const auto message = [&](int weights, int first, std::vector<LayerBits> layers) {
    const BitWidths widths{weights, first, 0, std::move(layers)};
    return ResolveBitWidths(graph, widths).status().message();
  };
  CHECK(message(0, 0, {}) == "weights: 0 bits, expected 1..8");
  CHECK(message(9, 0, {}) == "weights: 9 bits, expected 1..8");
  CHECK(message(8, -1, {}) == "first layer: -1 bits, expected 1..8");
  CHECK(message(8, 0, {{"nothing", 4}}) == "layers 'nothing': no layer's name matches");
  CHECK(message(8, 0, {{"(", 4}}).find("not a regular expression") != std::string::npos);
  CHECK(message(8, 0, {{"Conv", 12}}) == "layers 'Conv': 12 bits, expected 1..8");
}

TEST_CASE("REGEX=BITS") {
  const Result<LayerBits> rule = LayerBits::Parse("a=b.*=4");
  REQUIRE(rule.ok());
  CHECK(rule->pattern == "a=b.*");
  CHECK(rule->bits == 4);
  for (const char* bad : {"", "=4", "abc", "abc=", "abc=4x", "abc=9", "(=4", "abc=99999999999"}) {
    CHECK_FALSE(LayerBits::Parse(bad).ok());
  }
}

TEST_CASE("unknown methods list the known ones") {
  CHECK(MakeMethod("uniform").ok());
  CHECK(MakeMethod("magic").status().message() ==
        "unknown method 'magic'; known: uniform, two-region, learned, ptilmpq");
}

TEST_CASE("samples are ascending, without repeats, and fixed by the seed") {
  const std::vector<uint32_t> sample = SampleIndices(100, 10, 7);
  CHECK(sample.size() == 10);
  for (size_t i = 1; i < sample.size(); ++i) CHECK(sample[i] > sample[i - 1]);
  CHECK(sample.back() < 100);
  CHECK(sample == SampleIndices(100, 10, 7));
  CHECK(sample != SampleIndices(100, 10, 8));
  CHECK(SampleIndices(5, 10, 1).size() == 5);
  CHECK(SampleIndices(5, 0, 1).size() == 5);
}

TEST_CASE("parallel loops visit every index once and report the first error") {
  for (const uint32_t threads : {0u, 1u, 3u}) {
    std::vector<std::atomic<int>> visits(100);
    CHECK(ParallelFor(threads, 100, [&](uint32_t i, uint32_t) {
            ++visits[i];
            return Status();
          }).ok());
    for (const auto& v : visits) CHECK(v == 1);
    CHECK(ParallelFor(threads, 0, [](uint32_t, uint32_t) { return Status(); }).ok());
    const Status failed = ParallelFor(threads, 100, [](uint32_t i, uint32_t) {
      return i >= 20 ? Error(ErrorCode::kIo, "index ", i) : Status();
    });
    CHECK(failed.message() == "index 20");
  }
}

}  // namespace
}  // namespace mpq
