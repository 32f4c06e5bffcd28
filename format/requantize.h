// The integer arithmetic of mpq: NORMATIVE. Every kernel on every instruction set, and the
// quantiser's simulation, give exactly these results. Integers only; >> is an arithmetic shift
// (floor), sat16 and sat_u8 saturate.
#ifndef MPQ_FORMAT_REQUANTIZE_H_
#define MPQ_FORMAT_REQUANTIZE_H_

#include <algorithm>
#include <cstdint>

namespace mpq {

// Largest |accumulator + bias| that a layer may reach. The writer proves it per channel and the
// reader checks it, so adding half a rounding step never leaves int32.
inline constexpr int64_t kMaxAccumulator = (int64_t{1} << 30) - 1;

inline int32_t Saturate16(int64_t x) {
  return static_cast<int32_t>(std::clamp<int64_t>(x, -32768, 32767));
}
inline uint8_t SaturateU8(int64_t x) {
  return static_cast<uint8_t>(std::clamp<int64_t>(x, 0, 255));
}

// x / 2^shift rounded to nearest, ties upward; a negative shift multiplies.
inline int64_t RoundShift(int64_t x, int shift) {
  if (shift <= 0) return x * (int64_t{1} << -shift);
  return (x + (int64_t{1} << (shift - 1))) >> shift;
}

// How an accumulator becomes an output code, per output channel. Two forms:
//   scaled:  t = sat16(RoundShift(acc + bias, pre)); u = (t * m + 2^14) >> 15;
//            y = sat_u8(zp + ((u + 32) >> 6)), m in 2^14..2^15-1: the real factor is
//            m * 2^-15 * 2^-pre / 64
//   shifted: y = sat_u8(zp + RoundShift(acc + bias, pre)): power-of-two scales, one rounding
// then y = min(max(y, code_lo), code_hi). For a kS16 output (logits) the result is u (scaled) or
// sat16(RoundShift(acc + bias, pre)) (shifted), without zero point and without clamps.
// `pre` follows from the factor alone, so t uses its 15 bits over the output's range and larger
// accumulators saturate, as they would in the output.
struct Requantizer {
  int32_t m = 1 << 14;  // scaled: 2^14..2^15-1; shifted: 0
  int32_t pre = 0;      // -15..31
  bool shifted = false;
  uint8_t code_hi = 255;

  // bits 0-14: m; 15-20: pre + 15; 21: shifted; 22-23: zero; 24-31: code_hi
  uint32_t Pack() const {
    return static_cast<uint32_t>(m) | static_cast<uint32_t>(pre + 15) << 15 |
           static_cast<uint32_t>(shifted) << 21 | static_cast<uint32_t>(code_hi) << 24;
  }
  static Requantizer Unpack(uint32_t word) {
    Requantizer r;
    r.m = static_cast<int32_t>(word & 0x7fff);
    r.pre = static_cast<int32_t>(word >> 15 & 63) - 15;
    r.shifted = (word >> 21 & 1) != 0;
    r.code_hi = static_cast<uint8_t>(word >> 24);
    return r;
  }
  // False for words no writer produces: reserved bits, m or pre out of range.
  static bool Valid(uint32_t word);

  // The real number by which accumulators are multiplied to give output codes (kU8).
  double Factor() const;
  // The scaled form nearest to `factor` (0 <= factor < 512; smaller than the smallest: the
  // smallest). kS16 outputs keep u, so callers pass scale ratio / 64 for them.
  static Requantizer FromFactor(double factor, uint8_t code_hi = 255);
  static Requantizer FromShift(int shift, uint8_t code_hi = 255);
};

// What is stored per output channel of a convolution, 8 bytes.
struct ChannelParams {
  int32_t bias = 0;      // added to the accumulator; contains -zero_point * sum(levels)
  uint32_t requant = 0;  // Requantizer::Pack
};
static_assert(sizeof(ChannelParams) == 8);

// The 15-bit result u of the scaled form, or sat16 of the shifted one. |x| <= kMaxAccumulator.
inline int32_t RequantizeS16(int32_t x, const Requantizer& r) {
  const int32_t t = Saturate16(RoundShift(x, r.pre));
  return r.shifted ? t : (t * r.m + (1 << 14)) >> 15;
}

inline uint8_t RequantizeU8(int32_t x, const Requantizer& r, int32_t zero_point, uint8_t code_lo) {
  const int64_t steps = r.shifted ? RoundShift(x, r.pre) : (RequantizeS16(x, r) + 32) >> 6;
  const uint8_t y = SaturateU8(zero_point + steps);
  return std::min(std::max(y, code_lo), r.code_hi);
}

// Multipliers of residuals are smaller, so that r * m >> 8 fits 16 bits.
inline constexpr int32_t kMaxResidualMultiplier = (1 << 15) - 1;

// What a residual code r adds to a convolution's result, in the units of u, 1/64 of an output code:
//   v = (r * m >> 8) - (zr * m >> 8), m in 0..kMaxResidualMultiplier, the real factor is m * 2^-14
// It is 0 for the zero point, and within 1/64 of an output code of the exact product.
inline int32_t ResidualSteps(uint8_t r, int32_t zero_point, int32_t m) {
  return (r * m >> 8) - (zero_point * m >> 8);
}

// A convolution with a residual, which the scaled form only has: one rounding of the sum,
//   y = sat_u8(zp + ((u + v + 32) >> 6)), then y = min(max(y, code_lo), code_hi)
// 16-bit lanes give the same: v + 32 fits them, and where u + (v + 32) saturates, at 512 output
// codes, so does y, because zp is within 0..255.
inline uint8_t RequantizeWithResidual(int32_t x, const Requantizer& r, int32_t residual_steps,
                                      int32_t zero_point, uint8_t code_lo) {
  const int32_t steps = (RequantizeS16(x, r) + residual_steps + 32) >> 6;
  return std::min(std::max(SaturateU8(zero_point + steps), code_lo), r.code_hi);
}

// kAdd: y = sat_u8(zp + (((a-za)*ma + (b-zb)*mb + 2^(shift-1)) >> shift)), clamped.
// kClip is the same with one operand. Multipliers within int16, shift 1..30, so all fits int32.
inline uint8_t AddCodes(int32_t a_minus_za, int32_t ma, int32_t b_minus_zb, int32_t mb, int shift,
                        int32_t zero_point, uint8_t code_lo, uint8_t code_hi) {
  const int32_t sum = a_minus_za * ma + b_minus_zb * mb;
  const int32_t y = zero_point + ((sum + (1 << (shift - 1))) >> shift);
  return std::min(std::max(SaturateU8(y), code_lo), code_hi);
}

// kAvgPool, kGlobalAvgPool: y = sat_u8(zp + floor((2*s*m + d) / (2*d))), s = sum of codes minus
// count * input zero point, d = count * 2^shift: one exact rounding, ties upward. m in 0..2^30,
// shift 0..30, count <= 2^16 (so |2*s*m| < 2^56).
inline uint8_t AverageCode(int64_t sum_minus_zeros, uint32_t count, int32_t m, int shift,
                           int32_t zero_point, uint8_t code_lo, uint8_t code_hi) {
  const int64_t d = static_cast<int64_t>(count) << shift;
  const int64_t n = 2 * sum_minus_zeros * m + d;
  int64_t q = n / (2 * d);
  if (n % (2 * d) < 0) --q;  // C++ truncates; we floor
  return std::min(std::max(SaturateU8(zero_point + q), code_lo), code_hi);
}

}  // namespace mpq

#endif  // MPQ_FORMAT_REQUANTIZE_H_
