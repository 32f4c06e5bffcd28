// Expected values are worked out by hand from the definitions in requantize.h.
#include "format/requantize.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

namespace mpq {
namespace {

Requantizer Scaled(int32_t m, int32_t pre, uint8_t code_hi = 255) {
  Requantizer r;
  r.m = m;
  r.pre = pre;
  r.code_hi = code_hi;
  return r;
}

TEST_CASE("RoundShift: ties upward, also below zero") {
  CHECK(RoundShift(5, 1) == 3);    // 2.5
  CHECK(RoundShift(-5, 1) == -2);  // -2.5
  CHECK(RoundShift(-6, 2) == -1);  // -1.5
  CHECK(RoundShift(6, 2) == 2);    // 1.5
  CHECK(RoundShift(-7, 2) == -2);  // -1.75
  CHECK(RoundShift(9, 0) == 9);
  CHECK(RoundShift(-9, -2) == -36);
  CHECK(RoundShift(kMaxAccumulator, 31) == 0);
  CHECK(RoundShift(1 << 30, 31) == 1);
  CHECK(RoundShift(-(1 << 30), 31) == 0);
}

TEST_CASE("scaled form") {
  // m = 2^14: u = (t + 1) >> 1, y = (u + 32) >> 6, so 128 accumulator steps a code.
  const Requantizer half = Scaled(1 << 14, 0);
  CHECK(RequantizeS16(1, half) == 1);
  CHECK(RequantizeS16(-1, half) == 0);
  CHECK(RequantizeS16(-2, half) == -1);
  CHECK(RequantizeS16(-3, half) == -1);
  CHECK(RequantizeU8(128, half, 0, 0) == 1);
  CHECK(RequantizeU8(62, half, 0, 0) == 0);     // u = 31
  CHECK(RequantizeU8(63, half, 0, 0) == 1);     // u = 32: the tie goes up
  CHECK(RequantizeU8(-66, half, 10, 0) == 9);   // u = -33
  CHECK(RequantizeU8(-64, half, 10, 0) == 10);  // u = -32: the tie goes up
  // m = 2^15 - 1: t = 32767 gives u = (32767 * 32767 + 16384) >> 15 = 32766.
  const Requantizer most = Scaled((1 << 15) - 1, 0);
  CHECK(RequantizeS16(32767, most) == 32766);
  CHECK(RequantizeS16(-32768, most) == -32767);
  // 24576 = 0.75: (3 * 24576 + 16384) >> 15 = 2, (-3 * 24576 + 16384) >> 15 = -2.
  CHECK(RequantizeS16(3, Scaled(24576, 0)) == 2);
  CHECK(RequantizeS16(-3, Scaled(24576, 0)) == -2);
}

TEST_CASE("scaled form saturates at 16 bits before it multiplies") {
  const Requantizer half = Scaled(1 << 14, 0);
  CHECK(RequantizeS16(32767, half) == 16384);
  CHECK(RequantizeS16(32768, half) == 16384);
  CHECK(RequantizeS16(kMaxAccumulator, half) == 16384);
  CHECK(RequantizeS16(-kMaxAccumulator, half) == -16384);
  CHECK(RequantizeU8(kMaxAccumulator, half, 0, 0) == 255);
  CHECK(RequantizeU8(kMaxAccumulator, half, 0, 0) == 255);
  CHECK(RequantizeU8(-kMaxAccumulator, half, 255, 0) == 0);
  // The widest shifts, both ways.
  CHECK(RequantizeS16(kMaxAccumulator, Scaled(1 << 14, -15)) == 16384);
  CHECK(RequantizeS16(1, Scaled(1 << 14, -15)) == 16384);  // 32768 saturates to 32767
  CHECK(RequantizeS16(kMaxAccumulator, Scaled(1 << 14, 31)) == 0);
}

TEST_CASE("shifted form rounds once") {
  const Requantizer by_16 = Requantizer::FromShift(4);
  CHECK(RequantizeU8(7, by_16, 100, 0) == 100);
  CHECK(RequantizeU8(8, by_16, 100, 0) == 101);   // 0.5
  CHECK(RequantizeU8(-8, by_16, 100, 0) == 100);  // -0.5
  CHECK(RequantizeU8(-9, by_16, 100, 0) == 99);
  CHECK(RequantizeS16(1000000, by_16) == 32767);
  CHECK(RequantizeS16(-1000000, by_16) == -32768);
  CHECK(RequantizeU8(kMaxAccumulator, Requantizer::FromShift(-15), 0, 0) == 255);
  // Unlike the scaled form, no 16-bit bound before the zero point.
  CHECK(RequantizeU8(-70000, Requantizer::FromShift(0), 255, 0) == 0);
}

TEST_CASE("clamps apply after saturation") {
  const Requantizer r = Scaled(1 << 14, 0, 200);
  CHECK(RequantizeU8(kMaxAccumulator, r, 0, 10) == 200);
  CHECK(RequantizeU8(-kMaxAccumulator, r, 0, 10) == 10);
}

TEST_CASE("requantisation words") {
  for (const int pre : {-15, -1, 0, 31}) {
    for (const int m : {1 << 14, 23456, (1 << 15) - 1}) {
      const Requantizer r = Scaled(m, pre, 77);
      CHECK(Requantizer::Valid(r.Pack()));
      const Requantizer back = Requantizer::Unpack(r.Pack());
      CHECK(back.m == m);
      CHECK(back.pre == pre);
      CHECK(!back.shifted);
      CHECK(back.code_hi == 77);
    }
    CHECK(Requantizer::Valid(Requantizer::FromShift(pre).Pack()));
  }
  CHECK(Scaled(1 << 14, 0).Pack() == 0xff07c000u);
  CHECK(!Requantizer::Valid(Scaled(1 << 14, 0).Pack() | 1u << 22));
  CHECK(!Requantizer::Valid(Scaled(1 << 14, 0).Pack() | 1u << 23));
  CHECK(!Requantizer::Valid(Scaled((1 << 14) - 1, 0).Pack()));
  CHECK(!Requantizer::Valid(Scaled(1 << 14, 32).Pack()));
  CHECK(!Requantizer::Valid(Scaled(1 << 14, 48).Pack()));
  CHECK(!Requantizer::Valid(Scaled(1 << 14, 0).Pack() | 1u << 21));  // shifted, but m is not 0
}

TEST_CASE("factors survive to 15 bits") {
  std::mt19937 random(4);
  for (int i = 0; i < 2000; ++i) {
    const double factor =
        std::ldexp(1.0 + random() / 4294967296.0, static_cast<int>(random() % 40) - 32);
    if (factor >= 512) continue;
    const Requantizer r = Requantizer::FromFactor(factor);
    CHECK(Requantizer::Valid(r.Pack()));
    CHECK(std::abs(r.Factor() / factor - 1) < 1.0 / (1 << 15));
  }
  CHECK(Requantizer::FromFactor(1.0 / 64).Factor() == 1.0 / 64);
  CHECK(Requantizer::Valid(Requantizer::FromFactor(0).Pack()));
  CHECK(Requantizer::Valid(Requantizer::FromFactor(1e-30).Pack()));
  CHECK(Requantizer::Valid(Requantizer::FromFactor(1e9).Pack()));
  // Rounded up to the next power of two.
  CHECK(Requantizer::FromFactor(1.0 - 1e-9).Factor() == 1.0);
}

TEST_CASE("residuals") {
  CHECK(ResidualSteps(77, 77, 12345) == 0);  // no residual, no change
  // 2^14 is a factor of 1: 64 steps a code.
  CHECK(ResidualSteps(3, 1, 1 << 14) == 128);
  CHECK(ResidualSteps(1, 3, 1 << 14) == -128);
  // Floors of products: 5 * 1000 / 256 = 19.5, 2 * 1000 / 256 = 7.8.
  CHECK(ResidualSteps(5, 2, 1000) == 12);
  CHECK(ResidualSteps(2, 5, 1000) == -12);
  CHECK(ResidualSteps(255, 0, kMaxResidualMultiplier) == 32639);
  CHECK(ResidualSteps(0, 255, kMaxResidualMultiplier) == -32639);
  CHECK(ResidualSteps(255, 0, 0) == 0);

  const Requantizer half = Scaled(1 << 14, 0);  // u = (x + 1) >> 1
  CHECK(RequantizeWithResidual(0, half, 31, 0, 0) == 0);
  CHECK(RequantizeWithResidual(0, half, 32, 0, 0) == 1);     // half a code: up
  CHECK(RequantizeWithResidual(0, half, -32, 10, 0) == 10);  // also below zero
  CHECK(RequantizeWithResidual(0, half, -33, 10, 0) == 9);
  // One rounding: 0.5 and 0.5 of a code are 1, not 2.
  CHECK(RequantizeWithResidual(63, half, 32, 0, 0) == 1);
  CHECK(RequantizeWithResidual(-64, half, 32, 0, 0) == 0);
  // What the accumulator has beyond 255 codes, a residual may take back.
  CHECK(RequantizeU8(128 * 250, half, 20, 0) == 255);
  CHECK(RequantizeWithResidual(128 * 250, half, -64 * 200, 20, 0) == 70);
  CHECK(RequantizeWithResidual(kMaxAccumulator, half, 32639, 255, 0) == 255);
  CHECK(RequantizeWithResidual(-kMaxAccumulator, half, -32639, 0, 0) == 0);
  const Requantizer clamped = Scaled(1 << 14, 0, 200);
  CHECK(RequantizeWithResidual(kMaxAccumulator, clamped, 32639, 0, 10) == 200);
  CHECK(RequantizeWithResidual(-kMaxAccumulator, clamped, 0, 0, 10) == 10);
}

TEST_CASE("residuals are within 1/64 of a code of the exact product") {
  for (int32_t m = 0; m <= kMaxResidualMultiplier; m += 97) {
    for (int32_t zero_point = 0; zero_point <= 255; zero_point += 15) {
      for (int32_t r = 0; r <= 255; ++r) {
        const double exact = std::ldexp((r - zero_point) * m, -8);
        const int32_t steps = ResidualSteps(static_cast<uint8_t>(r), zero_point, m);
        REQUIRE(std::abs(steps - exact) < 1.0);
      }
    }
  }
}

TEST_CASE("residuals in 16-bit lanes with saturation are the same") {
  const auto lanes = [](int32_t u, uint8_t r, int32_t zero_r, int32_t m, int32_t zero_point) {
    const int32_t addend = (r * m >> 8) + (32 - (zero_r * m >> 8));
    REQUIRE(addend == Saturate16(addend));
    return SaturateU8(Saturate16((Saturate16(u + addend) >> 6) + zero_point));
  };
  const Requantizer most = Scaled((1 << 15) - 1, 0);
  std::mt19937 random(6);
  for (int i = 0; i < 100000; ++i) {
    const bool extreme = i % 2 == 0;
    const auto byte = [&] {
      return static_cast<uint8_t>(extreme ? (random() % 2 == 0 ? 0 : 255) : random() % 256);
    };
    const auto m = static_cast<int32_t>(extreme ? kMaxResidualMultiplier : random() % (1 << 15));
    const int32_t x = static_cast<int32_t>(random() % 140000) - 70000;
    const uint8_t r = byte(), zero_r = byte(), zero_point = byte();
    REQUIRE(lanes(RequantizeS16(x, most), r, zero_r, m, zero_point) ==
            RequantizeWithResidual(x, most, ResidualSteps(r, zero_r, m), zero_point, 0));
  }
}

TEST_CASE("sums") {
  // 3 * 16384 + 1 * 8192 = 57344; / 2^14 = 3.5, the tie goes up.
  CHECK(AddCodes(3, 16384, 1, 8192, 14, 0, 0, 255) == 4);
  CHECK(AddCodes(-3, 16384, -1, 8192, 14, 10, 0, 255) == 7);  // -3.5 goes up to -3
  CHECK(AddCodes(255, 32767, 255, 32767, 1, 0, 0, 255) == 255);
  CHECK(AddCodes(-255, 32767, -255, 32767, 1, 255, 0, 255) == 0);
  CHECK(AddCodes(255, 32767, 255, 32767, 30, 7, 0, 255) == 7);
  CHECK(AddCodes(100, 16384, 0, 0, 14, 0, 0, 60) == 60);
  CHECK(AddCodes(0, 16384, 0, 0, 14, 0, 5, 60) == 5);
}

TEST_CASE("averages floor, they do not truncate") {
  const auto average = [](int64_t sum, uint32_t count) {
    return static_cast<int>(AverageCode(sum, count, 1, 0, 100, 0, 255)) - 100;
  };
  CHECK(average(7, 2) == 4);    // 3.5 goes up
  CHECK(average(-7, 2) == -3);  // -3.5 goes up
  CHECK(average(-8, 3) == -3);  // -2.67
  CHECK(average(-7, 3) == -2);  // -2.33
  CHECK(average(-1, 4) == 0);
  CHECK(average(-2, 4) == 0);  // -0.5 goes up
  CHECK(average(-3, 4) == -1);
  CHECK(average(0, 49) == 0);
  // 0.75 by shift: 10 * 3 / 4 / 2 = 3.75.
  CHECK(AverageCode(10, 2, 3, 2, 0, 0, 255) == 4);
  // The bounds: 65536 pixels of 255, the largest multiplier and shift.
  CHECK(AverageCode(65536 * 255, 65536, 1 << 30, 30, 0, 0, 255) == 255);
  CHECK(AverageCode(-65536 * 255, 65536, 1 << 30, 30, 255, 0, 255) == 0);
  CHECK(AverageCode(65536 * 255, 65536, 1 << 30, 0, 0, 0, 255) == 255);
  CHECK(AverageCode(-65536 * 255, 65536, 1 << 30, 0, 0, 0, 255) == 0);
  CHECK(AverageCode(100, 1, 1, 0, 0, 7, 50) == 50);
  CHECK(AverageCode(-100, 1, 1, 0, 0, 7, 50) == 7);
}

TEST_CASE("averages equal exact rational rounding") {
  std::mt19937 random(5);
  for (int i = 0; i < 5000; ++i) {
    const auto count = static_cast<uint32_t>(1 + random() % 100);
    const auto sum = static_cast<int64_t>(random() % (510 * count)) - 255 * int64_t{count};
    const auto m = static_cast<int32_t>(random() % (1 << 20));
    const int shift = 12 + static_cast<int>(random() % 8);
    // Exact in doubles: all numbers are below 2^53 and floor sees a dyadic fraction over count.
    const double exact =
        std::floor((2.0 * sum * m + std::ldexp(count, shift)) / std::ldexp(2.0 * count, shift));
    const double expected = std::min(255.0, std::max(0.0, 128 + exact));
    CHECK(AverageCode(sum, count, m, shift, 128, 0, 255) == expected);
  }
}

}  // namespace
}  // namespace mpq
