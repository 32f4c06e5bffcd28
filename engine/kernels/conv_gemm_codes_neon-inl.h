// The end of a tile with NEON: sums to codes. Each micro-kernel's file compiles a copy of its own.
#ifndef MPQ_ENGINE_KERNELS_CONV_GEMM_CODES_NEON_INL_H_
#define MPQ_ENGINE_KERNELS_CONV_GEMM_CODES_NEON_INL_H_

#include <arm_neon.h>

#include <cstdint>

#include "engine/kernels/conv_gemm_tile.h"

namespace mpq {

namespace {

// A quarter of a block, after the right shift.
inline int16x4_t ShiftSums(const int32_t* sums, const int32_t* right) {
  return vqmovn_s32(vshlq_s32(vld1q_s32(sums), vnegq_s32(vld1q_s32(right))));
}

// 64ths of a code that are added before rounding; `codes`: null or 8 codes of the residual. The
// doubling product of a code times 2^7 is its product by the multiplier >> 8.
inline int16x8_t Addends(const GemmResidual& residual, const uint8_t* codes) {
  if (codes == nullptr) return vdupq_n_s16(32);
  const int16x8_t scaled = vreinterpretq_s16_u16(vshll_n_u8(vld1_u8(codes), 7));
  const int16x8_t product = vqdmulhq_n_s16(scaled, static_cast<int16_t>(residual.multiplier));
  return vaddq_s16(product, vdupq_n_s16(residual.offset));
}

// Half a block: 8 output steps with the zero point. Additions saturate only where the code does.
inline int16x8_t OutputSteps(const int32_t* sums, const GemmChannels& channels, uint32_t first,
                             int16x8_t addends, int16x8_t zero_point) {
  const int16x8_t shifted_right =
      vcombine_s16(ShiftSums(sums + first, channels.right + first),
                   ShiftSums(sums + first + 4, channels.right + first + 4));
  const int16x8_t left = vcombine_s16(vmovn_s32(vld1q_s32(channels.left + first)),
                                      vmovn_s32(vld1q_s32(channels.left + first + 4)));
  const int16x8_t t = vqshlq_s16(shifted_right, left);
  const int16x8_t multiplier = vld1q_s16(channels.multiplier + first);
  const int16x8_t u = vqrdmulhq_s16(t, multiplier);
  const int16x8_t scaled = vshrq_n_s16(vqaddq_s16(u, addends), 6);
  const uint16x8_t shifted = vceqzq_s16(multiplier);
  return vqaddq_s16(vbslq_s16(shifted, t, scaled), zero_point);
}

inline void StoreBlock(const GemmTile& tile, uint32_t block, uint32_t num_rows,
                       uint32_t sums_stride) {
  const GemmChannels& channels = tile.channels[block];
  const int32_t* sums = tile.sums + block * kGemmBlockChannels;
  uint8_t* dst = tile.dst + block * kGemmBlockChannels;
  const uint8_t* residual = tile.residual.codes;
  if (residual != nullptr) residual += block * kGemmBlockChannels;
  const uint32_t count = tile.dst_channels - block * kGemmBlockChannels;
  const int16x8_t zero_point = vdupq_n_s16(tile.zero_point);
  const uint8x16_t lo = vdupq_n_u8(tile.code_lo);
  const uint8x16_t hi = vld1q_u8(channels.code_hi);
  for (uint32_t row = 0; row < num_rows; ++row) {
    const int16x8_t low = Addends(tile.residual, residual);
    const int16x8_t high = Addends(tile.residual, residual == nullptr ? nullptr : residual + 8);
    uint8x16_t codes = vcombine_u8(vqmovun_s16(OutputSteps(sums, channels, 0, low, zero_point)),
                                   vqmovun_s16(OutputSteps(sums, channels, 8, high, zero_point)));
    codes = vminq_u8(vmaxq_u8(codes, lo), hi);
    if (count >= kGemmBlockChannels) {
      vst1q_u8(dst, codes);
    } else {
      uint8_t part[kGemmBlockChannels];
      vst1q_u8(part, codes);
      for (uint32_t i = 0; i < count; ++i) dst[i] = part[i];
    }
    sums += sums_stride;
    dst += tile.dst_stride;
    if (residual != nullptr) residual += tile.residual.stride;
  }
}

}  // namespace

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_CONV_GEMM_CODES_NEON_INL_H_
