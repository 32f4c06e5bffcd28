#include "engine/kernels/conv_gemm_split.h"

#include <algorithm>

#include "engine/kernels/conv_gemm_source.h"
#include "format/rounding.h"

namespace mpq {

namespace {

// Layers with few output positions decode this many quads at a time (18 kB for two blocks): the
// panel is still in the innermost caches when the few tiles use it. Measured on 7x7 (36 kB: 5 %
// longer) and 1x1 (25 %).
constexpr uint32_t kChunkQuads = 144;
// That way needs all tiles' sums in scratch: at most so many positions.
constexpr uint32_t kChunkedPositions = 64;
// Threads take contiguous shares of the items, so small items balance them better; but each reads
// lines above and below its own, and a thread that takes over a column decodes it again.
constexpr uint32_t kWantedItems = 32;
constexpr uint32_t kMinItemPositions = 112;
// Padded lines of an item: they should stay in L2.
constexpr size_t kPaddedBytes = size_t{256} * 1024;

}  // namespace

Split::Split(const Step& step, const GemmMicroKernel& micro) {
  columns_per_group = DivideRoundUp(step.layout.blocks_per_group, micro.blocks);
  ChooseLines(step);
  ChooseItems(step, micro);
  ChooseChunks(step.layout, step.is_prepared);
}

PositionRange Split::RangeAt(uint32_t index) const {
  PositionRange range;
  range.image = index / ranges_per_image;
  const uint32_t in_image = index % ranges_per_image;
  range.line = in_image / ranges_per_line * item_lines;
  range.x = in_image % ranges_per_line * item_width;
  range.lines = std::min(item_lines, lines - range.line);
  range.width = std::min(item_width, width - range.x);
  return range;
}

void Split::ChooseLines(const Step& step) {
  images = step.dst.batch;
  lines = step.dst.height;
  width = step.dst.width;
  if (GemmSource::IsPointwise(step)) {
    width *= images * lines;
    images = lines = 1;
  }
}

void Split::ChooseItems(const Step& step, const GemmMicroKernel& micro) {
  const uint32_t positions = images * lines * width;
  uint32_t wanted_ranges = std::min(DivideRoundUp(kWantedItems, columns(step.layout)),
                                    std::max(positions / kMinItemPositions, 1u));
  if (step.is_prepared) wanted_ranges = 1;  // one thread computes all of a stripe
  const uint32_t wanted_of_image = DivideRoundUp(wanted_ranges, images);
  item_lines = lines;
  item_width = width;
  if (lines == 1) {
    item_width = DivideRoundUp(DivideRoundUp(width, wanted_of_image), micro.rows) * micro.rows;
    item_width = std::min(item_width, width);
  } else {
    item_lines = DivideRoundUp(lines, wanted_of_image);
    while (item_lines > 1 && GemmSource::PaddedBytes(step, item_lines) > kPaddedBytes) --item_lines;
  }
  ranges_per_line = DivideRoundUp(width, item_width);
  ranges_per_image = DivideRoundUp(lines, item_lines) * ranges_per_line;
}

void Split::ChooseChunks(const CodeLayout& layout, bool is_prepared) {
  chunk_runs = layout.runs;
  chunk_quads = layout.quads_per_run;
  chunks_per_run = 1;
  if (!is_prepared && images * lines * width <= kChunkedPositions && layout.quads() > kChunkQuads) {
    chunk_runs = std::max(kChunkQuads / layout.quads_per_run, 1u);
    chunks_per_run = DivideRoundUp(layout.quads_per_run, kChunkQuads);
    chunk_quads = DivideRoundUp(layout.quads_per_run, chunks_per_run);
  }
  chunks = DivideRoundUp(layout.runs, chunk_runs) * chunks_per_run;
}

Chunk ChunkAt(const CodeLayout& layout, const Split& split, uint32_t index) {
  Chunk chunk;
  chunk.first_run = index / split.chunks_per_run * split.chunk_runs;
  chunk.runs = std::min(split.chunk_runs, layout.runs - chunk.first_run);
  chunk.first_quad = index % split.chunks_per_run * split.chunk_quads;
  chunk.quads = std::min(split.chunk_quads, layout.quads_per_run - chunk.first_quad);
  return chunk;
}

}  // namespace mpq
