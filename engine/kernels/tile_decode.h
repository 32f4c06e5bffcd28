// From packed codes (format/code_layout.h) to the int8 levels that kernels multiply. Plain data, as
// conv_gemm_tile.h: the implementations are compiled with flags of their own.
#ifndef MPQ_ENGINE_KERNELS_TILE_DECODE_H_
#define MPQ_ENGINE_KERNELS_TILE_DECODE_H_

#include <cstddef>
#include <cstdint>

namespace mpq {

// What the codes of one block mean, ready for SIMD.
struct alignas(64) TileLevels {
  int8_t table[64];  // level of each code; only where !uniform
  uint8_t bits;      // 1..8
  bool uniform;      // level = code - 2^(bits - 1)
};

// Decodes `tiles` consecutive tiles of 64 codes; the levels of tile i go to dst + i * dst_stride,
// which is 64-byte aligned. May read up to 64 bytes beyond the packed tiles.
using DecodeTilesFunction = void (*)(const uint8_t* packed, size_t tiles, const TileLevels& levels,
                                     int8_t* dst, size_t dst_stride);

void DecodeTilesScalar(const uint8_t* packed, size_t tiles, const TileLevels& levels, int8_t* dst,
                       size_t dst_stride);
void DecodeTilesSse4(const uint8_t* packed, size_t tiles, const TileLevels& levels, int8_t* dst,
                     size_t dst_stride);
void DecodeTilesAvx512(const uint8_t* packed, size_t tiles, const TileLevels& levels, int8_t* dst,
                       size_t dst_stride);
void DecodeTilesNeon(const uint8_t* packed, size_t tiles, const TileLevels& levels, int8_t* dst,
                     size_t dst_stride);

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_TILE_DECODE_H_
