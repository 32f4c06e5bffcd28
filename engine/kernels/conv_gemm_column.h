// The weights of a column: blocks of 16 output channels of one group.
#ifndef MPQ_ENGINE_KERNELS_CONV_GEMM_COLUMN_H_
#define MPQ_ENGINE_KERNELS_CONV_GEMM_COLUMN_H_

#include <cstddef>
#include <cstdint>

#include "engine/core/step.h"
#include "engine/kernels/conv_gemm_micro.h"
#include "engine/kernels/conv_gemm_split.h"

namespace mpq {

// kQuads16 panels are widened from int8 in steps of so many tiles.
inline constexpr size_t kWidenedTiles = 16;

class Column {
 public:
  Column(const Step& step, const GemmMicroKernel& micro);

  // Columns must be set in ascending order, which makes finding their codes cheap.
  ChannelFlags Set(uint32_t first_block, uint32_t num_blocks, GemmChannels* channels);
  // tiles8: room for kWidenedTiles, where the panel is kQuads16.
  void DecodeChunk(const Chunk& chunk, std::byte* panel, int8_t* tiles8) const;
  // Of this column, or of the next one supposing that it has the same widths.
  void PrefetchChunk(const Chunk& chunk, bool of_next_column) const;

 private:
  void DecodeWide(const uint8_t* codes, size_t tiles, const TileLevels& levels, int8_t* tiles8,
                  int16_t* panel) const;

  const Step& step_;
  const GemmMicroKernel& micro_;
  const int64_t max_product_sum_;
  uint32_t next_block_ = 0;
  size_t next_codes_ = 0;
  uint32_t num_blocks_ = 0;
  TileLevels levels_[kGemmMaxBlocks];
  const uint8_t* codes_[kGemmMaxBlocks] = {};
};

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_CONV_GEMM_COLUMN_H_
