#include "engine/kernels/depthwise_conv.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "format/message.h"

namespace mpq {

namespace {

// A stretch of interleaved columns should stay in L1 between its two uses.
constexpr size_t kColumnBytes = 20 * 1024;
// Windows whose columns alone take more than this are left to the reference.
constexpr size_t kMaxWindowBytes = 1024 * 1024;
// Output pixels of an item, roughly. Only the first item of a thread's share decodes the weights of
// its channel group again, so items may be small.
constexpr uint32_t kItemPixels = 256;

constexpr uint32_t DivideRoundUp(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
constexpr size_t RoundUp(size_t x, size_t multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

struct GroupParams {
  DepthwiseChannels channels;
  bool left_shifts;  // DepthwiseTile
};

// How a step is cut: items = channel group x range of output rows of one image. A channel group
// fills the lanes, or half or a quarter of them at the end of the layer.
struct Split {
  uint32_t blocks, group_blocks;
  uint32_t channel_groups;
  uint32_t item_rows, ranges_per_image, ranges;
  uint32_t tap_groups;    // of a column
  size_t group_bytes;     // of a tap group
  size_t column_bytes;    // of a column
  uint64_t window_width;  // source columns of a window
  uint32_t tile_outputs;  // outputs of a row that are computed at a time

  Split(const Step& step, const DepthwiseMicroKernel& micro) {
    const Window& window = step.node->window;
    blocks = step.layout.blocks();
    group_blocks = micro.lanes / kBlockChannels;
    channel_groups =
        blocks / group_blocks + static_cast<uint32_t>(std::popcount(blocks % group_blocks));
    const uint32_t rows = DivideRoundUp(kItemPixels, step.dst.width);
    item_rows = std::min(static_cast<uint32_t>(RoundUp(rows, kDepthwiseMaxRows)), step.dst.height);
    ranges_per_image = DivideRoundUp(step.dst.height, item_rows);
    ranges = step.dst.batch * ranges_per_image;
    tap_groups = DivideRoundUp(window.kernel_h, micro.group_taps);
    group_bytes = size_t{micro.lanes} * 4;
    column_bytes = tap_groups * group_bytes;
    window_width = uint64_t{window.kernel_w - 1} * window.dilation_w + 1;
    const uint64_t columns = std::max<uint64_t>(window_width, kColumnBytes / column_bytes);
    tile_outputs = static_cast<uint32_t>(
        std::min<uint64_t>((columns - window_width) / window.stride_w + 1, step.dst.width));
  }

  // Columns of a tile.
  size_t Columns(const Window& window, uint32_t outputs) const {
    return size_t{outputs - 1} * window.stride_w + window_width;
  }

  // The blocks [first, first + count) of a channel group. The rest of a division by 4 is cut into
  // 2 + 1.
  void ChannelGroup(uint32_t index, uint32_t& first, uint32_t& count) const {
    const uint32_t full = blocks / group_blocks;
    first = std::min(index, full) * group_blocks;
    count = group_blocks;
    for (uint32_t i = full; i <= index; ++i) {
      if (i > full) first += count;
      count = std::bit_floor(blocks - first);
    }
    count = std::min(count, group_blocks);
  }
};

// What a channel group needs of its weights: in scratch, or one after the other where they are
// prepared.
struct GroupParts {
  size_t params = 0;
  size_t weights = 0;  // in the micro-kernel's order
  size_t bytes = 0;

  GroupParts(const Step& step, const Split& split)
      : weights(RoundUp(sizeof(GroupParams), 64)),
        bytes(weights + RoundUp(step.node->window.kernel_w * split.column_bytes, 64)) {}
};

// The parts of a thread's scratch. Each begins at a multiple of 64 bytes.
struct Scratch {
  size_t tiles = 0;   // decoded levels of one block
  size_t planes = 0;  // of a channel group, by taps; one more plane of zeros
  size_t group = 0;   // GroupParts, unless they are prepared
  size_t zeros = 0;   // a pixel of zero points
  size_t columns = 0;
  size_t bytes = 0;

  Scratch(const Step& step, const DepthwiseMicroKernel& micro, const Split& split) {
    const size_t quads = step.layout.quads();
    tiles = Take(quads * kTileCodes);
    planes = Take((quads * 4 + 1) * micro.lanes);
    group = Take(step.is_prepared ? 0 : GroupParts(step, split).bytes);
    zeros = Take(kDepthwiseMaxLanes);
    columns = Take(split.Columns(step.node->window, split.tile_outputs) * split.column_bytes);
  }

 private:
  size_t Take(size_t size) {
    const size_t offset = bytes;
    bytes += RoundUp(size, 64);
    return offset;
  }
};

// The lane whose value is at position k of the accumulators (unit = 4) or of the 16-bit values
// packed from them (unit = 8): interleaving and packing work within 128 bits, so a register holds
// `unit` neighbouring lanes of every block.
uint32_t LaneOf(const DepthwiseMicroKernel& micro, uint32_t k, uint32_t unit) {
  const uint32_t set = k / micro.order_lanes * micro.order_lanes;
  const uint32_t width = micro.order_lanes * unit / micro.order_block;
  const uint32_t register_index = (k - set) / width;
  const uint32_t i = (k - set) % width;
  return set + i / unit * micro.order_block + register_index * unit + i % unit;
}

// One thread's work on a step.
class Depthwise {
 public:
  Depthwise(const Step& step, const DepthwiseMicroKernel& micro, std::byte* scratch)
      : step_(step),
        micro_(micro),
        window_(step.node->window),
        split_(step, micro),
        parts_(step, micro, split_),
        group_parts_(step, split_),
        scratch_(scratch) {
    std::memset(At<uint8_t>(parts_.zeros), step.src_tensors[0]->zero_point, kDepthwiseMaxLanes);
    std::fill(std::begin(padding_.line), std::end(padding_.line), At<uint8_t>(parts_.zeros));
    if (!step.is_prepared) OrderLanes();
    tile_.columns = At<std::byte>(parts_.columns);
    tile_.output_step = window_.stride_w * split_.column_bytes;
    tile_.tap_step = window_.dilation_w * split_.column_bytes;
    tile_.kernel_w = window_.kernel_w;
    tile_.groups = split_.tap_groups;
    tile_.zero_point = static_cast<uint8_t>(step.dst_tensor->zero_point);
    tile_.code_lo = step.node->code_lo;
    tile_.dst_stride = step.dst.pixel_stride;
  }

  void Prepare() {
    OrderLanes();
    for (uint32_t group = 0; group < split_.channel_groups; ++group) {
      LocateChannelGroup(group);
      DecodeChannelGroup();
    }
  }

  void RunItem(uint32_t item) {
    const uint32_t channel_group = item / split_.ranges;
    if (channel_group != channel_group_) SetChannelGroup(channel_group);
    const uint32_t range = item % split_.ranges;
    image_ = range / split_.ranges_per_image;
    const uint32_t first = range % split_.ranges_per_image * split_.item_rows;
    const uint32_t last = std::min(first + split_.item_rows, step_.dst.height);
    for (uint32_t y = first; y < last; y += tile_.lane_rows) {
      tile_.rows = std::min(tile_.lane_rows, last - y);
      for (uint32_t x = 0; x < step_.dst.width; x += split_.tile_outputs) RunTile(y, x);
    }
  }

 private:
  template <typename T>
  T* At(size_t offset) const {
    return reinterpret_cast<T*>(scratch_ + offset);
  }

  void OrderLanes() {
    for (uint32_t k = 0; k < micro_.lanes; ++k) {
      position32_[LaneOf(micro_, k, 4)] = static_cast<uint8_t>(k);
      position16_[LaneOf(micro_, k, 8)] = static_cast<uint8_t>(k);
    }
  }

  // Items come in ascending order, which makes finding their codes cheap.
  void SetChannelGroup(uint32_t index) {
    LocateChannelGroup(index);
    if (!step_.is_prepared) DecodeChannelGroup();
    const GroupParams& params = *InGroup<GroupParams>(group_parts_.params);
    tile_.params = &params.channels;
    tile_.left_shifts = params.left_shifts;
    tile_.weights = InGroup<std::byte>(group_parts_.weights);
  }

  void LocateChannelGroup(uint32_t index) {
    channel_group_ = index;
    uint32_t first = 0;
    uint32_t count = 0;
    split_.ChannelGroup(index, first, count);
    group_channels_ = count * kBlockChannels;
    first_channel_ = first * kBlockChannels;
    tile_.lane_rows = micro_.lanes / group_channels_;
    tile_.channels = std::min(group_channels_, step_.dst.channels - first_channel_);
    group_memory_ =
        step_.is_prepared ? step_.prepared + index * group_parts_.bytes : scratch_ + parts_.group;
  }

  void DecodeChannelGroup() {
    DecodePlanes(first_channel_ / kBlockChannels, group_channels_ / kBlockChannels);
    InterleaveWeights();
    SetParams(*InGroup<GroupParams>(group_parts_.params));
  }

  template <typename T>
  T* InGroup(size_t offset) const {
    return reinterpret_cast<T*>(group_memory_ + offset);
  }

  void DecodePlanes(uint32_t first_block, uint32_t num_blocks) {
    const Weights& weights = *step_.weights;
    const uint32_t quads = step_.layout.quads();
    int8_t* tiles = At<int8_t>(parts_.tiles);
    int8_t* planes = At<int8_t>(parts_.planes);
    for (; next_block_ < first_block + num_blocks; ++next_block_) {
      if (next_block_ >= first_block) {
        const TileLevels levels = BlockTileLevels(next_block_);
        micro_.decode(weights.codes.data() + next_codes_, quads, levels, tiles, kTileCodes);
        int8_t* plane = planes + (next_block_ - first_block) * kBlockChannels;
        for (uint32_t quad = 0; quad < quads; ++quad) {
          micro_.transpose(tiles + size_t{quad} * kTileCodes, plane, group_channels_);
          plane += size_t{4} * group_channels_;
        }
      }
      next_codes_ += step_.layout.BlockBytes(weights.block_bits[next_block_]);
    }
    std::memset(planes + size_t{quads} * 4 * group_channels_, 0, group_channels_);
  }

  TileLevels BlockTileLevels(uint32_t block) const {
    const Weights& weights = *step_.weights;
    TileLevels levels = {};
    levels.bits = weights.block_bits[block];
    levels.uniform = weights.level_set == LevelSetKind::kUniform;
    if (!levels.uniform) {
      const Levels set = BlockLevels(weights, block).value();  // the model has been validated
      std::copy_n(set.level.begin(), sizeof levels.table, levels.table);
    }
    return levels;
  }

  void InterleaveWeights() {
    const int8_t* planes = At<int8_t>(parts_.planes);
    std::byte* dst = InGroup<std::byte>(group_parts_.weights);
    const uint32_t zero_plane = step_.layout.quads() * 4;
    DepthwiseLines lines = {};
    for (uint32_t kx = 0; kx < window_.kernel_w; ++kx) {
      for (uint32_t group = 0; group < split_.tap_groups; ++group) {
        ForEachLine(group, [&](uint32_t i, uint32_t, uint32_t ky) {
          const uint32_t tap = ky < window_.kernel_h ? ky * window_.kernel_w + kx : zero_plane;
          lines.line[i] = planes + size_t{tap} * group_channels_;
        });
        micro_.interleave_levels(lines, tile_.lane_rows, 1, dst, split_.group_bytes);
        dst += split_.group_bytes;
      }
    }
  }

  void SetParams(GroupParams& group) const {
    group = {};
    DepthwiseChannels& params = group.channels;
    for (uint32_t i = 0; i < tile_.channels; ++i) {
      const ChannelParams& channel = step_.weights->channels[first_channel_ + i];
      const Requantizer r = Requantizer::Unpack(channel.requant);
      // Modulo 2^32 as accumulation is; the whole sum fits (kMaxAccumulator).
      const uint32_t half = (uint32_t{1} << std::max(r.pre, 0)) >> 1;
      for (uint32_t lane = i; lane < micro_.lanes; lane += group_channels_) {
        const uint32_t k = position32_[lane];
        params.start[k] = static_cast<int32_t>(static_cast<uint32_t>(channel.bias) + half);
        params.right[k] = std::max(r.pre, 0);
        params.left[k] = std::max(-r.pre, 0);
        params.multiplier[position16_[lane]] = static_cast<int16_t>(r.shifted ? 0 : r.m);
        params.code_hi[lane] = r.code_hi;
      }
      group.left_shifts |= r.pre < 0;
    }
  }

  // Calls f(index into DepthwiseLines, lane row, ky); ky may be beyond the kernel.
  template <typename F>
  void ForEachLine(uint32_t group, F f) const {
    for (uint32_t row = 0; row < tile_.lane_rows; ++row) {
      for (uint32_t tap = 0; tap < micro_.group_taps; ++tap) {
        f(row * micro_.group_taps + tap, row, group * micro_.group_taps + tap);
      }
    }
  }

  // Computes up to tile_outputs outputs from (y, x) on, of tile_.rows rows.
  void RunTile(uint32_t y, uint32_t x) {
    tile_.outputs = std::min(split_.tile_outputs, step_.dst.width - x);
    InterleaveColumns(y, int64_t{x} * window_.stride_w - window_.pad_left,
                      split_.Columns(window_, tile_.outputs));
    for (uint32_t row = 0; row < tile_.rows; ++row) {
      tile_.dst[row] = step_.dst.mutable_u8() + image_ * step_.dst.image_stride() +
                       (y + row) * step_.dst.row_stride() + x * step_.dst.pixel_stride +
                       first_channel_;
    }
    micro_.compute(tile_);
  }

  // Source columns [x, x + columns) under the windows of output rows from y on.
  void InterleaveColumns(uint32_t y, int64_t x, size_t columns) const {
    const int64_t end = x + static_cast<int64_t>(columns);
    const int64_t inside_begin = std::clamp<int64_t>(0, x, end);
    const int64_t inside_end = std::clamp<int64_t>(step_.src[0].width, inside_begin, end);
    for (uint32_t group = 0; group < split_.tap_groups; ++group) {
      std::byte* dst = At<std::byte>(parts_.columns) + group * split_.group_bytes;
      Interleave(padding_, x, inside_begin, x, dst);
      if (inside_begin < inside_end) {
        DepthwiseLines lines;
        SetSourceLines(group, y, inside_begin, lines);
        Interleave(lines, inside_begin, inside_end, x, dst);
      }
      Interleave(padding_, inside_end, end, x, dst);
    }
  }

  void Interleave(const DepthwiseLines& lines, int64_t begin, int64_t end, int64_t x,
                  std::byte* dst) const {
    if (begin == end) return;
    micro_.interleave(lines, tile_.lane_rows, static_cast<uint32_t>(end - begin),
                      dst + static_cast<size_t>(begin - x) * split_.column_bytes,
                      split_.column_bytes);
  }

  // From source column x on. Rows beyond those to be written read what the last one reads.
  void SetSourceLines(uint32_t group, uint32_t y, int64_t x, DepthwiseLines& lines) const {
    const TensorView& src = step_.src[0];
    const uint8_t* image = src.u8() + image_ * src.image_stride() + first_channel_ +
                           static_cast<size_t>(x) * src.pixel_stride;
    ForEachLine(group, [&](uint32_t i, uint32_t row, uint32_t ky) {
      const int64_t src_y = int64_t{y + std::min(row, tile_.rows - 1)} * window_.stride_h +
                            int64_t{ky} * window_.dilation_h - window_.pad_top;
      const bool inside = ky < window_.kernel_h && src_y >= 0 && src_y < src.height;
      lines.line[i] =
          inside ? image + static_cast<size_t>(src_y) * src.row_stride() : padding_.line[0];
      lines.step[i] = inside ? src.pixel_stride : 0;
    });
  }

  const Step& step_;
  const DepthwiseMicroKernel& micro_;
  const Window& window_;
  const Split split_;
  const Scratch parts_;
  const GroupParts group_parts_;
  std::byte* const scratch_;
  std::byte* group_memory_ = nullptr;  // GroupParts of the current channel group
  DepthwiseTile tile_ = {};

  DepthwiseLines padding_ = {};
  // Where the values of a lane are among the accumulators, and among the 16-bit values.
  uint8_t position32_[kDepthwiseMaxLanes], position16_[kDepthwiseMaxLanes];

  // The channel group whose weights are in scratch, and where the codes of the next begin.
  uint32_t channel_group_ = kNone;
  uint32_t first_channel_ = 0;
  uint32_t group_channels_ = 0;
  uint32_t next_block_ = 0;
  size_t next_codes_ = 0;

  uint32_t image_ = 0;
};

}  // namespace

std::string DepthwiseRefuse(const Step& step, const DepthwiseMicroKernel& micro) {
  if (step.dst_tensor->type != ElementType::kU8) return "16-bit output";
  const Split split(step, micro);
  if (split.window_width > kMaxWindowBytes / split.column_bytes) {
    return Message("a window of ", split.window_width, " columns of ", split.column_bytes,
                   " bytes, more than ", kMaxWindowBytes);
  }
  return {};
}

uint32_t DepthwiseWorkItems(const Step& step, const DepthwiseMicroKernel& micro) {
  const Split split(step, micro);
  return split.channel_groups * split.ranges;
}

size_t DepthwiseScratchBytes(const Step& step, const DepthwiseMicroKernel& micro) {
  return Scratch(step, micro, Split(step, micro)).bytes;
}

void DepthwiseRun(const Step& step, const DepthwiseMicroKernel& micro, uint32_t first,
                  uint32_t last, std::byte* scratch) {
  Depthwise depthwise(step, micro, scratch);
  for (uint32_t item = first; item < last; ++item) depthwise.RunItem(item);
}

size_t DepthwisePreparedBytes(const Step& step, const DepthwiseMicroKernel& micro) {
  const Split split(step, micro);
  return split.channel_groups * GroupParts(step, split).bytes;
}

void DepthwisePrepare(const Step& step, const DepthwiseMicroKernel& micro, std::byte* scratch) {
  Depthwise(step, micro, scratch).Prepare();
}

}  // namespace mpq
