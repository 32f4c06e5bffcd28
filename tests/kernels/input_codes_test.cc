// Pixels to input codes: whatever vectors do, the result is the table's.
#include "engine/kernels/input_codes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace mpq {
namespace {

Preprocessing MakePreprocessing(std::array<float, 3> mean, std::array<float, 3> std, double scale,
                                int zero_point) {
  Preprocessing result;
  result.mean = mean;
  result.std = std;
  for (size_t c = 0; c < 3; ++c) {
    for (int v = 0; v < 256; ++v) {
      const double code = zero_point + std::round((v - double{mean[c]}) / std[c] / scale);
      result.input_codes.push_back(static_cast<uint8_t>(std::clamp(code, 0.0, 255.0)));
    }
  }
  return result;
}

// On every instruction set, for numbers of pixels around those of vectors.
void CheckConversion(const Preprocessing& preprocessing, double scale, bool vectorised) {
  for (const Isa isa : SupportedIsas()) {
    const InputCodes input_codes(preprocessing, scale, isa);
    CHECK(input_codes.is_vectorised() == (vectorised && isa != Isa::kScalar));
    for (const size_t pixels : {1, 3, 4, 8, 15, 16, 17, 33, 64, 256, 1000}) {
      std::vector<uint8_t> rgb(3 * pixels), expected(3 * pixels), codes(3 * pixels + 1, 77);
      for (size_t i = 0; i < pixels; ++i) {
        for (size_t c = 0; c < 3; ++c) rgb[3 * i + c] = static_cast<uint8_t>(i * (85 * c + 1));
        for (size_t c = 0; c < 3; ++c) {
          const uint8_t value = rgb[3 * i + (preprocessing.bgr ? 2 - c : c)];
          expected[3 * i + c] = preprocessing.input_codes[256 * c + value];
        }
      }
      input_codes.Convert(rgb.data(), pixels, codes.data());
      CHECK(codes.back() == 77);
      codes.pop_back();
      CHECK(codes == expected);
    }
  }
}

TEST_CASE("Tables of means and scales become lines") {
  CheckConversion(MakePreprocessing({0, 0, 0}, {1, 1, 1}, 1, 0), 1, true);
  CheckConversion(MakePreprocessing({127, 127, 127}, {128, 128, 128}, 1.0 / 127, 126), 1.0 / 127,
                  true);
  CheckConversion(MakePreprocessing({127.5, 127.5, 127.5}, {127.5, 127.5, 127.5}, 1 / 127.5, 127),
                  1 / 127.5, true);  // nothing but ties
  const std::array<float, 3> mean = {123.675f, 116.28f, 103.53f}, std = {58.395f, 57.12f, 57.375f};
  CheckConversion(MakePreprocessing(mean, std, 0.0186584f, 114), 0.0186584f, true);
  // Codes of half the range, and of a range that is too small: both ends saturate.
  CheckConversion(MakePreprocessing(mean, std, 0.04, 114), 0.04, true);
  CheckConversion(MakePreprocessing(mean, std, 0.011, 100), 0.011, true);
}

TEST_CASE("Other tables are looked up") {
  Preprocessing other = MakePreprocessing({0, 0, 0}, {1, 1, 1}, 1, 0);
  other.bgr = true;
  CheckConversion(other, 1, false);
  other.bgr = false;
  other.input_codes[256 + 100] = 200;
  CheckConversion(other, 1, false);
  std::reverse(other.input_codes.begin(), other.input_codes.end());
  CheckConversion(other, 1, false);
  CheckConversion(other, -1, false);
  CheckConversion(MakePreprocessing({0, 0, 0}, {1, 1, 1}, 0.25, 0), 0.25, false);  // too steep
}

}  // namespace
}  // namespace mpq
