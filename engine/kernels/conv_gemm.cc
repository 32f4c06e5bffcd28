#include "engine/kernels/conv_gemm.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "format/message.h"
#include "format/node_fields.h"

namespace mpq {

namespace {

// Layers with few output positions decode this many quads at a time (36 kB for two blocks): the
// panel is still in the innermost caches when the few tiles use it. Measured on 7x7 and 1x1.
constexpr uint32_t kChunkQuads = 288;
// That way needs all tiles' sums in scratch: at most so many positions an item.
constexpr uint32_t kChunkedPositions = 64;
// Threads take contiguous shares of the items, so small items balance them better and cost little:
// a panel is decoded again only where another thread takes over the column.
constexpr uint32_t kWantedItems = 64;
constexpr uint32_t kMinItemPositions = 56;
// kQuads16 panels are widened from int8 in steps of so many tiles.
constexpr size_t kWidenedTiles = 16;
// Activations are read in quads, so up to 3 bytes past a run.
constexpr size_t kRunSlack = 4;

constexpr uint32_t DivideRoundUp(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
constexpr size_t RoundUp(size_t x, size_t multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

// How a step is cut: items = column (pair of blocks of one group) x range of output positions.
// Positions count over batch, height and width: their distance in the output is constant.
struct Split {
  uint32_t columns_per_group;
  uint32_t positions;       // of the step
  uint32_t item_positions;  // of an item, the last one of a column may have fewer
  uint32_t ranges;          // items of a column
  uint32_t chunk_runs;      // runs that are decoded at a time
  uint32_t chunk_quads;     // quads of each of them
  uint32_t chunks_per_run;  // > 1 only if chunk_runs == 1
  uint32_t chunks;

  Split(const Step& step, const GemmMicroKernel& micro) {
    const CodeLayout& layout = step.layout;
    columns_per_group = DivideRoundUp(layout.blocks_per_group, micro.blocks);
    positions = step.dst.batch * step.dst.height * step.dst.width;
    const uint32_t columns = layout.groups * columns_per_group;
    const uint32_t wanted_ranges =
        std::min(DivideRoundUp(kWantedItems, columns), std::max(positions / kMinItemPositions, 1u));
    item_positions =
        static_cast<uint32_t>(RoundUp(DivideRoundUp(positions, wanted_ranges), micro.rows));
    ranges = DivideRoundUp(positions, item_positions);
    ChooseChunks(layout, step.is_prepared);
  }

  bool chunked() const { return chunks > 1; }
  uint32_t columns(const CodeLayout& layout) const { return layout.groups * columns_per_group; }

 private:
  void ChooseChunks(const CodeLayout& layout, bool is_prepared) {
    chunk_runs = layout.runs;
    chunk_quads = layout.quads_per_run;
    chunks_per_run = 1;
    if (!is_prepared && positions <= kChunkedPositions && layout.quads() > kChunkQuads) {
      chunk_runs = std::max(kChunkQuads / layout.quads_per_run, 1u);
      chunks_per_run = DivideRoundUp(layout.quads_per_run, kChunkQuads);
      chunk_quads = DivideRoundUp(layout.quads_per_run, chunks_per_run);
    }
    chunks = DivideRoundUp(layout.runs, chunk_runs) * chunks_per_run;
  }
};

// Part of the k axis: whole runs, or some quads of one run.
struct Chunk {
  uint32_t first_run, runs, first_quad, quads;
};

Chunk ChunkAt(const CodeLayout& layout, const Split& split, uint32_t index) {
  Chunk chunk;
  chunk.first_run = index / split.chunks_per_run * split.chunk_runs;
  chunk.runs = std::min(split.chunk_runs, layout.runs - chunk.first_run);
  chunk.first_quad = index % split.chunks_per_run * split.chunk_quads;
  chunk.quads = std::min(split.chunk_quads, layout.quads_per_run - chunk.first_quad);
  return chunk;
}

// How the channels of a column finish.
struct ColumnFlags {
  bool left_shifts = false;     // GemmTile
  bool saturate_first = false;  // GemmTile
};

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
    channels = RoundUp(sizeof(ColumnFlags), 64);
    panel = channels + RoundUp(micro.blocks * sizeof(GemmChannels), 64);
    bytes = panel + RoundUp(chunk_quads * micro.blocks * TileBytes(micro.panel), 64);
  }
};

// The parts of a thread's scratch. Each begins at a multiple of 64 bytes.
struct Scratch {
  size_t column = 0;   // ColumnParts, unless they are prepared
  size_t tiles8 = 0;   // kQuads16: the int8 levels of some quads, before widening
  size_t rows = 0;     // pointers, [runs][kGemmMaxRows]
  size_t zeros = 0;    // a run of zero points
  size_t patches = 0;  // row runs: copies of the runs that lie partly in padding
  size_t sums = 0;     // int32 accumulators between chunks, or before a 16-bit output
  size_t bytes = 0;

  Scratch(const Step& step, const GemmMicroKernel& micro, const Split& split) {
    const CodeLayout& layout = step.layout;
    const size_t run_bytes = RunBytes(layout);
    const size_t sum_rows = split.chunked() ? split.item_positions : micro.rows;
    column = Take(step.is_prepared ? 0 : ColumnParts(micro, split).bytes);
    tiles8 = Take(micro.panel == GemmPanel::kQuads16 ? kWidenedTiles * kTileCodes : 0);
    rows = Take(size_t{split.chunk_runs} * kGemmMaxRows * sizeof(const uint8_t*));
    zeros = Take(run_bytes);
    patches = Take(layout.row_runs ? size_t{split.chunk_runs} * micro.rows * run_bytes : 0);
    sums = Take(sum_rows * micro.blocks * kBlockChannels * sizeof(int32_t));
  }

  static size_t RunBytes(const CodeLayout& layout) {
    return size_t{layout.quads_per_run} * 4 + kRunSlack;
  }

 private:
  size_t Take(size_t size) {
    const size_t offset = bytes;
    bytes += RoundUp(size, 64);
    return offset;
  }
};

// Where a tile's positions read: fills the table of pointers. Walks over the positions of an item.
class RowPointers {
 public:
  RowPointers(const Step& step, uint8_t* zeros, uint8_t* patches, const uint8_t** rows)
      : src_(step.src[0]),
        window_(step.node->window),
        out_width_(step.dst.width),
        out_height_(step.dst.height),
        group_channels_(step.weights->in_channels),
        row_runs_(step.layout.row_runs),
        run_bytes_(Scratch::RunBytes(step.layout)),
        zero_point_(step.src_tensors[0]->zero_point),
        zeros_(zeros),
        patches_(patches),
        rows_(rows) {
    const Weights& weights = *step.weights;
    // A run covers so many pixels of a source row.
    run_pixels_ = row_runs_ ? weights.kernel_w : 1;
    runs_per_row_ = row_runs_ ? 1 : weights.kernel_w;
    last_top_ = int64_t{src_.height} - 1 - int64_t{weights.kernel_h - 1} * window_.dilation_h;
    last_left_ = int64_t{src_.width} - 1 - int64_t{weights.kernel_w - 1} * window_.dilation_w;
    step_x_ = window_.stride_w * static_cast<ptrdiff_t>(src_.pixel_stride);
    pointwise_ = weights.kernel_h == 1 && weights.kernel_w == 1 && window_.stride_h == 1 &&
                 window_.stride_w == 1 && out_width_ == src_.width && out_height_ == src_.height &&
                 window_.pad_top == 0 && window_.pad_left == 0;
    std::memset(zeros_, zero_point_, run_bytes_);
  }

  // The next tile begins at `position` and reads the channels of `group`.
  void Start(uint32_t position, uint32_t group) {
    first_channel_ = static_cast<ptrdiff_t>(group) * group_channels_;
    if (pointwise_) {
      offset_ = static_cast<ptrdiff_t>(position * src_.pixel_stride) + first_channel_;
      return;
    }
    x_ = position % out_width_;
    y_ = position / out_width_ % out_height_;
    image_ = position / out_width_ / out_height_;
    Locate();
  }

  // Moves on by a tile of num_rows positions.
  void Next(uint32_t num_rows) {
    border_ = 0;
    for (uint32_t i = 0; i < num_rows; ++i) {
      offsets_[i] = offset_;
      offset_ += step_x_;
      if (pointwise_) continue;
      tops_[i] = top_;
      lefts_[i] = left_;
      const bool inside = top_ >= 0 && top_ <= last_top_ && left_ >= 0 && left_ <= last_left_;
      border_ |= uint32_t{!inside} << i;
      left_ += window_.stride_w;
      if (++x_ == out_width_) NextLine();
    }
  }

  // Fills the table for the chunk's runs of the current tile.
  void Fill(const Chunk& chunk) {
    const uint8_t** row = rows_;
    uint8_t* patch = patches_;
    const ptrdiff_t first_byte = static_cast<ptrdiff_t>(chunk.first_quad) * 4;
    for (uint32_t run = chunk.first_run; run < chunk.first_run + chunk.runs; ++run) {
      const int64_t dy = int64_t{run / runs_per_row_} * window_.dilation_h;
      const int64_t dx = int64_t{run % runs_per_row_} * window_.dilation_w;
      const ptrdiff_t run_offset = (dy * src_.width + dx) * PixelStride();
      const uint8_t* base = src_.u8() + run_offset + first_byte;
      for (uint32_t i = 0; i < kGemmMaxRows; ++i) row[i] = base + offsets_[i];
      for (uint32_t rest = border_; rest != 0; rest &= rest - 1) {
        const int i = std::countr_zero(rest);
        row[i] =
            BorderRun(tops_[i] + dy, lefts_[i] + dx, offsets_[i] + run_offset, patch) + first_byte;
        if (row_runs_) patch += run_bytes_;
      }
      row += kGemmMaxRows;
    }
  }

 private:
  ptrdiff_t PixelStride() const { return static_cast<ptrdiff_t>(src_.pixel_stride); }

  // Top left of the window of the position (image_, y_, x_).
  void Locate() {
    top_ = int64_t{y_} * window_.stride_h - window_.pad_top;
    left_ = int64_t{x_} * window_.stride_w - window_.pad_left;
    const int64_t line = int64_t{image_} * src_.height + top_;
    offset_ = (line * src_.width + left_) * PixelStride() + first_channel_;
  }

  void NextLine() {
    x_ = 0;
    if (++y_ == out_height_) {
      y_ = 0;
      ++image_;
    }
    Locate();
  }

  // The run that begins at source pixel (y, x), `offset` bytes into the source.
  const uint8_t* BorderRun(int64_t y, int64_t x, ptrdiff_t offset, uint8_t* patch) const {
    if (y < 0 || y >= src_.height || x + run_pixels_ <= 0 || x >= src_.width) return zeros_;
    if (x >= 0 && x + run_pixels_ <= src_.width) return src_.u8() + offset;
    // A run of a row, partly in the padding.
    const ptrdiff_t begin = std::max<int64_t>(x, 0) - x;
    const ptrdiff_t end = std::min<int64_t>(x + run_pixels_, src_.width) - x;
    std::memset(patch, zero_point_, run_bytes_);
    std::memcpy(patch + begin * PixelStride(), src_.u8() + (offset + begin * PixelStride()),
                static_cast<size_t>((end - begin) * PixelStride()));
    return patch;
  }

  const TensorView& src_;
  const Window& window_;
  const uint32_t out_width_, out_height_;
  const uint32_t group_channels_;
  const bool row_runs_;
  const size_t run_bytes_;
  const int32_t zero_point_;
  uint8_t* const zeros_;
  uint8_t* const patches_;
  const uint8_t** const rows_;
  uint32_t run_pixels_, runs_per_row_;
  int64_t last_top_, last_left_;  // of windows without padding
  ptrdiff_t step_x_;              // bytes between the windows of neighbouring positions
  bool pointwise_;                // the window is one pixel, at the output's position

  // The position after the current tile and its window.
  ptrdiff_t first_channel_ = 0;
  uint32_t x_ = 0, y_ = 0, image_ = 0;
  int64_t top_ = 0, left_ = 0;
  ptrdiff_t offset_ = 0;

  // The current tile.
  uint32_t border_ = 0;  // bit i: the window of row i touches padding
  int64_t tops_[kGemmMaxRows] = {}, lefts_[kGemmMaxRows] = {};
  ptrdiff_t offsets_[kGemmMaxRows] = {};
};

TileLevels MakeTileLevels(const Weights& weights, uint32_t block) {
  TileLevels levels = {};
  levels.bits = weights.block_bits[block];
  levels.uniform = weights.level_set == LevelSetKind::kUniform;
  if (!levels.uniform) {
    const Levels set = BlockLevels(weights, block).value();  // the model has been validated
    std::copy_n(set.level.begin(), sizeof levels.table, levels.table);
  }
  return levels;
}

// A pair of blocks of one group, or its last block alone.
class Column {
 public:
  Column(const Step& step, const GemmMicroKernel& micro)
      : step_(step),
        micro_(micro),
        max_product_sum_(int64_t{step.layout.quads()} * 4 * 255 * step.max_level) {}

  // Columns must be set in ascending order, which makes finding their codes cheap.
  ColumnFlags Set(uint32_t first_block, uint32_t num_blocks, GemmChannels* channels) {
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

  void DecodeChunk(const Chunk& chunk, std::byte* panel, int8_t* tiles8) const {
    const size_t first_tile =
        size_t{chunk.first_run} * step_.layout.quads_per_run + chunk.first_quad;
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

 private:
  // kQuads16: through int8 levels, some tiles at a time.
  void DecodeWide(const uint8_t* codes, size_t tiles, const TileLevels& levels, int8_t* tiles8,
                  int16_t* panel) const {
    for (size_t done = 0; done < tiles; done += kWidenedTiles) {
      const size_t count = std::min(tiles - done, kWidenedTiles);
      micro_.decode(codes + done * levels.bits * (kTileCodes / 8), count, levels, tiles8,
                    kTileCodes);
      for (size_t i = 0; i < count; ++i) {
        std::copy_n(tiles8 + i * kTileCodes, kTileCodes, panel);
        panel += num_blocks_ * kTileCodes;
      }
    }
  }

  void SetChannels(uint32_t block, GemmChannels& out, ColumnFlags& flags) const {
    const uint32_t first = step_.layout.FirstChannel(block);
    const uint32_t channels = step_.layout.BlockChannels(block);
    std::memset(&out, 0, sizeof out);
    for (uint32_t i = 0; i < channels; ++i) {
      const ChannelParams& params = step_.weights->channels[first + i];
      const Requantizer r = Requantizer::Unpack(params.requant);
      // Modulo 2^32 as accumulation is; the whole sum fits (kMaxAccumulator).
      const uint32_t half = r.pre > 0 ? 1u << (r.pre - 1) : 0;
      out.start[i] = static_cast<int32_t>(static_cast<uint32_t>(params.bias) + half);
      out.right[i] = std::max(r.pre, 0);
      out.left[i] = std::max(-r.pre, 0);
      out.multiplier[i] = static_cast<int16_t>(r.shifted ? 0 : r.m);
      out.code_hi[i] = r.code_hi;
      flags.left_shifts |= r.pre < 0;
      // Of sums without the right shift, the only ones that are shifted left.
      const int64_t bound = std::abs(int64_t{params.bias}) + max_product_sum_;
      flags.saturate_first |= bound << out.left[i] > std::numeric_limits<int32_t>::max();
    }
  }

  const Step& step_;
  const GemmMicroKernel& micro_;
  const int64_t max_product_sum_;
  uint32_t next_block_ = 0;
  size_t next_codes_ = 0;
  uint32_t num_blocks_ = 0;
  TileLevels levels_[kGemmMaxBlocks];
  const uint8_t* codes_[kGemmMaxBlocks] = {};
};

// 16-bit outputs (logits, a few thousand at most) are finished here for every instruction set.
// GemmChannels' `start` is in the sums already.
void StoreS16(const GemmTile& tile, int16_t* dst, size_t dst_stride) {
  for (uint32_t row = 0; row < tile.num_rows; ++row) {
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
        rows_(step, At<uint8_t>(parts_.zeros), At<uint8_t>(parts_.patches),
              At<const uint8_t*>(parts_.rows)),
        column_(step, micro) {
    tile_.rows = At<const uint8_t*>(parts_.rows);
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
    const uint32_t column = item / split_.ranges;
    if (column != current_column_) SetColumn(column);
    const uint32_t first = item % split_.ranges * split_.item_positions;
    const uint32_t count = std::min(split_.item_positions, split_.positions - first);
    for (uint32_t index = 0; index < split_.chunks; ++index) {
      const Chunk chunk = ChunkAt(step_.layout, split_, index);
      if (split_.chunked() || !decoded_) {
        DecodeChunk(chunk);
        decoded_ = true;
      }
      tile_.first = index == 0;
      RunTiles(first, count, chunk, /*last=*/index + 1 == split_.chunks);
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
    const ColumnFlags& flags = *InColumn<ColumnFlags>(column_parts_.flags);
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
    *InColumn<ColumnFlags>(column_parts_.flags) =
        column_.Set(first_block_, tile_.num_blocks, InColumn<GemmChannels>(column_parts_.channels));
  }

  void DecodeChunk(const Chunk& chunk) {
    column_.DecodeChunk(chunk, InColumn<std::byte>(column_parts_.panel), At<int8_t>(parts_.tiles8));
  }

  template <typename T>
  T* InColumn(size_t offset) const {
    return reinterpret_cast<T*>(column_memory_ + offset);
  }

  // Tiles of nearly equal size: a last tile of one or two rows would not fill the multipliers.
  void RunTiles(uint32_t first, uint32_t count, const Chunk& chunk, bool last) {
    const uint32_t tiles = DivideRoundUp(count, micro_.rows);
    const uint32_t tile_rows = count / tiles;
    const uint32_t longer_tiles = count % tiles;
    tile_.num_runs = chunk.runs;
    tile_.quads_per_run = chunk.quads;
    tile_.last = last && !is_s16_;
    rows_.Start(first, group_);
    uint32_t position = first;
    for (uint32_t i = 0; i < tiles; ++i) {
      tile_.num_rows = tile_rows + (i < longer_tiles ? 1 : 0);
      rows_.Next(tile_.num_rows);
      rows_.Fill(chunk);
      const size_t sum_row = split_.chunked() ? position - first : 0;
      tile_.sums = At<int32_t>(parts_.sums) + sum_row * tile_.num_blocks * kBlockChannels;
      const size_t dst_offset = position * step_.dst.pixel_stride + first_channel_;
      if (tile_.last) tile_.dst = step_.dst.mutable_u8() + dst_offset;
      if (HasResidual(*step_.node)) {
        tile_.residual.codes =
            step_.src[1].u8() + position * tile_.residual.stride + first_channel_;
      }
      micro_.compute(tile_);
      if (last && is_s16_) {
        StoreS16(tile_, step_.dst.mutable_s16() + dst_offset, step_.dst.pixel_stride);
      }
      position += tile_.num_rows;
    }
  }

  const Step& step_;
  const GemmMicroKernel& micro_;
  const Split split_;
  const Scratch parts_;
  const ColumnParts column_parts_;
  std::byte* const scratch_;
  std::byte* column_memory_ = nullptr;  // ColumnParts of the current column
  RowPointers rows_;
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
  return split.columns(step.layout) * split.ranges;
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
