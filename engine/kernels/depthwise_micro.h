// The micro-kernels of the depthwise convolution.
#ifndef MPQ_ENGINE_KERNELS_DEPTHWISE_MICRO_H_
#define MPQ_ENGINE_KERNELS_DEPTHWISE_MICRO_H_

#include "engine/kernels/channels.h"
#include "engine/kernels/depthwise_tile.h"
#include "engine/kernels/tile_decode.h"
#include "format/graph.h"

namespace mpq {

struct DepthwiseMicroKernel {
  uint32_t lanes;         // 16, 32 or 64
  uint32_t max_segments;  // of a row, side by side in the lanes
  uint32_t group_taps;    // 4: bytes; 2: int16
  // Accumulators are in the order that interleaving within 128-bit lanes gives: see CopyInOrder
  // in depthwise_conv.cc. The lanes of one register (or one set of registers), and of 128 of its
  // bits.
  uint32_t order_lanes, order_block;
  DecodeTilesFunction decode;
  DescribeChannelsFunction describe;
  // One tile [16][4] of levels to four planes of 16, plane_stride bytes apart.
  void (*transpose)(const int8_t* tile, int8_t* planes, size_t plane_stride);
  // The levels of group_taps taps to one tap group of weights.
  void (*interleave_levels)(const int8_t* const* taps, std::byte* dst);
  // False where another micro-kernel has to serve.
  bool (*supports)(const Window& window);
  uint32_t max_level;
  size_t (*scratch_bytes)(const Window& window, uint32_t outputs);
  void (*compute)(const DepthwiseTile& tile);
};

// Only those of the target's family are defined.
extern const DepthwiseMicroKernel kDepthwiseAvx512Vnni;
extern const DepthwiseMicroKernel kDepthwiseAvxVnni;
extern const DepthwiseMicroKernel kDepthwiseAvx2;
extern const DepthwiseMicroKernel kDepthwisePairsAvx512;
extern const DepthwiseMicroKernel kDepthwisePairsAvx2;
extern const DepthwiseMicroKernel kDepthwisePairsSse4;
extern const DepthwiseMicroKernel kDepthwisePairsNeon;

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_DEPTHWISE_MICRO_H_
