// Two-region levels: the choice of shapes, and what it is worth.
#include "quantize/two_region.h"

#include <doctest/doctest.h>

#include "quantize/uniform.h"
#include "quantize/weight_range.h"
#include "tests/quantize/one_layer.h"

namespace mpq {
namespace {

TEST_CASE("Laplacian weights: two regions err less than uniform levels of as many bits") {
  LayerInput layer(LaplaceLayer(96, 32));
  for (const int bits : {4, 5, 6}) {
    CAPTURE(bits);
    const Result<LayerDecision> uniform = DecideUniformLayer(layer.Get(), 0, bits);
    const Result<LayerDecision> two = DecideTwoRegionLayer(layer.Get(), 0, bits);
    REQUIRE(uniform.ok());
    REQUIRE(two.ok());
    CHECK(two->level_set == LevelSetKind::kTwoRegion);
    CHECK(two->block_shapes.size() == 2);
    // methods of the literature find 0.63 at 4 bits for such weights (1.49 against 2.38 % of the
    // variance, with long rows and a shape per channel).
    CHECK(SquaredError(layer, *two) < 0.85 * SquaredError(layer, *uniform));
  }
}

TEST_CASE("the chosen shape is the best of all shapes") {
  LayerInput layer(LaplaceLayer(80, 16));
  const WeightRows rows(layer.Get(), 0);
  constexpr int kBits = 4;
  const auto error_of = [&](const TwoRegionShape& shape) {
    const Levels levels = *TwoRegionLevels(kBits, shape);
    double error = 0;
    for (uint32_t c = 0; c < rows.count(); ++c) {
      error += WeightError(rows.row(c), {}, levels, ChooseWeightScale(rows.row(c), {}, levels));
    }
    return error;
  };
  const double chosen = error_of(ChooseTwoRegionShape(rows, 0, 16, kBits));
  for (uint8_t step = 1; step <= 4; ++step) {
    for (uint8_t dense = 1; dense <= 7; ++dense) {
      for (const bool negative : {false, true}) {
        CHECK(chosen <= error_of({step, dense, negative}) * (1 + 1e-12));
      }
    }
  }
}

TEST_CASE("widths without two regions are uniform") {
  LayerInput layer(LaplaceLayer(8, 4));
  for (const int bits : {1, 7, 8}) {
    const Result<LayerDecision> decision = DecideTwoRegionLayer(layer.Get(), 0, bits);
    REQUIRE(decision.ok());
    CHECK(decision->level_set != LevelSetKind::kTwoRegion);
  }
}

TEST_CASE("rows of zeros have levels, too") {
  LayerInput layer(LaplaceLayer(8, 4));
  layer.graph.weights[0].values = std::vector<float>(32, 0.0f);
  const Result<LayerDecision> decision = DecideTwoRegionLayer(layer.Get(), 0, 4);
  REQUIRE(decision.ok());
  CHECK(SquaredError(layer, *decision) == 0);
}

}  // namespace
}  // namespace mpq
