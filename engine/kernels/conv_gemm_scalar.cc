// The micro-kernel contract in plain loops, with tile sizes that divide nothing: what the tests of
// the driver's blocking run, and what to read before writing a micro-kernel.
#include "engine/kernels/conv_gemm_codes_scalar-inl.h"
#include "engine/kernels/conv_gemm_micro.h"

namespace mpq {

namespace {

void Compute(const GemmTile& tile) {
  const uint32_t width = tile.num_blocks * kGemmBlockChannels;
  for (uint32_t row = 0; row < tile.num_rows; ++row) {
    for (uint32_t i = 0; i < width; ++i) {
      const GemmChannels& channels = tile.channels[i / kGemmBlockChannels];
      const uint32_t c = i % kGemmBlockChannels;
      int32_t sum = tile.first ? channels.start[c] : tile.sums[row * width + i];
      const int8_t* levels = static_cast<const int8_t*>(tile.panel) + i * 4;
      for (uint32_t run = 0; run < tile.num_runs; ++run) {
        const uint8_t* src = tile.rows[run * kGemmMaxRows + row];
        for (uint32_t quad = 0; quad < tile.quads_per_run; ++quad) {
          for (uint32_t j = 0; j < 4; ++j) sum += src[quad * 4 + j] * levels[j];
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

}  // namespace

const GemmMicroKernel kGemmScalar = {3,      2, GemmPanel::kQuads8, kAnyLevel, DecodeTilesScalar,
                                     Compute};

}  // namespace mpq
