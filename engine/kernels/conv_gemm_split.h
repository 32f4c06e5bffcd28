// How the GEMM convolution cuts a step into items, and the k axis into chunks.
#ifndef MPQ_ENGINE_KERNELS_CONV_GEMM_SPLIT_H_
#define MPQ_ENGINE_KERNELS_CONV_GEMM_SPLIT_H_

#include <cstddef>
#include <cstdint>

#include "engine/core/step.h"
#include "engine/kernels/conv_gemm_micro.h"

namespace mpq {

// Output positions of an item: whole lines of one image, or a part of its only line.
struct PositionRange {
  uint32_t image, line, lines, x, width;

  uint32_t positions() const { return lines * width; }
  bool operator==(const PositionRange&) const = default;
};

// Items = column (some blocks of one group) x range of output positions. Along a line, positions
// have equal distances in the source: a line of the output, or all of it where the source pixels of
// neighbouring positions are neighbours anyway.
struct Split {
  uint32_t columns_per_group;
  uint32_t images, lines, width;  // lines of an image
  uint32_t item_lines, item_width;
  uint32_t ranges_per_line, ranges_per_image;
  uint32_t chunk_runs;      // runs that are decoded at a time
  uint32_t chunk_quads;     // quads of each of them
  uint32_t chunks_per_run;  // > 1 only if chunk_runs == 1
  uint32_t chunks;

  Split(const Step& step, const GemmMicroKernel& micro);

  uint32_t columns(const CodeLayout& layout) const { return layout.groups * columns_per_group; }
  uint32_t ranges() const { return images * ranges_per_image; }
  uint32_t item_positions() const { return item_lines * item_width; }  // at most
  bool chunked() const { return chunks > 1; }
  PositionRange RangeAt(uint32_t index) const;

 private:
  void ChooseLines(const Step& step);
  void ChooseItems(const Step& step, const GemmMicroKernel& micro);
  void ChooseChunks(const CodeLayout& layout, bool is_prepared);
};

// Part of the k axis: whole runs, or some quads of one run.
struct Chunk {
  uint32_t first_run, runs, first_quad, quads;
};

Chunk ChunkAt(const CodeLayout& layout, const Split& split, uint32_t index);

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_CONV_GEMM_SPLIT_H_
