// Where the positions of a GEMM convolution read. Without padding: in place. With padding: from
// copies of the source lines that carry their padding with them, so that windows at borders are
// like all others. A line is copied once an item, which is about 1 % of the multiplications' time
// (C bytes a position against 9 * C * 32 products), less than handling borders position by position
// (that took 10 to 20 % of a 3x3 convolution).
#ifndef MPQ_ENGINE_KERNELS_CONV_GEMM_SOURCE_H_
#define MPQ_ENGINE_KERNELS_CONV_GEMM_SOURCE_H_

#include <cstddef>
#include <cstdint>

#include "engine/core/step.h"
#include "engine/kernels/conv_gemm_split.h"

namespace mpq {

class GemmSource {
 public:
  // `padded` has PaddedBytes for the largest item.
  GemmSource(const Step& step, uint8_t* padded);

  // The windows of neighbouring positions are neighbouring pixels, over lines and images.
  static bool IsPointwise(const Step& step);
  // Of the lines under `lines` lines of the output; 0 if they are read in place.
  static size_t PaddedBytes(const Step& step, uint32_t lines);

  // Makes the positions of a range and the channels of a group readable.
  void Start(const PositionRange& range, uint32_t group);

  // The window's first byte of the range's position (line, x). From it, run r of the windows begins
  // RunOffset(r) later.
  const uint8_t* WindowAt(uint32_t line, uint32_t x) const {
    return first_ + line * line_step_ + x * step_;
  }
  ptrdiff_t RunOffset(uint32_t run) const {
    return run / runs_per_row_ * row_distance_ + run % runs_per_row_ * tap_distance_;
  }
  ptrdiff_t step() const { return step_; }            // between positions of a line
  ptrdiff_t line_step() const { return line_step_; }  // between lines

 private:
  static bool IsPadded(const Step& step);
  static uint32_t PaddedWidth(const Step& step);
  static size_t PaddedPitch(const Step& step);

  void CopyLines(const PositionRange& range);
  void CopyLine(int64_t y, uint32_t image, uint8_t* dst) const;

  const Step& step_of_;
  const bool is_padded_;
  uint8_t* const padded_;
  const size_t pitch_;  // bytes between source rows
  const ptrdiff_t group_bytes_;
  const uint32_t runs_per_row_;
  const ptrdiff_t row_distance_, tap_distance_;
  const ptrdiff_t step_, line_step_;
  PositionRange copied_ = {};  // what the padded lines belong to
  const uint8_t* first_ = nullptr;
};

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_CONV_GEMM_SOURCE_H_
