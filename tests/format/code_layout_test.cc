#include "format/code_layout.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/format/sample_models.h"

namespace mpq {
namespace {

TEST_CASE("tiles of 64 codes survive packing at every width") {
  std::mt19937 random(1);
  for (int bits = 1; bits <= 8; ++bits) {
    for (int round = 0; round < 20; ++round) {
      uint8_t codes[kTileCodes];
      for (uint8_t& code : codes) code = static_cast<uint8_t>(random() % (1u << bits));
      std::vector<uint8_t> packed(8 * bits, 0xff);
      PackTile(codes, bits, packed.data());
      uint8_t unpacked[kTileCodes];
      UnpackTile(packed.data(), bits, unpacked);
      CHECK(std::equal(codes, codes + kTileCodes, unpacked));
    }
  }
}

// The specification's words, bit by bit: code i, bit b of a plane of w bits that starts at `plane`.
int BitOf(const std::vector<uint8_t>& packed, int plane, int w, int i, int b) {
  const int run_codes = 8 * w;
  return packed[plane + i % run_codes] >> (i / run_codes * w + b) & 1;
}

TEST_CASE("every bit lies where the specification puts it") {
  const std::vector<std::vector<int>> planes = {{1},    {2},    {2, 1},    {4},
                                                {4, 1}, {4, 2}, {4, 2, 1}, {8}};
  std::mt19937 random(2);
  for (int bits = 1; bits <= 8; ++bits) {
    uint8_t codes[kTileCodes];
    for (uint8_t& code : codes) code = static_cast<uint8_t>(random() % (1u << bits));
    std::vector<uint8_t> packed(8 * bits);
    PackTile(codes, bits, packed.data());
    for (int i = 0; i < static_cast<int>(kTileCodes); ++i) {
      int code = 0;
      int plane = 0;
      for (const int w : planes[bits - 1]) {
        for (int b = w - 1; b >= 0; --b) code = code << 1 | BitOf(packed, plane, w, i, b);
        plane += 8 * w;
      }
      CHECK(code == codes[i]);
    }
  }
}

TEST_CASE("a tile of 3 bits, written out by hand") {
  uint8_t codes[kTileCodes] = {};
  codes[0] = 0b101;   // plane of 2 bits: 10, byte 0, run 0; plane of 1 bit: 1, byte 16, bit 0
  codes[17] = 0b011;  // 01 in byte 1, run 1; 1 in byte 16 + 1, run 2
  codes[63] = 0b110;  // 11 in byte 15, run 3; 0
  uint8_t packed[24];
  PackTile(codes, 3, packed);
  CHECK(packed[0] == 0b00000010);
  CHECK(packed[1] == 0b00000100);
  CHECK(packed[15] == 0b11000000);
  CHECK(packed[16] == 0b00000001);
  CHECK(packed[17] == 0b00000100);
  CHECK(packed[23] == 0);
}

struct LayerCase {
  const char* name;
  CodeLayout layout;
  uint32_t out_channels;
};

CodeLayout LayoutOf(const ModelData& model, size_t node) {
  return MakeCodeLayout(model.graph, model.graph.nodes[node]);
}

std::vector<LayerCase> Layers() {
  std::vector<LayerCase> cases;
  SampleBuilder rows(false, 8, 8);
  rows.Conv(rows.input(), 17, {.kernel = 5, .pad = 2});
  cases.push_back({"row runs", LayoutOf(rows.Finish(1), 0), 17});
  SampleBuilder dilated(false, 8, 8);
  dilated.Conv(dilated.input(), 16, {.kernel = 3, .dilation = 2, .pad = 2});
  cases.push_back({"dilated taps on the input", LayoutOf(dilated.Finish(1), 0), 16});
  SampleBuilder deep(false, 8, 8);
  deep.Conv(deep.Conv(deep.input(), 21), 35, {.kernel = 3});
  cases.push_back({"taps", LayoutOf(deep.Finish(2), 1), 35});
  SampleBuilder grouped(false, 8, 8);
  grouped.Conv(grouped.Conv(grouped.input(), 12), 60, {.kernel = 3, .groups = 3});
  cases.push_back({"groups", LayoutOf(grouped.Finish(2), 1), 60});
  SampleBuilder depthwise(false, 8, 8);
  depthwise.DepthwiseConv(depthwise.Conv(depthwise.input(), 37), {.kernel = 5, .pad = 2});
  cases.push_back({"depthwise", LayoutOf(depthwise.Finish(2), 1), 37});
  return cases;
}

TEST_CASE("layouts") {
  const std::vector<LayerCase> cases = Layers();
  const CodeLayout& rows = cases[0].layout;
  CHECK(rows.row_runs);
  CHECK(rows.runs == 5);
  CHECK(rows.run_values == 15);
  CHECK(rows.quads_per_run == 4);
  CHECK(rows.blocks() == 2);
  CHECK(rows.BlockChannels(1) == 1);
  CHECK(rows.BlockBytes(3) == 5 * 4 * 3 * 8);
  const CodeLayout& dilated = cases[1].layout;
  CHECK(!dilated.row_runs);
  CHECK(dilated.runs == 9);
  CHECK(dilated.quads() == 9);
  const CodeLayout& taps = cases[2].layout;
  CHECK(taps.runs == 9);
  CHECK(taps.quads() == 54);
  CHECK(taps.blocks() == 3);
  const CodeLayout& groups = cases[3].layout;
  CHECK(groups.blocks() == 6);
  CHECK(groups.run_values == 4);
  CHECK(groups.FirstChannel(3) == 36);
  CHECK(groups.BlockChannels(3) == 4);
  const CodeLayout& depthwise = cases[4].layout;
  CHECK(depthwise.depthwise);
  CHECK(depthwise.runs == 1);
  CHECK(depthwise.run_values == 25);
  CHECK(depthwise.quads() == 7);
  CHECK(depthwise.blocks() == 3);
  CHECK(depthwise.BlockChannels(2) == 5);
}

TEST_CASE("blocks cover every channel once") {
  for (const LayerCase& layer : Layers()) {
    CAPTURE(std::string(layer.name));
    uint32_t next = 0;
    for (uint32_t block = 0; block < layer.layout.blocks(); ++block) {
      CHECK(layer.layout.FirstChannel(block) == next);
      next += layer.layout.BlockChannels(block);
    }
    CHECK(next == layer.out_channels);
  }
}

TEST_CASE("whole layers survive packing, with padding as asked") {
  std::mt19937 random(3);
  for (const LayerCase& layer : Layers()) {
    CAPTURE(std::string(layer.name));
    std::vector<uint8_t> block_bits;
    std::vector<uint8_t> zero_codes;
    std::vector<uint8_t> codes;
    for (uint32_t block = 0; block < layer.layout.blocks(); ++block) {
      block_bits.push_back(static_cast<uint8_t>(1 + random() % 8));
      zero_codes.push_back(static_cast<uint8_t>(random() % (1u << block_bits.back())));
      const uint32_t count =
          layer.layout.BlockChannels(block) * layer.layout.runs * layer.layout.run_values;
      for (uint32_t i = 0; i < count; ++i) {
        codes.push_back(static_cast<uint8_t>(random() % (1u << block_bits.back())));
      }
    }
    const std::vector<uint8_t> stream = PackCodes(layer.layout, codes, block_bits, zero_codes);
    CHECK(stream.size() == StreamBytes(layer.layout, block_bits));
    CHECK(UnpackCodes(layer.layout, stream, block_bits) == codes);

    // The last tile of the last block ends in padding of values in every layer above but "groups".
    uint8_t tile[kTileCodes];
    UnpackTile(stream.data() + stream.size() - 8 * block_bits.back(), block_bits.back(), tile);
    CHECK(tile[63] == zero_codes.back());
  }
}

TEST_CASE("decoded levels of every sample layer lie in their level set") {
  const ModelData model = AllOperatorsModel(false);
  for (const Node& node : model.graph.nodes) {
    if (node.weights == kNone) continue;
    const Weights& weights = model.graph.weights[node.weights];
    const CodeLayout layout = MakeCodeLayout(model.graph, node);
    const std::vector<int8_t> levels = DecodeLevels(layout, weights).value();
    const size_t row = levels.size() / weights.out_channels;
    for (uint32_t block = 0; block < layout.blocks(); ++block) {
      const Levels set = BlockLevels(weights, block).value();
      for (size_t i = layout.FirstChannel(block) * row;
           i < (layout.FirstChannel(block) + layout.BlockChannels(block)) * row; ++i) {
        const auto end = set.level.begin() + set.count;
        CHECK(std::binary_search(set.level.begin(), end, levels[i]));
      }
    }
  }
}

TEST_CASE("a table for each width that occurs, in ascending order") {
  Weights weights;
  weights.level_set = LevelSetKind::kTable;
  weights.block_bits = std::vector<uint8_t>{2, 1, 2};
  weights.tables = std::vector<int8_t>{0, 7, -5, 0, 6, 9};
  CHECK(BlockLevels(weights, 0).value().level[3] == 9);
  CHECK(BlockLevels(weights, 1).value().level[1] == 7);
  weights.tables = std::vector<int8_t>{0, 7, -5, 0, 6};
  CHECK(BlockLevels(weights, 1).ok());
  CHECK(!BlockLevels(weights, 0).ok());
}

}  // namespace
}  // namespace mpq
