#include "format/validate_weights.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <span>

#include "format/code_layout.h"
#include "format/message.h"
#include "format/node_fields.h"
#include "format/wire.h"

namespace mpq {

namespace {

constexpr int64_t kMaxCode = 255;

// Infinity and NaN have all bits of the exponent set. No branch, so compilers vectorise it.
bool AllFinite(std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7f800000u;
  bool finite = true;
  for (const float x : values) finite &= (std::bit_cast<uint32_t>(x) & kExponent) != kExponent;
  return finite;
}

uint64_t DotLength(const Weights& weights) {
  return uint64_t{weights.kernel_h} * weights.kernel_w * weights.in_channels;
}

Status CheckFinite(const char* what, std::span<const float> values) {
  if (AllFinite(values)) return Status();
  const auto bad =
      std::find_if_not(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
  return Error(ErrorCode::kCorrupt, what, " ", bad - values.begin(), " is ", *bad,
               ", expected a finite number");
}

Status CheckFloatArrays(const Weights& weights) {
  const uint64_t num_values = weights.out_channels * DotLength(weights);
  if (weights.values.size() != num_values || weights.bias.size() != weights.out_channels) {
    return Error(ErrorCode::kCorrupt, weights.values.size(), " float weights and ",
                 weights.bias.size(), " biases, expected ", num_values, " and ",
                 weights.out_channels);
  }
  MPQ_RETURN_IF_ERROR(CheckFinite("weight", weights.values.span()));
  return CheckFinite("bias", weights.bias.span());
}

// Checks one integer layer. Decodes only the tiles that hold padding, and blocks whose accumulators
// cannot be bounded by counts alone, so that loading stays fast.
class IntegerLayer {
 public:
  IntegerLayer(const Graph& graph, const Node& node)
      : weights_(graph.weights[node.weights]),
        layout_(MakeCodeLayout(graph, node)),
        dst_(graph.tensors[node.output]),
        has_residual_(HasResidual(node)),
        code_lo_(node.code_lo) {}

  Status Check() {
    MPQ_RETURN_IF_ERROR(CheckLengths());
    size_t offset = 0;
    for (uint32_t block = 0; block < layout_.blocks(); ++block) {
      MPQ_ASSIGN_OR_RETURN(const Levels levels, LevelsOf(block));
      const size_t num_bytes = layout_.BlockBytes(weights_.block_bits[block]);
      const auto packed = weights_.codes.span().subspan(offset, num_bytes);
      offset += num_bytes;
      MPQ_RETURN_IF_ERROR(CheckPadding(block, levels, packed));
      MPQ_RETURN_IF_ERROR(CheckAccumulators(block, levels, packed));
    }
    return CheckRequantisation();
  }

 private:
  Status CheckLengths() const {
    if (!weights_.values.empty() || !weights_.bias.empty()) {
      return Error(ErrorCode::kCorrupt, "float weights in an integer model");
    }
    if (weights_.channels.size() != weights_.out_channels) {
      return Error(ErrorCode::kCorrupt, "parameters of ", weights_.channels.size(),
                   " channels, expected ", weights_.out_channels);
    }
    if (weights_.block_bits.size() != layout_.blocks()) {
      return Error(ErrorCode::kCorrupt, weights_.block_bits.size(), " blocks, expected ",
                   layout_.blocks());
    }
    for (const uint8_t bits : weights_.block_bits) {
      if (bits < 1 || bits > kMaxBits) {
        return Error(ErrorCode::kCorrupt, "a block of ", bits, " bits, expected 1..", kMaxBits);
      }
    }
    MPQ_RETURN_IF_ERROR(CheckLevelSetLengths());
    const size_t stream_bytes = StreamBytes(layout_, weights_.block_bits.span());
    if (weights_.codes.size() != stream_bytes) {
      return Error(ErrorCode::kCorrupt, "code stream of ", weights_.codes.size(),
                   " bytes, expected ", stream_bytes);
    }
    return Status();
  }

  Status CheckLevelSetLengths() const {
    const size_t num_shapes = weights_.level_set == LevelSetKind::kTwoRegion ? layout_.blocks() : 0;
    if (weights_.block_shapes.size() != num_shapes) {
      return Error(ErrorCode::kCorrupt, weights_.block_shapes.size(),
                   " two-region shapes, expected ", num_shapes);
    }
    size_t num_levels = 0;
    if (weights_.level_set == LevelSetKind::kTable) {
      for (int bits = 1; bits <= kMaxTableBits; ++bits) {
        if (std::count(weights_.block_bits.begin(), weights_.block_bits.end(), bits) > 0) {
          num_levels += size_t{1} << bits;
        }
      }
    }
    if (weights_.tables.size() != num_levels) {
      return Error(ErrorCode::kCorrupt, weights_.tables.size(), " table levels, expected ",
                   num_levels);
    }
    return Status();
  }

  // Blocks of one width and, with two regions, one shape have one level set.
  Result<Levels> LevelsOf(uint32_t block) {
    const bool shaped = weights_.level_set == LevelSetKind::kTwoRegion;
    const uint8_t bits = weights_.block_bits[block];
    const uint8_t shape = shaped ? weights_.block_shapes[block] : uint8_t{0};
    for (const CachedLevels& cached : cache_) {
      if (cached.bits == bits && cached.shape == shape) return cached.levels;
    }
    MPQ_ASSIGN_OR_RETURN(const Levels levels, BlockLevels(weights_, block));
    cache_[next_cached_++ % cache_.size()] = {bits, shape, levels};
    return levels;
  }

  Status CheckPadding(uint32_t block, const Levels& levels, std::span<const uint8_t> packed) const {
    const bool channel_padding = layout_.BlockChannels(block) < kBlockChannels;
    const bool value_padding = layout_.run_values % 4 != 0;
    if (!channel_padding && !value_padding) return Status();
    const uint8_t zero_code = levels.zero_code();
    const uint32_t bits = weights_.block_bits[block];
    for (uint32_t quad = 0; quad < layout_.quads(); ++quad) {
      const bool last_of_run = quad % layout_.quads_per_run == layout_.quads_per_run - 1;
      if (!channel_padding && !last_of_run) continue;
      const uint32_t real_values = last_of_run ? (layout_.run_values - 1) % 4 + 1 : 4;
      uint8_t codes[kTileCodes];
      UnpackTile(packed.data() + size_t{quad} * bits * (kTileCodes / 8), static_cast<int>(bits),
                 codes);
      for (uint32_t i = 0; i < kTileCodes; ++i) {
        const bool padding = i / 4 >= layout_.BlockChannels(block) || i % 4 >= real_values;
        if (padding && codes[i] != zero_code) {
          return Error(ErrorCode::kCorrupt, "block ", block, ", quad ", quad, ": padding code ",
                       codes[i], ", expected that of level 0, ", zero_code);
        }
      }
    }
    return Status();
  }

  Status CheckAccumulators(uint32_t block, const Levels& levels,
                           std::span<const uint8_t> packed) const {
    const uint32_t first = layout_.FirstChannel(block);
    const auto params = weights_.channels.span().subspan(first, layout_.BlockChannels(block));
    const int64_t bound =
        static_cast<int64_t>(DotLength(weights_)) * levels.max_magnitude() * kMaxCode;
    const bool bounded = std::all_of(params.begin(), params.end(), [&](const ChannelParams& p) {
      return bound + std::abs(int64_t{p.bias}) <= kMaxAccumulator;
    });
    return bounded ? Status() : CheckAccumulatorsExactly(block, levels, packed);
  }

  // The largest and the smallest accumulator follow from the positive and the negative levels.
  Status CheckAccumulatorsExactly(uint32_t block, const Levels& levels,
                                  std::span<const uint8_t> packed) const {
    std::array<int64_t, kBlockChannels> positive{};
    std::array<int64_t, kBlockChannels> negative{};
    const uint32_t bits = weights_.block_bits[block];
    for (uint32_t quad = 0; quad < layout_.quads(); ++quad) {
      uint8_t codes[kTileCodes];
      UnpackTile(packed.data() + size_t{quad} * bits * (kTileCodes / 8), static_cast<int>(bits),
                 codes);
      for (uint32_t i = 0; i < kTileCodes; ++i) {
        const int level = levels.level[codes[i]];
        (level > 0 ? positive : negative)[i / 4] += level;
      }
    }
    for (uint32_t i = 0; i < layout_.BlockChannels(block); ++i) {
      const uint32_t channel = layout_.FirstChannel(block) + i;
      const int64_t bias = weights_.channels[channel].bias;
      const int64_t largest = positive[i] * kMaxCode + bias;
      const int64_t smallest = negative[i] * kMaxCode + bias;
      if (largest > kMaxAccumulator || smallest < -kMaxAccumulator) {
        return Error(ErrorCode::kCorrupt, "channel ", channel, ": accumulators in ", smallest, "..",
                     largest, ", beyond +-", kMaxAccumulator);
      }
    }
    return Status();
  }

  Status CheckRequantisation() const {
    const int largest_code = (1 << dst_.bits) - 1;
    for (uint32_t channel = 0; channel < weights_.out_channels; ++channel) {
      const uint32_t word = weights_.channels[channel].requant;
      if (!Requantizer::Valid(word)) {
        return Error(ErrorCode::kCorrupt, "channel ", channel, ": invalid requantisation word ",
                     word);
      }
      if (has_residual_ && Requantizer::Unpack(word).shifted) {
        return Error(ErrorCode::kCorrupt, "channel ", channel,
                     ": requantisation by a shift alone, which takes no residual");
      }
      const int code_hi = Requantizer::Unpack(word).code_hi;
      if (dst_.type == ElementType::kU8 && (code_hi < code_lo_ || code_hi > largest_code)) {
        return Error(ErrorCode::kCorrupt, "channel ", channel, ": highest code ", code_hi,
                     ", expected ", code_lo_, "..", largest_code);
      }
    }
    return Status();
  }

  struct CachedLevels {
    uint8_t bits = 0;
    uint8_t shape = 0;
    Levels levels;
  };

  const Weights& weights_;
  const CodeLayout layout_;
  const Tensor& dst_;
  const bool has_residual_;
  const int code_lo_;
  std::array<CachedLevels, 8> cache_;
  size_t next_cached_ = 0;
};

}  // namespace

Status ValidateWeightsShape(const Weights& weights) {
  const uint64_t dot_length = DotLength(weights);
  if (weights.out_channels == 0 || dot_length == 0) {
    return Error(ErrorCode::kCorrupt, "weights without values");
  }
  if (weights.out_channels > wire::kMaxChannels || weights.in_channels > wire::kMaxChannels) {
    return Error(ErrorCode::kLimitExceeded, "weights of ", weights.out_channels, " x ",
                 weights.in_channels, " channels, the limit is ", wire::kMaxChannels);
  }
  if (dot_length > wire::kMaxDotLength) {
    return Error(ErrorCode::kLimitExceeded, dot_length,
                 " weights per output channel, the limit is ", wire::kMaxDotLength);
  }
  if (weights.out_channels * dot_length > wire::kMaxLayerValues) {
    return Error(ErrorCode::kLimitExceeded, weights.out_channels * dot_length,
                 " weights in a layer, the limit is ", wire::kMaxLayerValues);
  }
  return Status();
}

Status ValidateWeightsArrays(const Graph& graph, const Node& node) {
  if (graph.is_float()) return CheckFloatArrays(graph.weights[node.weights]);
  return IntegerLayer(graph, node).Check();
}

}  // namespace mpq
