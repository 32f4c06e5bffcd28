// Tile decoding with NEON: a tile is four registers of 16 codes.
#include <arm_neon.h>

#include <cstdint>

#include "engine/kernels/tile_decode.h"

namespace mpq {

namespace {

// x >> shift in each byte.
inline uint8x16_t ShiftRight(uint8x16_t x, int shift) {
  return vshlq_u8(x, vdupq_n_s8(static_cast<int8_t>(-shift)));
}

// Codes 16 * kPart .. 16 * kPart + 15 of the plane of kBits bits at `packed`.
template <int kBits, int kPart>
inline uint8x16_t LoadPlane(const uint8_t* packed) {
  if constexpr (kBits == 8) {
    return vld1q_u8(packed + 16 * kPart);
  } else if constexpr (kBits == 4) {
    const uint8x16_t bytes = ShiftRight(vld1q_u8(packed + kPart % 2 * 16), kPart / 2 * 4);
    return vandq_u8(bytes, vdupq_n_u8(0x0f));
  } else if constexpr (kBits == 2) {
    return vandq_u8(ShiftRight(vld1q_u8(packed), 2 * kPart), vdupq_n_u8(0x03));
  } else {
    // Runs of 8 codes: bit 2 * kPart of the eight bytes, then bit 2 * kPart + 1.
    const uint8x8_t bytes = vld1_u8(packed);
    const uint8x16_t both = vcombine_u8(vshl_u8(bytes, vdup_n_s8(-2 * kPart)),
                                        vshl_u8(bytes, vdup_n_s8(-2 * kPart - 1)));
    return vandq_u8(both, vdupq_n_u8(0x01));
  }
}

template <int kBits, int kPart>
inline uint8x16_t LoadCodes(const uint8_t* packed) {
  constexpr int kWidest = kBits == 8 ? 8 : kBits >= 4 ? 4 : kBits >= 2 ? 2 : 1;
  if constexpr (kBits == kWidest) {
    return LoadPlane<kBits, kPart>(packed);
  } else {
    const uint8x16_t high = vshlq_n_u8(LoadPlane<kWidest, kPart>(packed), kBits - kWidest);
    return vorrq_u8(high, LoadCodes<kBits - kWidest, kPart>(packed + 8 * kWidest));
  }
}

template <int kBits, int kPart>
inline void DecodePart(const uint8_t* packed, bool uniform, const int8x16x4_t& table, int8_t* dst) {
  const uint8x16_t codes = LoadCodes<kBits, kPart>(packed);
  if (kBits <= 6 && !uniform) {
    vst1q_s8(dst + 16 * kPart, vqtbl4q_s8(table, codes));
  } else {
    const uint8x16_t half = vdupq_n_u8(static_cast<uint8_t>(1 << (kBits - 1)));
    vst1q_s8(dst + 16 * kPart, vreinterpretq_s8_u8(vsubq_u8(codes, half)));
  }
}

template <int kBits>
void Decode(const uint8_t* packed, size_t tiles, const TileLevels& levels, int8_t* dst,
            size_t dst_stride) {
  const bool uniform = levels.uniform;
  const int8x16x4_t table = {{vld1q_s8(levels.table), vld1q_s8(levels.table + 16),
                              vld1q_s8(levels.table + 32), vld1q_s8(levels.table + 48)}};
  for (size_t i = 0; i < tiles; ++i) {
    DecodePart<kBits, 0>(packed, uniform, table, dst);
    DecodePart<kBits, 1>(packed, uniform, table, dst);
    DecodePart<kBits, 2>(packed, uniform, table, dst);
    DecodePart<kBits, 3>(packed, uniform, table, dst);
    packed += 8 * kBits;
    dst += dst_stride;
  }
}

}  // namespace

void DecodeTilesNeon(const uint8_t* packed, size_t tiles, const TileLevels& levels, int8_t* dst,
                     size_t dst_stride) {
  constexpr DecodeTilesFunction kByBits[] = {Decode<1>, Decode<2>, Decode<3>, Decode<4>,
                                             Decode<5>, Decode<6>, Decode<7>, Decode<8>};
  kByBits[levels.bits - 1](packed, tiles, levels, dst, dst_stride);
}

}  // namespace mpq
