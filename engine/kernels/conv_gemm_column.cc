#include "engine/kernels/conv_gemm_column.h"

#include <algorithm>

#include "engine/kernels/tile_levels.h"

namespace mpq {

Column::Column(const Step& step, const GemmMicroKernel& micro)
    : step_(step),
      micro_(micro),
      max_product_sum_(int64_t{step.layout.quads()} * 4 * 255 * step.max_level) {}

ChannelFlags Column::Set(uint32_t first_block, uint32_t num_blocks, GemmChannels* channels) {
  const CodeLayout& layout = step_.layout;
  const Weights& weights = *step_.weights;
  for (; next_block_ < first_block; ++next_block_) {
    next_codes_ += layout.BlockBytes(weights.block_bits[next_block_]);
  }
  const uint8_t* codes = weights.codes.data() + next_codes_;
  num_blocks_ = num_blocks;
  ChannelFlags flags;
  for (uint32_t i = 0; i < num_blocks; ++i) {
    levels_[i] = MakeTileLevels(weights, first_block + i);
    codes_[i] = codes;
    codes += layout.BlockBytes(levels_[i].bits);
    micro_.describe(weights.channels.data() + layout.FirstChannel(first_block + i),
                    layout.BlockChannels(first_block + i), max_product_sum_, channels[i], flags);
  }
  return flags;
}

void Column::DecodeChunk(const Chunk& chunk, std::byte* panel, int8_t* tiles8) const {
  const size_t first_tile = size_t{chunk.first_run} * step_.layout.quads_per_run + chunk.first_quad;
  const size_t tiles = size_t{chunk.runs} * chunk.quads;
  for (uint32_t i = 0; i < num_blocks_; ++i) {
    const uint8_t* codes = codes_[i] + first_tile * levels_[i].bits * (kTileCodes / 8);
    if (micro_.panel == GemmPanel::kQuads8) {
      micro_.decode(codes, tiles, levels_[i], reinterpret_cast<int8_t*>(panel) + i * kTileCodes,
                    num_blocks_ * kTileCodes);
      continue;
    }
    DecodeWide(codes, tiles, levels_[i], tiles8,
               reinterpret_cast<int16_t*>(panel) + i * kTileCodes);
  }
}

// Codes that will be decoded next come from L3 or memory: they can be on their way while the
// current ones are multiplied.
void Column::PrefetchChunk(const Chunk& chunk, bool of_next_column) const {
  const size_t first_tile = size_t{chunk.first_run} * step_.layout.quads_per_run + chunk.first_quad;
  const size_t tiles = size_t{chunk.runs} * chunk.quads;
  const uint8_t* const end =
      codes_[num_blocks_ - 1] + step_.layout.BlockBytes(levels_[num_blocks_ - 1].bits);
  const size_t skip = of_next_column ? static_cast<size_t>(end - codes_[0]) : 0;
  for (uint32_t i = 0; i < num_blocks_; ++i) {
    const size_t tile_bytes = levels_[i].bits * (kTileCodes / 8);
    const uint8_t* codes = codes_[i] + skip + first_tile * tile_bytes;
    for (size_t at = 0; at < tiles * tile_bytes; at += 64) __builtin_prefetch(codes + at, 0, 2);
  }
}

// kQuads16: through int8 levels, some tiles at a time.
void Column::DecodeWide(const uint8_t* codes, size_t tiles, const TileLevels& levels,
                        int8_t* tiles8, int16_t* panel) const {
  for (size_t done = 0; done < tiles; done += kWidenedTiles) {
    const size_t count = std::min(tiles - done, kWidenedTiles);
    micro_.decode(codes + done * levels.bits * (kTileCodes / 8), count, levels, tiles8, kTileCodes);
    for (size_t i = 0; i < count; ++i) {
      std::copy_n(tiles8 + i * kTileCodes, kTileCodes, panel);
      panel += num_blocks_ * kTileCodes;
    }
  }
}

}  // namespace mpq
