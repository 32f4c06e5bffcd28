#include "quantize/observations.h"

#include <doctest/doctest.h>

#include <numeric>

#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

// 18 output channels of 4 weights: two blocks, of 4 and of 2 bits. The scale is 0.5.
struct Layer {
  Graph graph;
  Decisions decisions;
  Calibration calibration;
  std::vector<uint32_t> stored;

  Layer() {
    GraphBuilder b(1, 1, 4);
    const uint32_t output = b.Conv(b.input(), 18);
    std::vector<float> values(72);
    for (size_t i = 0; i < values.size(); ++i) values[i] = i < 64 ? 0.5f * (i % 4) : 0.5f;
    b.last_weights().values = std::move(values);
    graph = b.Finish(output);
    LayerDecision layer;
    layer.block_bits = {4, 2};
    layer.codes.resize(72);
    for (size_t i = 0; i < 72; ++i) layer.codes[i] = static_cast<uint8_t>(i < 64 ? 8 + i % 4 : 3);
    layer.scales.assign(18, 0.5);
    layer.bias.assign(18, 0.0);
    decisions.layers = {layer};
    decisions.activations.resize(2);
    calibration.histograms.resize(2);
    calibration.channel_magnitudes = {{1, 0, 2, 0}, std::vector<float>(18, 1.0f)};
    stored = {0, 1};
  }

  Observations Observe() const {
    auto result = mpq::Observe(graph, calibration, decisions, stored);
    REQUIRE_MESSAGE(result.ok(), result.status().message());
    return *std::move(result);
  }
};

uint64_t Total(const Bars& bars) {
  return std::accumulate(bars.counts.begin(), bars.counts.end(), uint64_t{0});
}

TEST_CASE("bars hold their ends and what lies outside") {
  Bars bars(-1, 1);
  REQUIRE(bars.counts.size() == Bars::kCount);
  bars.Add(-1, 1);
  bars.Add(0.001, 2);
  bars.Add(1, 3);
  bars.Add(-7, 4);
  bars.Add(7, 5);
  CHECK(bars.counts.front() == 5);
  CHECK(bars.counts[Bars::kCount / 2] == 2);
  CHECK(bars.counts.back() == 8);
  CHECK(Total(Bars(2, 2)) == 0);
}

TEST_CASE("weights in steps of their scale, beside the levels of the commonest width") {
  const Observations observed = Layer().Observe();
  REQUIRE(observed.weights.size() == 1);
  const WeightObservation& weights = observed.weights[0];
  CHECK(weights.layer == "Conv0");
  CHECK(weights.bits == 4);
  CHECK(weights.channels == 16);
  CHECK(weights.levels ==
        std::vector<std::pair<int, uint64_t>>{{0, 16}, {1, 16}, {2, 16}, {3, 16}});
  CHECK(weights.weights.first == 0);
  CHECK(weights.weights.width * Bars::kCount == doctest::Approx(3));
  CHECK(Total(weights.weights) == 64);
  CHECK(std::isinf(weights.signal_to_noise_db));
  CHECK(weights.zero_channels == 0);
}

TEST_CASE("rounding errors and channels that became 0") {
  Layer layer;
  std::vector<uint8_t>& codes = layer.decisions.layers[0].codes;
  std::fill_n(codes.begin(), 8, uint8_t{8});  // level 0 in two channels
  const WeightObservation weights = layer.Observe().weights[0];
  CHECK(weights.zero_channels == 2);
  // Of 16 channels with 0.25 + 1 + 2.25 and two with 4 * 0.25, two of the first are lost.
  CHECK(weights.signal_to_noise_db == doctest::Approx(10 * std::log10(58.0 / 7)));
}

TEST_CASE("activations: range of the codes, zeros, saturation, silent channels") {
  Layer layer;
  std::vector<float> values(1000, 0.0f);
  for (size_t i = 0; i < 600; ++i) values[i] = 1.0f;
  for (size_t i = 600; i < 610; ++i) values[i] = 40.0f;
  REQUIRE(layer.calibration.histograms[0].Add(values).ok());
  layer.decisions.activations[0] = {0.125f, 16, 8};
  const Observations observed = layer.Observe();
  REQUIRE(observed.activations.size() == 1);  // the logits are none
  const ActivationObservation& input = observed.activations[0];
  CHECK(input.bits == 8);
  CHECK(input.lowest == -2);
  CHECK(input.highest == 29.875);
  CHECK(input.min == 0);
  CHECK(input.max == 40);
  CHECK(input.zeros == 0.39);
  CHECK(input.saturated == 0.01);
  CHECK(input.silent_channels == 2);
  CHECK(Total(input.values) == 610);

  layer.stored[0] = kNone;
  CHECK(layer.Observe().activations.empty());
}

TEST_CASE("sensitivity: importance times error, by width") {
  Layer layer;
  LayerSensitivity sensitivity;
  sensitivity.importance = 0.5;
  sensitivity.options.resize(2);
  sensitivity.options[0].bits = 3;
  sensitivity.options[0].error = 4;
  sensitivity.options[1].bits = 8;
  const auto observed = Observe(layer.graph, {sensitivity});
  REQUIRE(observed.size() == 1);
  CHECK(observed[0].layer == "Conv0");
  CHECK(observed[0].kl_by_bits == std::vector<std::pair<int, double>>{{3, 2.0}, {8, 0.0}});
}

}  // namespace
}  // namespace mpq
