#include "engine/kernels/conv_gemm_column.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "engine/kernels/tile_levels.h"

namespace mpq {

Column::Column(const Step& step, const GemmMicroKernel& micro)
    : step_(step),
      micro_(micro),
      max_product_sum_(int64_t{step.layout.quads()} * 4 * 255 * step.max_level) {}

ColumnFlags Column::Set(uint32_t first_block, uint32_t num_blocks, GemmChannels* channels) {
  const CodeLayout& layout = step_.layout;
  const Weights& weights = *step_.weights;
  for (; next_block_ < first_block; ++next_block_) {
    next_codes_ += layout.BlockBytes(weights.block_bits[next_block_]);
  }
  const uint8_t* codes = weights.codes.data() + next_codes_;
  num_blocks_ = num_blocks;
  ColumnFlags flags;
  for (uint32_t i = 0; i < num_blocks; ++i) {
    levels_[i] = MakeTileLevels(weights, first_block + i);
    codes_[i] = codes;
    codes += layout.BlockBytes(levels_[i].bits);
    SetChannels(first_block + i, channels[i], flags);
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

void Column::SetChannels(uint32_t block, GemmChannels& out, ColumnFlags& flags) const {
  const uint32_t first = step_.layout.FirstChannel(block);
  const uint32_t channels = step_.layout.BlockChannels(block);
  std::memset(&out, 0, sizeof out);
  // Channels that do not exist need no special case.
  std::fill_n(out.multiplier, kBlockChannels, int16_t{1});
  std::fill_n(out.code_hi, kBlockChannels, uint8_t{255});
  // Without branches: shifts differ from channel to channel.
  int32_t any_left = 0;
  int64_t largest = 0;  // that a sum can become before it saturates
  for (uint32_t i = 0; i < channels; ++i) {
    const ChannelParams& params = step_.weights->channels[first + i];
    const Requantizer r = Requantizer::Unpack(params.requant);
    const int32_t right = std::max(r.pre, 0);
    const int32_t left = std::max(-r.pre, 0);
    // Half a step, modulo 2^32 as accumulation is; the whole sum fits (kMaxAccumulator).
    const uint32_t half = (uint32_t{1} << right) >> 1;
    out.start[i] = static_cast<int32_t>(static_cast<uint32_t>(params.bias) + half);
    out.right[i] = right;
    out.left[i] = left;
    out.multiplier[i] = static_cast<int16_t>(r.m & -int32_t{!r.shifted});
    out.code_hi[i] = r.code_hi;
    any_left |= left;
    // Sums without a right shift are the only ones that are shifted left.
    largest = std::max(largest, (std::abs(int64_t{params.bias}) + max_product_sum_) << left);
  }
  flags.left_shifts |= any_left != 0;
  flags.saturate_first |= largest > std::numeric_limits<int32_t>::max();
}

}  // namespace mpq
