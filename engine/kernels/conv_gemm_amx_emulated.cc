// The AMX micro-kernel in plain C++: tests its blocking and packing on any machine.
#include <cstring>

#include "engine/kernels/conv_gemm_amx-inl.h"
#include "engine/kernels/conv_gemm_codes_scalar-inl.h"

namespace mpq {

namespace {

struct PlainVectors {
  static void CopyBytes(uint8_t* dst, const uint8_t* src, size_t n) { std::memcpy(dst, src, n); }

  static void Finish(const GemmTile& tile, const int32_t* sums) {
    const uint32_t width = tile.num_blocks * kGemmBlockChannels;
    for (uint32_t row = 0; row < tile.num_rows; ++row) {
      for (uint32_t i = 0; i < width; ++i) {
        const uint32_t block = i / kGemmBlockChannels;
        const uint32_t c = i % kGemmBlockChannels;
        const int32_t* even = sums + block * kAmxTileSums + row * kGemmBlockChannels;
        int32_t sum = tile.first ? tile.channels[block].start[c] : tile.sums[row * width + i];
        sum += even[c] + even[2 * kAmxTileSums + c];
        if (!tile.last) {
          tile.sums[row * width + i] = sum;
        } else if (i < tile.dst_channels) {
          tile.dst[row * tile.dst_stride + i] = Code(sum, row, i, tile);
        }
      }
    }
  }
};

}  // namespace

const GemmMicroKernel kGemmAmxEmulated = {
    kAmxRows,
    2,
    GemmPanel::kQuads8,
    kAnyLevel,
    DecodeTilesScalar,
    DescribeChannelsScalar,
    AmxCompute<EmulatedTiles, PlainVectors>,
    kAmxStepQuads,
    EmulatedTiles::Begin,
    EmulatedTiles::End,
};

}  // namespace mpq
