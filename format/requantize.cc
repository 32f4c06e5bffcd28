#include "format/requantize.h"

#include <cmath>

namespace mpq {

namespace {
constexpr int kMinPre = -15;
constexpr int kMaxPre = 31;
constexpr int kMinMultiplier = 1 << 14;
constexpr int kMaxMultiplier = (1 << 15) - 1;
}  // namespace

bool Requantizer::Valid(uint32_t word) {
  if ((word >> 22 & 3) != 0) return false;
  const Requantizer r = Unpack(word);
  if (r.pre < kMinPre || r.pre > kMaxPre) return false;
  return r.shifted ? r.m == 0 : r.m >= kMinMultiplier;
}

double Requantizer::Factor() const {
  if (shifted) return std::ldexp(1.0, -pre);
  return std::ldexp(static_cast<double>(m), -15 - pre - 6);
}

Requantizer Requantizer::FromFactor(double factor, uint8_t code_hi) {
  Requantizer r;
  r.code_hi = code_hi;
  int exponent = 0;
  const double fraction = std::frexp(factor * 64.0, &exponent);  // in [0.5, 1), or 0
  r.m = static_cast<int32_t>(std::lround(fraction * 32768.0));
  r.pre = -exponent;
  if (r.m > kMaxMultiplier) {  // rounded up to 1.0
    r.m = kMinMultiplier;
    --r.pre;
  }
  if (factor <= 0.0 || r.pre > kMaxPre) {
    r.m = kMinMultiplier;
    r.pre = kMaxPre;
  }
  if (r.pre < kMinPre) {
    r.m = kMaxMultiplier;
    r.pre = kMinPre;
  }
  return r;
}

Requantizer Requantizer::FromShift(int shift, uint8_t code_hi) {
  Requantizer r;
  r.m = 0;
  r.pre = std::clamp(shift, kMinPre, kMaxPre);
  r.shifted = true;
  r.code_hi = code_hi;
  return r;
}

}  // namespace mpq
