#include "format/level_set.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <vector>

namespace mpq {
namespace {

std::vector<int> ToVector(const Levels& levels) {
  return std::vector<int>(levels.level.begin(), levels.level.begin() + levels.count);
}

std::vector<int> TwoRegion(int bits, uint8_t step, uint8_t dense, bool spare_negative) {
  return ToVector(TwoRegionLevels(bits, {step, dense, spare_negative}).value());
}

void CheckAscendingWithZero(const Levels& levels) {
  for (uint32_t code = 1; code < levels.count; ++code) {
    CHECK(levels.level[code] > levels.level[code - 1]);
  }
  CHECK(levels.level[levels.zero_code()] == 0);
}

TEST_CASE("uniform levels") {
  CHECK(ToVector(UniformLevels(2).value()) == std::vector<int>{-2, -1, 0, 1});
  for (int bits = 2; bits <= 8; ++bits) {
    const Levels levels = UniformLevels(bits).value();
    CHECK(levels.count == 1u << bits);
    CHECK(levels.zero_code() == 1 << (bits - 1));
    CHECK(levels.max_magnitude() == 1 << (bits - 1));
    CheckAscendingWithZero(levels);
  }
  CHECK(!UniformLevels(1).ok());
  CHECK(!UniformLevels(9).ok());
  CHECK(!UniformLevels(0).ok());
}

TEST_CASE("two-region levels, written out by hand") {
  CHECK(TwoRegion(2, 1, 1, false) == std::vector<int>{-1, 0, 1, 2});
  CHECK(TwoRegion(2, 4, 1, true) == std::vector<int>{-5, -1, 0, 1});
  CHECK(TwoRegion(3, 2, 1, false) == std::vector<int>{-5, -3, -1, 0, 1, 3, 5, 7});
  CHECK(TwoRegion(3, 3, 2, true) == std::vector<int>{-8, -5, -2, -1, 0, 1, 2, 5});
  CHECK(TwoRegion(4, 2, 4, false) ==
        std::vector<int>{-10, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 10, 12});
}

TEST_CASE("every two-region shape is ascending or refused") {
  int accepted = 0;
  for (int bits = 1; bits <= 8; ++bits) {
    for (int byte = 0; byte < 256; ++byte) {
      const TwoRegionShape shape = TwoRegionShape::Unpack(static_cast<uint8_t>(byte));
      CHECK(shape.Pack() == byte);
      const Result<Levels> levels = TwoRegionLevels(bits, shape);
      const int positive = (1 << (bits - 1)) - 1;
      const int top = shape.dense + shape.step * (positive - shape.dense);
      const bool valid = bits >= 2 && bits <= 6 && shape.dense >= 1 && shape.dense <= positive &&
                         top + shape.step <= 127;
      REQUIRE(levels.ok() == valid);
      if (!valid) continue;
      ++accepted;
      CheckAscendingWithZero(*levels);
      CHECK(levels->max_magnitude() == top + shape.step);
    }
  }
  CHECK(accepted > 200);
}

TEST_CASE("tables") {
  const std::array<int8_t, 4> table = {-128, -3, 0, 127};
  const Levels levels = TableLevels(2, table).value();
  CHECK(levels.zero_code() == 2);
  CHECK(levels.max_magnitude() == 128);
  CHECK(TableLevels(1, std::array<int8_t, 2>{0, 1}).value().zero_code() == 0);
  CHECK(!TableLevels(2, std::array<int8_t, 4>{-2, 0, 0, 1}).ok());  // not ascending
  CHECK(!TableLevels(2, std::array<int8_t, 4>{1, 2, 3, 4}).ok());   // no 0
  CHECK(!TableLevels(2, std::array<int8_t, 2>{0, 1}).ok());
  CHECK(!TableLevels(7, std::vector<int8_t>(128)).ok());
}

TEST_CASE("the nearest code, ties to the smaller level") {
  const Levels levels = TableLevels(2, std::array<int8_t, 4>{-4, 0, 1, 5}).value();
  CHECK(levels.NearestCode(-100.0f) == 0);
  CHECK(levels.NearestCode(-2.01f) == 0);
  CHECK(levels.NearestCode(-2.0f) == 0);
  CHECK(levels.NearestCode(-1.99f) == 1);
  CHECK(levels.NearestCode(0.5f) == 1);
  CHECK(levels.NearestCode(0.51f) == 2);
  CHECK(levels.NearestCode(3.0f) == 2);
  CHECK(levels.NearestCode(3.01f) == 3);
  CHECK(levels.NearestCode(100.0f) == 3);
}

TEST_CASE("every level is its own nearest") {
  for (int bits = 2; bits <= 8; ++bits) {
    const Levels levels = UniformLevels(bits).value();
    for (uint32_t code = 0; code < levels.count; ++code) {
      CHECK(levels.NearestCode(levels.level[code]) == code);
    }
  }
}

}  // namespace
}  // namespace mpq
