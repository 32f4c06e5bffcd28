#include "format/code_layout.h"

#include <algorithm>
#include <cstring>

#include "format/message.h"
#include "format/rounding.h"

namespace mpq {

namespace {

// Calls f(plane_bits, shift) for each bit plane of a B-bit code, widest first; `shift` is the
// position of the plane's lowest bit in the code.
template <typename F>
void ForEachPlane(int bits, F f) {
  int rest = bits;
  for (int plane_bits = 8; plane_bits >= 1; plane_bits /= 2) {
    if (rest < plane_bits) continue;
    rest -= plane_bits;
    f(plane_bits, rest);
  }
}

// Calls f(block, quad, tile_index, channel, ohwi_index) for every code of the layer, padding too
// (ohwi_index == kNone).
template <typename F>
void ForEachTileCode(const CodeLayout& layout, uint32_t block, uint32_t quad, F f) {
  const uint32_t run = quad / layout.quads_per_run;
  const uint32_t first_value = quad % layout.quads_per_run * 4;
  const uint32_t channels = layout.BlockChannels(block);
  const uint32_t row_codes = layout.runs * layout.run_values;
  for (uint32_t i = 0; i < kTileCodes; ++i) {
    const uint32_t channel = i / 4;
    const uint32_t within = layout.OhwiIndex(run, first_value + i % 4);
    const bool padding = channel >= channels || within == kNone;
    f(i,
      padding ? size_t{kNone} : size_t{layout.FirstChannel(block) + channel} * row_codes + within);
  }
}

}  // namespace

uint32_t CodeLayout::BlockChannels(uint32_t block) const {
  const uint32_t first = block % blocks_per_group * kBlockChannels;
  return std::min(kBlockChannels, channels_per_group - first);
}

uint32_t CodeLayout::FirstChannel(uint32_t block) const {
  return block / blocks_per_group * channels_per_group + block % blocks_per_group * kBlockChannels;
}

uint32_t CodeLayout::OhwiIndex(uint32_t run, uint32_t value) const {
  return value < run_values ? run * run_values + value : kNone;
}

CodeLayout MakeCodeLayout(const Graph& graph, const Node& node) {
  const Weights& weights = graph.weights[node.weights];
  CodeLayout layout;
  const uint32_t taps = weights.kernel_h * weights.kernel_w;
  if (node.kind == OpKind::kDepthwiseConv) {
    layout.depthwise = true;
    layout.channels_per_group = weights.out_channels;
    layout.runs = 1;
    layout.run_values = taps;
  } else {
    layout.groups = node.groups;
    layout.channels_per_group = weights.out_channels / node.groups;
    layout.row_runs = node.inputs[0] == graph.input && weights.in_channels % 4 != 0 &&
                      node.window.dilation_w == 1 && node.groups == 1;
    layout.runs = layout.row_runs ? weights.kernel_h : taps;
    layout.run_values =
        layout.row_runs ? weights.kernel_w * weights.in_channels : weights.in_channels;
  }
  layout.blocks_per_group = DivideRoundUp(layout.channels_per_group, kBlockChannels);
  layout.quads_per_run = DivideRoundUp(layout.run_values, 4);
  return layout;
}

size_t StreamBytes(const CodeLayout& layout, std::span<const uint8_t> block_bits) {
  size_t bytes = 0;
  for (const uint8_t bits : block_bits) bytes += layout.BlockBytes(bits);
  return bytes;
}

void PackTile(const uint8_t codes[kTileCodes], int bits, uint8_t* packed) {
  ForEachPlane(bits, [&](int plane_bits, int shift) {
    const int plane_bytes = 8 * plane_bits;
    const uint8_t mask = static_cast<uint8_t>((1 << plane_bits) - 1);
    std::memset(packed, 0, static_cast<size_t>(plane_bytes));
    for (int i = 0; i < static_cast<int>(kTileCodes); ++i) {
      const int run = i / plane_bytes;
      packed[i % plane_bytes] |=
          static_cast<uint8_t>((codes[i] >> shift & mask) << (run * plane_bits));
    }
    packed += plane_bytes;
  });
}

void UnpackTile(const uint8_t* packed, int bits, uint8_t codes[kTileCodes]) {
  std::memset(codes, 0, kTileCodes);
  ForEachPlane(bits, [&](int plane_bits, int shift) {
    const int plane_bytes = 8 * plane_bits;
    const uint8_t mask = static_cast<uint8_t>((1 << plane_bits) - 1);
    for (int i = 0; i < static_cast<int>(kTileCodes); ++i) {
      const int run = i / plane_bytes;
      codes[i] |=
          static_cast<uint8_t>((packed[i % plane_bytes] >> (run * plane_bits) & mask) << shift);
    }
    packed += plane_bytes;
  });
}

std::vector<uint8_t> PackCodes(const CodeLayout& layout, std::span<const uint8_t> ohwi_codes,
                               std::span<const uint8_t> block_bits,
                               std::span<const uint8_t> zero_codes) {
  std::vector<uint8_t> stream(StreamBytes(layout, block_bits));
  uint8_t* out = stream.data();
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    for (uint32_t quad = 0; quad < layout.quads(); ++quad) {
      uint8_t tile[kTileCodes];
      ForEachTileCode(layout, block, quad, [&](uint32_t i, size_t ohwi) {
        tile[i] = ohwi == kNone ? zero_codes[block] : ohwi_codes[ohwi];
      });
      PackTile(tile, block_bits[block], out);
      out += size_t{block_bits[block]} * (kTileCodes / 8);
    }
  }
  return stream;
}

std::vector<uint8_t> UnpackCodes(const CodeLayout& layout, std::span<const uint8_t> stream,
                                 std::span<const uint8_t> block_bits) {
  std::vector<uint8_t> ohwi_codes(size_t{layout.groups} * layout.channels_per_group * layout.runs *
                                  layout.run_values);
  const uint8_t* in = stream.data();
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    for (uint32_t quad = 0; quad < layout.quads(); ++quad) {
      uint8_t tile[kTileCodes];
      UnpackTile(in, block_bits[block], tile);
      ForEachTileCode(layout, block, quad, [&](uint32_t i, size_t ohwi) {
        if (ohwi != kNone) ohwi_codes[ohwi] = tile[i];
      });
      in += size_t{block_bits[block]} * (kTileCodes / 8);
    }
  }
  return ohwi_codes;
}

Result<Levels> BlockLevels(const Weights& weights, uint32_t block) {
  const int bits = weights.block_bits[block];
  switch (weights.level_set) {
    case LevelSetKind::kUniform:
      return UniformLevels(bits);
    case LevelSetKind::kTwoRegion:
      if (block >= weights.block_shapes.size()) {
        return Error(ErrorCode::kCorrupt, "block ", block, " has no two-region shape");
      }
      return TwoRegionLevels(bits, TwoRegionShape::Unpack(weights.block_shapes[block]));
    case LevelSetKind::kTable:
      break;
  }
  // One table per width that occurs in the layer, in ascending order of width.
  size_t offset = 0;
  for (int width = 1; width < bits; ++width) {
    const bool occurs = std::find(weights.block_bits.begin(), weights.block_bits.end(), width) !=
                        weights.block_bits.end();
    if (occurs) offset += size_t{1} << width;
  }
  const size_t count = size_t{1} << bits;
  if (offset > weights.tables.size() || count > weights.tables.size() - offset) {
    return Error(ErrorCode::kCorrupt, "no level table for ", bits, " bits");
  }
  return TableLevels(bits, weights.tables.span().subspan(offset, count));
}

Result<std::vector<int8_t>> DecodeLevels(const CodeLayout& layout, const Weights& weights) {
  const std::vector<uint8_t> codes =
      UnpackCodes(layout, weights.codes.span(), weights.block_bits.span());
  std::vector<int8_t> levels(codes.size());
  const size_t row_codes = size_t{layout.runs} * layout.run_values;
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    MPQ_ASSIGN_OR_RETURN(const Levels set, BlockLevels(weights, block));
    const size_t first = layout.FirstChannel(block) * row_codes;
    const size_t last = first + layout.BlockChannels(block) * row_codes;
    for (size_t i = first; i < last; ++i) levels[i] = set.level[codes[i]];
  }
  return levels;
}

}  // namespace mpq
