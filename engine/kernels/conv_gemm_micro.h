// The micro-kernels: how a tile is computed, with the tile sizes and the panel that it wants.
#ifndef MPQ_ENGINE_KERNELS_CONV_GEMM_MICRO_H_
#define MPQ_ENGINE_KERNELS_CONV_GEMM_MICRO_H_

#include <cstdint>

#include "engine/kernels/conv_gemm_tile.h"
#include "engine/kernels/tile_decode.h"

namespace mpq {

struct GemmMicroKernel {
  uint32_t rows;    // positions of a full tile, at most kGemmMaxRows
  uint32_t blocks;  // blocks of 16 channels of a full tile, at most kGemmMaxBlocks
  GemmPanel panel;
  DecodeTilesFunction decode;
  void (*compute)(const GemmTile& tile);
};

extern const GemmMicroKernel kGemmAvx512Vnni;
extern const GemmMicroKernel kGemmScalar;  // odd tile sizes: tests the driver without SIMD

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_CONV_GEMM_MICRO_H_
