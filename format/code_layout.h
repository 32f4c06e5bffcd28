// How weight codes lie in the file and in memory: one layout for both, read by kernels front to
// back. Plain scalar code; kernels unpack the same layout with SIMD.
//
// Output channels come in blocks of 16; blocks do not cross a group. Inside a block, k (the
// position in the dot product) runs in quads. A tile is 16 channels x 4 k = 64 codes, ordered
// [16][4]: one ZMM register of VNNI operands. Block = tiles of all quads in order; stream = all
// blocks.
//
// k order of a convolution: a run is a stretch of k that is contiguous in the activation; each run
// is padded to a multiple of 4 with the code of level 0.
//   taps  (usual): one run per (kh, kw), holding the group's input channels
//   rows  (source is the graph's packed input, its channels are no multiple of 4, dilation_w and
//          groups are 1): one run per kh, holding kw * channels values
// k order of a depthwise convolution: all kh * kw taps in one run; block channel i is channel
// 16 * block + i.
//
// A tile of B-bit codes is a sum of bit planes of 8, 4, 2 and 1 bits, widest first: B = 3 is 2+1,
// 5 = 4+1, 6 = 4+2, 7 = 4+2+1; the widest plane holds the highest bits. A plane of w bits takes
// 8*w bytes; its 64 codes are split in 8/w equal runs, run r lies in bits [r*w, r*w+w) of the
// consecutive bytes. So a tile takes 8*B bytes and unpacking is shift and mask.
#ifndef MPQ_FORMAT_CODE_LAYOUT_H_
#define MPQ_FORMAT_CODE_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "format/graph.h"
#include "format/rounding.h"

namespace mpq {

inline constexpr uint32_t kBlockChannels = 16;
inline constexpr uint32_t kTileCodes = 64;
// Streams start at multiples of this, and this many zero bytes end the file: kernels may over-read.
inline constexpr size_t kStreamAlignment = 64;

// The channel stride of an activation: packed for the graph's input, else a multiple of 4.
inline uint32_t ChannelStride(uint32_t channels, bool is_graph_input) {
  return is_graph_input ? channels : RoundUp(channels, 4);
}

struct CodeLayout {
  uint32_t groups = 1;              // depthwise: 1, all channels in one sequence of blocks
  uint32_t channels_per_group = 0;  // output channels of one group
  uint32_t blocks_per_group = 0;    // ceil(channels_per_group / 16)
  uint32_t runs = 0;                // kh*kw (taps), kh (rows), 1 (depthwise)
  uint32_t run_values = 0;          // k values in a run before padding
  uint32_t quads_per_run = 0;       // ceil(run_values / 4)
  bool row_runs = false;
  bool depthwise = false;

  uint32_t blocks() const { return groups * blocks_per_group; }
  uint32_t quads() const { return runs * quads_per_run; }
  // Bytes of one block of `bits`-bit codes.
  size_t BlockBytes(uint32_t bits) const { return size_t{quads()} * bits * (kTileCodes / 8); }
  // Real output channels of `block`: 16, fewer at the end of a group.
  uint32_t BlockChannels(uint32_t block) const;
  // The first output channel of `block`.
  uint32_t FirstChannel(uint32_t block) const;
  // Index into the ohwi values of one output channel for position `value` of `run`; kNone in
  // padding.
  uint32_t OhwiIndex(uint32_t run, uint32_t value) const;
};

// The layout of a kConv or kDepthwiseConv node. Attributes must have been validated.
CodeLayout MakeCodeLayout(const Graph& graph, const Node& node);

// Bytes of the whole stream: the sum of its blocks.
size_t StreamBytes(const CodeLayout& layout, std::span<const uint8_t> block_bits);

// One tile, as above. `bits` 1..8; packed holds 8 * bits bytes.
void PackTile(const uint8_t codes[kTileCodes], int bits, uint8_t* packed);
void UnpackTile(const uint8_t* packed, int bits, uint8_t codes[kTileCodes]);

// Whole layers. ohwi_codes: [out_channels][kernel_h][kernel_w][in_channels per group].
// zero_codes: the code of level 0 of each block, for padding.
std::vector<uint8_t> PackCodes(const CodeLayout& layout, std::span<const uint8_t> ohwi_codes,
                               std::span<const uint8_t> block_bits,
                               std::span<const uint8_t> zero_codes);
std::vector<uint8_t> UnpackCodes(const CodeLayout& layout, std::span<const uint8_t> stream,
                                 std::span<const uint8_t> block_bits);

// The level set of one block of an integer layer.
Result<Levels> BlockLevels(const Weights& weights, uint32_t block);

// All levels of an integer layer as [out_channels][kernel_h][kernel_w][in_channels]: what the codes
// mean. For the reference kernels, the tools and the tests; fast kernels decode tile by tile.
Result<std::vector<int8_t>> DecodeLevels(const CodeLayout& layout, const Weights& weights);

}  // namespace mpq

#endif  // MPQ_FORMAT_CODE_LAYOUT_H_
