// The end of a tile in plain C++: a sum to its code.
#ifndef MPQ_ENGINE_KERNELS_CONV_GEMM_CODES_SCALAR_INL_H_
#define MPQ_ENGINE_KERNELS_CONV_GEMM_CODES_SCALAR_INL_H_

#include <algorithm>
#include <cstdint>

#include "engine/kernels/conv_gemm_tile.h"
#include "format/requantize.h"

namespace mpq {

namespace {

// 64ths of a code that are added before rounding, for channel i of a position of the tile.
inline int32_t Addend(const GemmResidual& residual, uint32_t row, uint32_t i) {
  if (residual.codes == nullptr) return 32;
  const int32_t code = residual.codes[row * residual.stride + i];
  return (code * residual.multiplier >> 8) + residual.offset;
}

// Of the sum at channel i of a position of the tile.
inline uint8_t Code(int32_t sum, uint32_t row, uint32_t i, const GemmTile& tile) {
  const GemmChannels& channels = tile.channels[i / kGemmBlockChannels];
  const uint32_t c = i % kGemmBlockChannels;
  const int32_t t =
      Saturate16(int64_t{Saturate16(sum >> channels.right[c])} * (int64_t{1} << channels.left[c]));
  const int32_t m = channels.multiplier[c];
  const int32_t steps =
      m == 0 ? t : (((t * m + (1 << 14)) >> 15) + Addend(tile.residual, row, i)) >> 6;
  return std::min(std::max(SaturateU8(tile.zero_point + steps), tile.code_lo), channels.code_hi[c]);
}

}  // namespace

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_CONV_GEMM_CODES_SCALAR_INL_H_
