#include "engine/kernels/depthwise_conv.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/kernels/tile_levels.h"
#include "format/message.h"
#include "format/rounding.h"

namespace mpq {

namespace {

// Windows whose columns alone take more than this are left to the reference.
constexpr size_t kMaxWindowBytes = 1024 * 1024;
// Output pixels of an item, roughly. Only the first item of a thread's share decodes the weights of
// its channel group again, so items may be small.
constexpr uint32_t kItemPixels = 256;

constexpr size_t kNothingPacked = ~size_t{0};

// How a step is cut: items = channel group x range of output rows of one image. A channel group
// fills the lanes; the last one may be smaller.
struct Split {
  uint32_t blocks, group_blocks;
  uint32_t channel_groups;
  uint32_t item_rows, ranges_per_image, ranges;
  uint32_t tap_groups;     // of a column
  uint32_t lines;          // of the source, under a row
  size_t group_bytes;      // of a tap group
  size_t column_bytes;     // of a column
  uint64_t window_width;   // source columns of a window
  uint32_t last_segments;  // in which the last channel group takes a row
  uint32_t segment_outputs, segment_columns;

  Split(const Step& step, const DepthwiseMicroKernel& micro) {
    const Window& window = step.node->window;
    blocks = step.layout.blocks();
    group_blocks = micro.lanes / kBlockChannels;
    channel_groups = DivideRoundUp(blocks, group_blocks);
    item_rows = std::min(DivideRoundUp(kItemPixels, step.dst.width), step.dst.height);
    ranges_per_image = DivideRoundUp(step.dst.height, item_rows);
    ranges = step.dst.batch * ranges_per_image;
    tap_groups = DivideRoundUp(window.kernel_h, micro.group_taps);
    lines = tap_groups * micro.group_taps;
    group_bytes = size_t{micro.lanes} * 4;
    column_bytes = tap_groups * group_bytes;
    window_width = uint64_t{window.kernel_w - 1} * window.dilation_w + 1;
    last_segments =
        std::min(micro.max_segments, group_blocks / std::bit_ceil((blocks - 1) % group_blocks + 1));
    last_segments = std::min(last_segments, std::bit_floor(step.dst.width));
    segment_outputs = DivideRoundUp(step.dst.width, last_segments);
    segment_columns = static_cast<uint32_t>((segment_outputs - 1) * window.stride_w + window_width);
  }

  // Of a line of packed segments.
  size_t SegmentBytes(const DepthwiseMicroKernel& micro) const {
    return size_t{segment_columns} * micro.lanes;
  }
};

// What a channel group needs of its weights: in scratch, or one after the other where they are
// prepared.
struct GroupParts {
  size_t params = 0;
  size_t weights = 0;  // in the micro-kernel's order
  size_t bytes = 0;

  GroupParts(const Step& step, const Split& split)
      : weights(RoundUp(sizeof(DepthwiseChannels), 64)),
        bytes(weights + step.node->window.kernel_w * split.column_bytes) {}
};

// The parts of a thread's scratch. Each begins at a multiple of 64 bytes.
struct Scratch {
  size_t tiles = 0;        // decoded levels of one block
  size_t planes = 0;       // of a channel group, by taps; one more plane of zeros
  size_t group = 0;        // GroupParts, unless they are prepared
  size_t padding = 0;      // a source line of zero points
  size_t lines = 0;        // DepthwiseTile::line
  size_t segments = 0;     // packed lines
  size_t packed_rows = 0;  // the source row in each of them
  size_t micro = 0;        // of the micro-kernel
  size_t padding_bytes = 0;
  size_t bytes = 0;

  Scratch(const Step& step, const DepthwiseMicroKernel& micro_kernel, const Split& split) {
    const size_t quads = step.layout.quads();
    tiles = Take(quads * kTileCodes);
    planes = Take((quads * 4 + 1) * kDepthwiseMaxLanes);
    group = Take(step.is_prepared ? 0 : GroupParts(step, split).bytes);
    padding_bytes =
        std::max(step.src[0].row_stride() + kDepthwiseMaxLanes, split.SegmentBytes(micro_kernel));
    padding = Take(padding_bytes);
    lines = Take(split.lines * sizeof(const uint8_t*));
    if (split.last_segments > 1) {
      const uint32_t taps = step.node->window.kernel_h;
      segments = Take(taps * split.SegmentBytes(micro_kernel));
      packed_rows = Take(taps * sizeof(size_t));
    }
    micro = Take(micro_kernel.scratch_bytes(step.node->window, step.dst.width));
  }

 private:
  size_t Take(size_t size) {
    const size_t offset = bytes;
    bytes += RoundUp(size, 64);
    return offset;
  }
};

// Lanes to the order of the accumulators (kUnit = 4) or of the 16-bit values packed from them
// (kUnit = 8): interleaving and packing work within 128 bits, so a register holds kUnit
// neighbouring lanes of every block.
template <uint32_t kUnit, class T>
void CopyInOrder(const DepthwiseMicroKernel& micro, const T* lanes, T* dst) {
  for (uint32_t set = 0; set < micro.lanes; set += micro.order_lanes) {
    for (uint32_t unit = 0; unit < micro.order_block; unit += kUnit) {
      for (uint32_t block = unit; block < micro.order_lanes; block += micro.order_block) {
        std::copy_n(lanes + set + block, kUnit, dst);
        dst += kUnit;
      }
    }
  }
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
    std::memset(At<uint8_t>(parts_.padding), step.src_tensors[0]->zero_point, parts_.padding_bytes);
    if (split_.last_segments > 1) {
      std::fill_n(At<size_t>(parts_.packed_rows), window_.kernel_h, kNothingPacked);
    }
    tile_.line = At<const uint8_t*>(parts_.lines);
    tile_.src_zero_point = static_cast<uint8_t>(step.src_tensors[0]->zero_point);
    tile_.kernel_w = window_.kernel_w;
    tile_.stride_w = window_.stride_w;
    tile_.dilation_w = window_.dilation_w;
    tile_.groups = split_.tap_groups;
    tile_.zero_point = static_cast<uint8_t>(step.dst_tensor->zero_point);
    tile_.code_lo = step.node->code_lo;
    tile_.dst_stride = step.dst.pixel_stride;
    tile_.scratch = At<std::byte>(parts_.micro);
  }

  void Prepare() {
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
    for (uint32_t y = first; y < last; ++y) RunTile(y);
  }

 private:
  template <typename T>
  T* At(size_t offset) const {
    return reinterpret_cast<T*>(scratch_ + offset);
  }

  // Items come in ascending order, which makes finding their codes cheap.
  void SetChannelGroup(uint32_t index) {
    LocateChannelGroup(index);
    if (!step_.is_prepared) DecodeChannelGroup();
    SetSegments();
    tile_.params = InGroup<DepthwiseChannels>(group_parts_.params);
    tile_.weights = InGroup<std::byte>(group_parts_.weights);
  }

  void LocateChannelGroup(uint32_t index) {
    channel_group_ = index;
    const bool is_last = index + 1 == split_.channel_groups;
    tile_.segments = is_last ? split_.last_segments : 1;
    group_channels_ = micro_.lanes / tile_.segments;
    first_channel_ = index * micro_.lanes;
    tile_.channels = std::min(group_channels_, step_.dst.channels - first_channel_);
    group_memory_ =
        step_.is_prepared ? step_.prepared + index * group_parts_.bytes : scratch_ + parts_.group;
  }

  void DecodeChannelGroup() {
    const uint32_t first_block = first_channel_ / kBlockChannels;
    DecodePlanes(first_block, std::min(split_.group_blocks, split_.blocks - first_block));
    InterleaveWeights();
    SetParams(*InGroup<DepthwiseChannels>(group_parts_.params));
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
    constexpr size_t kPlaneBytes = kDepthwiseMaxLanes;
    // Of blocks that the last channel group does not have, too.
    const size_t zeros = num_blocks < split_.group_blocks ? 0 : size_t{quads} * 4;
    std::memset(planes + zeros * kPlaneBytes, 0, (size_t{quads} * 4 + 1 - zeros) * kPlaneBytes);
    for (; next_block_ < first_block + num_blocks; ++next_block_) {
      if (next_block_ >= first_block) {
        const TileLevels levels = MakeTileLevels(weights, next_block_);
        micro_.decode(weights.codes.data() + next_codes_, quads, levels, tiles, kTileCodes);
        int8_t* plane = planes + (next_block_ - first_block) * kBlockChannels;
        for (uint32_t quad = 0; quad < quads; ++quad) {
          micro_.transpose(tiles + size_t{quad} * kTileCodes, plane, kPlaneBytes);
          plane += 4 * kPlaneBytes;
        }
      }
      next_codes_ += step_.layout.BlockBytes(weights.block_bits[next_block_]);
    }
    if (tile_.segments == 1) return;
    for (uint32_t tap = 0; tap < quads * 4; ++tap) {
      int8_t* plane = planes + tap * kPlaneBytes;
      for (uint32_t lane = group_channels_; lane < micro_.lanes; lane += group_channels_) {
        std::memcpy(plane + lane, plane, group_channels_);
      }
    }
  }

  void InterleaveWeights() {
    const int8_t* planes = At<int8_t>(parts_.planes);
    std::byte* dst = InGroup<std::byte>(group_parts_.weights);
    const uint32_t zero_plane = step_.layout.quads() * 4;
    const int8_t* taps[kDepthwiseMaxGroupTaps];
    for (uint32_t group = 0; group < split_.tap_groups; ++group) {
      for (uint32_t kx = 0; kx < window_.kernel_w; ++kx) {
        for (uint32_t i = 0; i < micro_.group_taps; ++i) {
          const uint32_t ky = group * micro_.group_taps + i;
          const uint32_t tap = ky < window_.kernel_h ? ky * window_.kernel_w + kx : zero_plane;
          taps[i] = planes + size_t{tap} * kDepthwiseMaxLanes;
        }
        micro_.interleave_levels(taps, dst);
        dst += split_.group_bytes;
      }
    }
  }

  void SetParams(DepthwiseChannels& params) const {
    const int64_t largest_sum =
        int64_t{window_.kernel_h} * window_.kernel_w * 255 * step_.max_level;
    DepthwiseChannels natural;  // in the order of the lanes
    ChannelFlags flags;
    for (uint32_t lane = 0; lane < micro_.lanes; lane += kBlockChannels) {
      // Segments have the same channels.
      const uint32_t channel =
          std::min(first_channel_ + lane % group_channels_, step_.dst.channels);
      const uint32_t count = std::min(step_.dst.channels - channel, kBlockChannels);
      GemmChannels block;
      micro_.describe(step_.weights->channels.data() + channel, count, largest_sum, block, flags);
      std::copy_n(block.start, kBlockChannels, natural.start + lane);
      std::copy_n(block.right, kBlockChannels, natural.right + lane);
      std::copy_n(block.left, kBlockChannels, natural.left + lane);
      std::copy_n(block.multiplier, kBlockChannels, natural.multiplier + lane);
      std::copy_n(block.code_hi, kBlockChannels, natural.code_hi + lane);
    }
    CopyInOrder<4>(micro_, natural.start, params.start);
    CopyInOrder<4>(micro_, natural.right, params.right);
    CopyInOrder<4>(micro_, natural.left, params.left);
    CopyInOrder<8>(micro_, natural.multiplier, params.multiplier);
    std::copy_n(natural.code_hi, kDepthwiseMaxLanes, params.code_hi);
    params.left_shifts = flags.left_shifts;
    params.right_shifts = flags.right_shifts;
    params.clamps = flags.clamps;
    params.unusual = flags.shifted || flags.saturate_first;
  }

  // Computes output row y.
  void RunTile(uint32_t y) {
    SetLines(y);
    tile_.dst = step_.dst.mutable_u8() + image_ * step_.dst.image_stride() +
                y * step_.dst.row_stride() + first_channel_;
    micro_.compute(tile_);
  }

  // Lines beyond the kernel are those of the padding.
  void SetLines(uint32_t y) const {
    const TensorView& src = step_.src[0];
    const uint8_t* image = src.u8() + image_ * src.image_stride() + first_channel_;
    const uint8_t** line = At<const uint8_t*>(parts_.lines);
    for (uint32_t i = 0; i < split_.lines; ++i) {
      const int64_t src_y = int64_t{y} * window_.stride_h + int64_t{i} * window_.dilation_h -
                            int64_t{window_.pad_top};
      const bool inside = i < window_.kernel_h && src_y >= 0 && src_y < src.height;
      if (!inside) {
        line[i] = At<uint8_t>(parts_.padding);
      } else if (tile_.segments == 1) {
        line[i] = image + static_cast<size_t>(src_y) * src.row_stride();
      } else {
        line[i] = PackedLine(image, static_cast<uint32_t>(src_y), i);
      }
    }
  }

  // Of segments side by side, where the driver has packed them.
  void SetSegments() {
    for (uint32_t segment = 0; segment < tile_.segments; ++segment) {
      // The last segments overlap where the row cannot be divided.
      tile_.first[segment] =
          std::min(segment * split_.segment_outputs, step_.dst.width - split_.segment_outputs);
    }
    const bool packed = tile_.segments > 1;
    tile_.outputs = packed ? split_.segment_outputs : step_.dst.width;
    tile_.src_width = packed ? split_.segment_columns : step_.src[0].width;
    tile_.src_step = packed ? micro_.lanes : step_.src[0].pixel_stride;
    tile_.pad_left = packed ? 0 : window_.pad_left;
  }

  // A source row with the padding in it, whose pixels hold the segments side by side. Rows that the
  // output row before has needed are still there.
  const uint8_t* PackedLine(const uint8_t* image, uint32_t src_y, uint32_t tap) const {
    const TensorView& src = step_.src[0];
    const uint32_t slot = window_.dilation_h == 1 ? src_y % window_.kernel_h : tap;
    uint8_t* packed = At<uint8_t>(parts_.segments) + slot * split_.SegmentBytes(micro_);
    size_t& row = At<size_t>(parts_.packed_rows)[slot];
    if (row == size_t{image_} * src.height + src_y) return packed;
    row = size_t{image_} * src.height + src_y;
    const uint8_t* line = image + src_y * src.row_stride();
    for (uint32_t segment = 0; segment < tile_.segments; ++segment) {
      const int64_t x = int64_t{tile_.first[segment]} * window_.stride_w - window_.pad_left;
      uint8_t* dst = packed + segment * group_channels_;
      if (group_channels_ == 16) {
        PackSegment<16>(line, x, dst);
      } else {
        PackSegment<32>(line, x, dst);
      }
    }
    return packed;
  }

  // kBytes of each of segment_columns columns from column x of a line on.
  template <size_t kBytes>
  void PackSegment(const uint8_t* line, int64_t x, uint8_t* dst) const {
    const int64_t end = x + split_.segment_columns;
    const int64_t inside_begin = std::clamp<int64_t>(0, x, end);
    const int64_t inside_end = std::clamp<int64_t>(step_.src[0].width, inside_begin, end);
    const auto pack = [&](const uint8_t* src, size_t src_step, int64_t count) {
      for (; count > 0; --count) {
        std::memcpy(dst, src, kBytes);
        src += src_step;
        dst += micro_.lanes;
      }
    };
    const uint8_t* padding = At<uint8_t>(parts_.padding);
    pack(padding, 0, inside_begin - x);
    const size_t step = step_.src[0].pixel_stride;
    pack(line + static_cast<size_t>(inside_begin) * step, step, inside_end - inside_begin);
    pack(padding, 0, end - inside_end);
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
  const Window& window = step.node->window;
  if (!micro.supports(window)) {
    return Message("a kernel of ", window.kernel_h, "x", window.kernel_w, ", horizontal stride ",
                   window.stride_w, " and dilation ", window.dilation_w,
                   ", not 3x3 or 5x5 of stride 1 or 2");
  }
  if (step.max_level > micro.max_level) {
    return Message("levels up to ", step.max_level, ", at most ", micro.max_level);
  }
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
