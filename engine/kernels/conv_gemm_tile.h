// The contract between the driver of the GEMM convolution (conv_gemm.cc) and the micro-kernels, one
// small file per instruction set. Plain data only: micro-kernels are compiled with flags of their
// own, and an inline function shared with other files could leak their instructions into them.
#ifndef MPQ_ENGINE_KERNELS_CONV_GEMM_TILE_H_
#define MPQ_ENGINE_KERNELS_CONV_GEMM_TILE_H_

#include <cstddef>
#include <cstdint>

namespace mpq {

inline constexpr uint32_t kGemmBlockChannels = 16;
inline constexpr uint32_t kGemmMaxRows = 16;   // of any micro-kernel
inline constexpr uint32_t kGemmMaxBlocks = 2;  // of any micro-kernel

// How the accumulators of 16 output channels become output codes (format/requantize.h), in a form
// without branches per channel:
//   t = sat16(sat16(sum >> right) << left)
//   y = clamp(sat_u8(zp + (multiplier == 0 ? t : (((t * multiplier + 2^14) >> 15) + 32) >> 6)))
struct alignas(64) GemmChannels {
  int32_t start[kGemmBlockChannels];  // bias plus half a step of `right`: the accumulator's start
  int32_t right[kGemmBlockChannels];
  int32_t left[kGemmBlockChannels];
  int16_t multiplier[kGemmBlockChannels];  // 0 in the shifted form
  uint8_t code_hi[kGemmBlockChannels];
};

// The residual of a tile (format/requantize.h): 64ths of an output code that join u before it is
// rounded,
//   y = clamp(sat_u8(zp + ((u + ((codes * multiplier >> 8) + offset)) >> 6)))
struct GemmResidual {
  const uint8_t* codes;  // of the tile's positions and channels; null: no residual
  size_t stride;         // bytes from one position to the next
  uint16_t multiplier;   // below 2^15, so that both terms and their sum fit 16 signed bits
  int16_t offset;        // 32 - (zero point * multiplier >> 8): half a code, for rounding, is in it
};

// One call of a micro-kernel: num_rows output positions x num_blocks blocks of 16 channels.
struct GemmTile {
  // Accumulation: the sum over runs and their quads of 4 activations x 4 levels.
  const uint8_t* const* rows;  // [runs][kGemmMaxRows]: where each position's run begins
  uint32_t num_rows;           // 1..rows of the micro-kernel
  uint32_t num_blocks;         // 1..blocks of the micro-kernel
  uint32_t num_runs;
  uint32_t quads_per_run;
  const void* panel;             // levels of quad after quad, see GemmPanel
  const GemmChannels* channels;  // [num_blocks]
  uint32_t max_level;            // largest |level| of the layer

  // The sum may be computed in several calls: all but the last leave it in `sums`, all but the
  // first continue from there. Layout [num_rows][num_blocks][16].
  int32_t* sums;
  bool first;
  bool last;

  // The last call writes codes: exactly dst_channels bytes of each position.
  uint8_t* dst;
  size_t dst_stride;      // bytes from one position to the next
  uint32_t dst_channels;  // 1..16 * num_blocks
  uint8_t zero_point;
  uint8_t code_lo;
  bool left_shifts;       // some channel has left > 0
  bool saturate_first;    // ... and sum << left may leave int32: saturate to 16 bits before
  GemmResidual residual;  // 32 bytes from a position's codes on may be read
};

// Many tiles of the same size, for micro-kernels that go from one to the next themselves: where
// positions have equal distances they need no table of pointers, and the end of one tile overlaps
// with the multiplications of the next. Tile t of line l has the positions
// t * num_rows + i, i < num_rows; position p of a line
//   reads run r at src + run_offsets[r] + l * line_step + p * step,
//   writes codes at dst + (l * line_positions + p) * dst_stride.
// Sums lie one tile after the other. GemmTile's rows is not used.
struct GemmSweep {
  const uint8_t* src;
  const ptrdiff_t* run_offsets;  // [num_runs]
  ptrdiff_t step;
  ptrdiff_t line_step;
  uint32_t tiles;  // of a line
  uint32_t lines;
  uint32_t line_positions;
};

// How the levels of one quad and the tile's blocks lie in a panel.
enum class GemmPanel : uint8_t {
  kQuads8,  // int8 [block][16][4]: 64 bytes a tile
  kQuads16  // int16 [block][16][4]: 128 bytes a tile
};

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_CONV_GEMM_TILE_H_
