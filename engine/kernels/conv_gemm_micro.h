// The micro-kernels: how a tile is computed, with the tile sizes and the panel that it wants.
#ifndef MPQ_ENGINE_KERNELS_CONV_GEMM_MICRO_H_
#define MPQ_ENGINE_KERNELS_CONV_GEMM_MICRO_H_

#include <cstdint>

#include "engine/kernels/channels.h"
#include "engine/kernels/conv_gemm_tile.h"
#include "engine/kernels/tile_decode.h"

namespace mpq {

struct GemmMicroKernel {
  uint32_t rows;    // positions of a full tile, at most kGemmMaxRows
  uint32_t blocks;  // blocks of 16 channels of a full tile, at most kGemmMaxBlocks
  GemmPanel panel;
  uint32_t max_level;  // largest |level| that it computes exactly
  DecodeTilesFunction decode;
  DescribeChannelsFunction describe;
  void (*compute)(const GemmTile& tile) = nullptr;  // not used if there is a sweep
  // It may read a panel up to the next multiple of so many quads.
  uint32_t panel_quads = 1;
  // Called by a thread before its first and after its last tile: state of the CPU that compute
  // needs.
  void (*begin)() = nullptr;
  void (*end)() = nullptr;
  void (*sweep)(const GemmTile& tile, const GemmSweep& sweep) = nullptr;
};

// "Wide" ones multiply in 16 bits and take any levels; the others of that instruction set, and only
// these, need levels of at most kMaxPairLevel, so that two products fit 16 bits.
inline constexpr uint32_t kMaxPairLevel = 64;  // 2 * 255 * 64 <= 32767
inline constexpr uint32_t kAnyLevel = 128;

extern const GemmMicroKernel kGemmSse4, kGemmWideSse4;
extern const GemmMicroKernel kGemmAvx2, kGemmWideAvx2;
extern const GemmMicroKernel kGemmAvxVnni;
extern const GemmMicroKernel kGemmAvx512, kGemmWideAvx512;
extern const GemmMicroKernel kGemmAvx512Vnni;
extern const GemmMicroKernel kGemmAmx;
extern const GemmMicroKernel kGemmAmxEmulatedTiles;  // all of kGemmAmx but the tile instructions
extern const GemmMicroKernel kGemmAmxEmulated;       // and in plain C++, for any machine
extern const GemmMicroKernel kGemmNeon;
extern const GemmMicroKernel kGemmNeonDot;
extern const GemmMicroKernel kGemmI8mm;
extern const GemmMicroKernel kGemmScalar;  // odd tile sizes: tests the driver without SIMD

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_CONV_GEMM_MICRO_H_
