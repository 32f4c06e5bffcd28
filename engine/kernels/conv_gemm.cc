#include "engine/kernels/conv_gemm.h"

#include <algorithm>

#include "engine/kernels/conv_gemm_column.h"
#include "engine/kernels/conv_gemm_source.h"
#include "engine/kernels/conv_gemm_split.h"
#include "format/message.h"
#include "format/node_fields.h"
#include "format/rounding.h"

namespace mpq {

namespace {

size_t TileBytes(GemmPanel panel) { return panel == GemmPanel::kQuads8 ? 64 : 128; }

// What a column needs of its weights: in scratch, or one after the other where they are prepared.
struct ColumnParts {
  size_t flags = 0;
  size_t channels = 0;  // GemmChannels of the column's blocks
  size_t panel = 0;     // levels of a chunk
  size_t bytes = 0;

  ColumnParts(const GemmMicroKernel& micro, const Split& split) {
    const size_t chunk_quads =
        RoundUp(size_t{split.chunk_runs} * split.chunk_quads, micro.panel_quads);
    channels = RoundUp(sizeof(ChannelFlags), 64);
    panel = channels + RoundUp(micro.blocks * sizeof(GemmChannels), 64);
    bytes = panel + RoundUp(chunk_quads * micro.blocks * TileBytes(micro.panel), 64);
  }
};

// The parts of a thread's scratch. Each begins at a multiple of 64 bytes.
struct Scratch {
  size_t column = 0;  // ColumnParts, unless they are prepared
  size_t tiles8 = 0;  // kQuads16: the int8 levels of some quads, before widening
  size_t rows = 0;    // pointers, [runs][kGemmMaxRows], or offsets, [runs]
  size_t padded = 0;  // source lines with their padding
  size_t sums = 0;    // int32 accumulators between chunks, or before a 16-bit output
  size_t bytes = 0;

  Scratch(const Step& step, const GemmMicroKernel& micro, const Split& split) {
    const bool all_sums = split.chunked() || step.dst_tensor->type == ElementType::kS16;
    const size_t sum_rows = all_sums ? split.item_positions() : micro.rows;
    const size_t run_pointers = micro.sweep != nullptr ? 1 : kGemmMaxRows;
    column = Take(step.is_prepared ? 0 : ColumnParts(micro, split).bytes);
    tiles8 = Take(micro.panel == GemmPanel::kQuads16 ? kWidenedTiles * kTileCodes : 0);
    rows = Take(split.chunk_runs * run_pointers * sizeof(const uint8_t*));
    padded = Take(GemmSource::PaddedBytes(step, split.item_lines));
    sums = Take(sum_rows * micro.blocks * kBlockChannels * sizeof(int32_t));
  }

 private:
  size_t Take(size_t size) {
    const size_t offset = bytes;
    bytes += RoundUp(size, 64);
    return offset;
  }
};

// 16-bit outputs (logits, a few thousand at most) are finished here for every instruction set.
// GemmChannels' `start` is in the sums already.
void StoreS16(const GemmTile& tile, uint32_t positions, int16_t* dst, size_t dst_stride) {
  for (uint32_t row = 0; row < positions; ++row) {
    for (uint32_t i = 0; i < tile.dst_channels; ++i) {
      const GemmChannels& channels = tile.channels[i / kBlockChannels];
      const uint32_t c = i % kBlockChannels;
      const int32_t sum = tile.sums[row * tile.num_blocks * kBlockChannels + i];
      const int32_t t = Saturate16(int64_t{Saturate16(sum >> channels.right[c])} *
                                   (int64_t{1} << channels.left[c]));
      const int32_t m = channels.multiplier[c];
      dst[row * dst_stride + i] = static_cast<int16_t>(m == 0 ? t : (t * m + (1 << 14)) >> 15);
    }
  }
}

// One thread's work on a step.
class ConvGemm {
 public:
  ConvGemm(const Step& step, const GemmMicroKernel& micro, std::byte* scratch)
      : step_(step),
        micro_(micro),
        split_(step, micro),
        parts_(step, micro, split_),
        column_parts_(micro, split_),
        scratch_(scratch),
        source_(step, At<uint8_t>(parts_.padded)),
        column_(step, micro) {
    tile_.max_level = step.max_level;
    tile_.dst_stride = step.dst.pixel_stride;
    tile_.zero_point = static_cast<uint8_t>(step.dst_tensor->zero_point);
    tile_.code_lo = step.node->code_lo;
    is_s16_ = step.dst_tensor->type == ElementType::kS16;
    if (HasResidual(*step.node)) {
      const int32_t multiplier = step.node->multiplier[0];
      tile_.residual.stride = step.src[1].pixel_stride;
      tile_.residual.multiplier = static_cast<uint16_t>(multiplier);
      tile_.residual.offset =
          static_cast<int16_t>(32 - (step.src_tensors[1]->zero_point * multiplier >> 8));
    }
  }

  void Prepare() {
    for (uint32_t column = 0; column < split_.columns(step_.layout); ++column) {
      LocateColumn(column);
      DescribeColumn();
      DecodeChunk(ChunkAt(step_.layout, split_, 0));
    }
  }

  void RunItem(uint32_t item) {
    const uint32_t column = item / split_.ranges();
    if (column != current_column_) SetColumn(column);
    const PositionRange range = split_.RangeAt(item % split_.ranges());
    source_.Start(range, group_);
    for (uint32_t index = 0; index < split_.chunks; ++index) {
      const Chunk chunk = ChunkAt(step_.layout, split_, index);
      if (split_.chunked() || !decoded_) {
        DecodeChunk(chunk);
        decoded_ = true;
        const uint32_t next = (index + 1) % split_.chunks;
        column_.PrefetchChunk(ChunkAt(step_.layout, split_, next), /*of_next_column=*/next == 0);
      }
      tile_.first = index == 0;
      RunChunk(range, chunk, /*last=*/index + 1 == split_.chunks);
    }
  }

 private:
  template <typename T>
  T* At(size_t offset) const {
    return reinterpret_cast<T*>(scratch_ + offset);
  }

  // Columns come in ascending order.
  void SetColumn(uint32_t column) {
    LocateColumn(column);
    if (!step_.is_prepared) DescribeColumn();
    decoded_ = step_.is_prepared;
    const ChannelFlags& flags = *InColumn<ChannelFlags>(column_parts_.flags);
    tile_.left_shifts = flags.left_shifts;
    tile_.saturate_first = flags.saturate_first;
    tile_.channels = InColumn<GemmChannels>(column_parts_.channels);
    tile_.panel = InColumn<std::byte>(column_parts_.panel);
  }

  void LocateColumn(uint32_t column) {
    const CodeLayout& layout = step_.layout;
    group_ = column / split_.columns_per_group;
    const uint32_t block = column % split_.columns_per_group * micro_.blocks;
    first_block_ = group_ * layout.blocks_per_group + block;
    first_channel_ = layout.FirstChannel(first_block_);
    tile_.num_blocks = std::min(micro_.blocks, layout.blocks_per_group - block);
    tile_.dst_channels = 0;
    for (uint32_t i = 0; i < tile_.num_blocks; ++i) {
      tile_.dst_channels += layout.BlockChannels(first_block_ + i);
    }
    column_memory_ = step_.is_prepared ? step_.prepared + column * column_parts_.bytes
                                       : scratch_ + parts_.column;
    current_column_ = column;
  }

  void DescribeColumn() {
    *InColumn<ChannelFlags>(column_parts_.flags) =
        column_.Set(first_block_, tile_.num_blocks, InColumn<GemmChannels>(column_parts_.channels));
  }

  void DecodeChunk(const Chunk& chunk) {
    column_.DecodeChunk(chunk, InColumn<std::byte>(column_parts_.panel), At<int8_t>(parts_.tiles8));
  }

  template <typename T>
  T* InColumn(size_t offset) const {
    return reinterpret_cast<T*>(column_memory_ + offset);
  }

  void RunChunk(const PositionRange& range, const Chunk& chunk, bool last) {
    tile_.num_runs = chunk.runs;
    tile_.quads_per_run = chunk.quads;
    tile_.last = last && !is_s16_;
    tile_.sums = At<int32_t>(parts_.sums);
    if (micro_.sweep != nullptr) {
      SweepLines(range, chunk, last);
    } else {
      RunTiles(range, chunk, last);
    }
  }

  // Tiles of nearly equal size: a last tile of one or two rows would not fill the multipliers.
  void SweepLines(const PositionRange& range, const Chunk& chunk, bool last) {
    ptrdiff_t* run_offsets = At<ptrdiff_t>(parts_.rows);
    for (uint32_t run = 0; run < chunk.runs; ++run) {
      run_offsets[run] = source_.RunOffset(chunk.first_run + run) + ptrdiff_t{chunk.first_quad} * 4;
    }
    const uint32_t tiles = DivideRoundUp(range.width, micro_.rows);
    const uint32_t tile_rows = range.width / tiles;
    const uint32_t longer_tiles = range.width % tiles;
    GemmSweep sweep;
    sweep.run_offsets = run_offsets;
    sweep.step = source_.step();
    sweep.line_step = source_.line_step();
    sweep.lines = range.lines;
    sweep.line_positions = range.width;
    if (longer_tiles > 0) {
      tile_.num_rows = tile_rows + 1;
      sweep.tiles = longer_tiles;
      Sweep(range, 0, last, sweep);
    }
    tile_.num_rows = tile_rows;
    sweep.tiles = tiles - longer_tiles;
    Sweep(range, longer_tiles * (tile_rows + 1), last, sweep);
  }

  void Sweep(const PositionRange& range, uint32_t x, bool last, GemmSweep& sweep) {
    sweep.src = source_.WindowAt(0, x);
    const uint32_t line_positions = sweep.tiles * tile_.num_rows;
    SetDst(range, x);
    micro_.sweep(tile_, sweep);
    const size_t width = tile_.num_blocks * kBlockChannels;
    for (uint32_t line = 0; line < range.lines; ++line) {
      if (last && is_s16_) {
        StoreS16(tile_, line_positions,
                 step_.dst.mutable_s16() + DstOffset(range, x) +
                     line * range.width * step_.dst.pixel_stride,
                 step_.dst.pixel_stride);
      }
      tile_.sums += line_positions * width;
    }
  }

  // Where the tile's codes go and what joins them, from position x of the range on.
  void SetDst(const PositionRange& range, uint32_t x) {
    if (tile_.last) tile_.dst = step_.dst.mutable_u8() + DstOffset(range, x);
    if (HasResidual(*step_.node)) {
      const TensorView& view = step_.src[1];
      tile_.residual.codes = view.u8() + PixelOf(range, x) * view.pixel_stride + first_channel_;
    }
  }

  // In elements, of a position of the range and the column's first channel.
  size_t DstOffset(const PositionRange& range, uint32_t x) const {
    return PixelOf(range, x) * step_.dst.pixel_stride + first_channel_;
  }

  // Of the output, for position x of the range.
  size_t PixelOf(const PositionRange& range, uint32_t x) const {
    const size_t line = size_t{range.image} * split_.lines + range.line;
    return line * split_.width + range.x + x;
  }

  // For micro-kernels that compute one tile of positions anywhere: over the ends of lines.
  void RunTiles(const PositionRange& range, const Chunk& chunk, bool last) {
    const uint8_t** rows = At<const uint8_t*>(parts_.rows);
    tile_.rows = rows;
    const uint32_t tiles = DivideRoundUp(range.positions(), micro_.rows);
    const uint32_t tile_rows = range.positions() / tiles;
    const uint32_t longer_tiles = range.positions() % tiles;
    uint32_t position = 0, line = 0, x = 0;
    for (uint32_t i = 0; i < tiles; ++i) {
      tile_.num_rows = tile_rows + (i < longer_tiles ? 1 : 0);
      const uint8_t* windows[kGemmMaxRows] = {};
      for (uint32_t row = 0; row < tile_.num_rows; ++row) {
        windows[row] = source_.WindowAt(line, x);
        if (++x == range.width) x = 0, ++line;
      }
      std::fill(windows + tile_.num_rows, windows + kGemmMaxRows, windows[0]);
      FillRows(windows, chunk, rows);
      const size_t dst_offset = DstOffset(range, position);
      SetDst(range, position);
      micro_.compute(tile_);
      if (last && is_s16_) {
        StoreS16(tile_, tile_.num_rows, step_.dst.mutable_s16() + dst_offset,
                 step_.dst.pixel_stride);
      }
      if (split_.chunked()) tile_.sums += tile_.num_rows * tile_.num_blocks * kBlockChannels;
      position += tile_.num_rows;
    }
  }

  void FillRows(const uint8_t* const windows[kGemmMaxRows], const Chunk& chunk,
                const uint8_t** rows) const {
    for (uint32_t run = 0; run < chunk.runs; ++run) {
      const ptrdiff_t offset =
          source_.RunOffset(chunk.first_run + run) + ptrdiff_t{chunk.first_quad} * 4;
      for (uint32_t i = 0; i < kGemmMaxRows; ++i) rows[i] = windows[i] + offset;
      rows += kGemmMaxRows;
    }
  }

  const Step& step_;
  const GemmMicroKernel& micro_;
  const Split split_;
  const Scratch parts_;
  const ColumnParts column_parts_;
  std::byte* const scratch_;
  std::byte* column_memory_ = nullptr;  // ColumnParts of the current column
  GemmSource source_;
  Column column_;
  GemmTile tile_ = {};
  uint32_t current_column_ = kNone;
  uint32_t group_ = 0;
  uint32_t first_block_ = 0;
  uint32_t first_channel_ = 0;
  bool decoded_ = false;
  bool is_s16_ = false;
};

}  // namespace

std::string ConvGemmRefuse(const Step& step, const GemmMicroKernel& micro) {
  if (step.max_level <= micro.max_level) return {};
  return Message("a level of ", step.max_level, " is beyond ", micro.max_level,
                 ": two products may not fit 16 bits");
}

uint32_t ConvGemmWorkItems(const Step& step, const GemmMicroKernel& micro) {
  const Split split(step, micro);
  return split.columns(step.layout) * split.ranges();
}

uint32_t ConvGemmWorkColumns(const Step& step, const GemmMicroKernel& micro) {
  return Split(step, micro).columns(step.layout);
}

size_t ConvGemmScratchBytes(const Step& step, const GemmMicroKernel& micro) {
  return Scratch(step, micro, Split(step, micro)).bytes;
}

void ConvGemmRun(const Step& step, const GemmMicroKernel& micro, uint32_t first, uint32_t last,
                 std::byte* scratch) {
  ConvGemm gemm(step, micro, scratch);
  if (micro.begin != nullptr) micro.begin();
  for (uint32_t item = first; item < last; ++item) gemm.RunItem(item);
  if (micro.end != nullptr) micro.end();
}

size_t ConvGemmPreparedBytes(const Step& step, const GemmMicroKernel& micro) {
  const Split split(step, micro);
  return split.columns(step.layout) * ColumnParts(micro, split).bytes;
}

void ConvGemmPrepare(const Step& step, const GemmMicroKernel& micro, std::byte* scratch) {
  ConvGemm(step, micro, scratch).Prepare();
}

}  // namespace mpq
