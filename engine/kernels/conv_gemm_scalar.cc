// The micro-kernel contract in plain loops, with tile sizes that divide nothing: what the tests of
// the driver's blocking run, and what to read before writing a micro-kernel.
#include "engine/kernels/conv_gemm_codes_scalar-inl.h"
#include "engine/kernels/conv_gemm_micro.h"

namespace mpq {

namespace {

// One tile of a sweep: its positions read at `src`.
void ComputeTile(const GemmTile& tile, const GemmSweep& sweep, const uint8_t* src) {
  const uint32_t width = tile.num_blocks * kGemmBlockChannels;
  for (uint32_t row = 0; row < tile.num_rows; ++row) {
    for (uint32_t i = 0; i < width; ++i) {
      const GemmChannels& channels = tile.channels[i / kGemmBlockChannels];
      const uint32_t c = i % kGemmBlockChannels;
      int32_t sum = tile.first ? channels.start[c] : tile.sums[row * width + i];
      const int8_t* levels = static_cast<const int8_t*>(tile.panel) + i * 4;
      for (uint32_t run = 0; run < tile.num_runs; ++run) {
        const uint8_t* quads = src + sweep.run_offsets[run] + row * sweep.step;
        for (uint32_t quad = 0; quad < tile.quads_per_run; ++quad) {
          for (uint32_t j = 0; j < 4; ++j) sum += quads[quad * 4 + j] * levels[j];
          levels += width * 4;
        }
      }
      if (!tile.last) {
        tile.sums[row * width + i] = sum;
      } else if (i < tile.dst_channels) {
        tile.dst[row * tile.dst_stride + i] = Code(sum, row, i, tile);
      }
    }
  }
}

void Sweep(const GemmTile& tile, const GemmSweep& sweep) {
  GemmTile one = tile;
  for (uint32_t line = 0; line < sweep.lines; ++line) {
    for (uint32_t i = 0; i < sweep.tiles; ++i) {
      const uint32_t x = i * tile.num_rows;
      const size_t position = line * sweep.line_positions + x;
      one.dst = tile.dst + position * tile.dst_stride;
      if (tile.residual.codes != nullptr) {
        one.residual.codes = tile.residual.codes + position * tile.residual.stride;
      }
      ComputeTile(one, sweep, sweep.src + line * sweep.line_step + x * sweep.step);
      one.sums += tile.num_rows * tile.num_blocks * kGemmBlockChannels;
    }
  }
}

}  // namespace

const GemmMicroKernel kGemmScalar = {
    .rows = 3,
    .blocks = 2,
    .panel = GemmPanel::kQuads8,
    .max_level = kAnyLevel,
    .decode = DecodeTilesScalar,
    .describe = DescribeChannelsScalar,
    .sweep = Sweep,
};

}  // namespace mpq
