#include "engine/kernels/conv_gemm_source.h"

#include <algorithm>
#include <cstring>

namespace mpq {

namespace {

// Activations are read in quads, so up to 3 bytes past a run.
constexpr size_t kRunSlack = 4;

uint32_t PaddedLines(const Step& step, uint32_t lines) {
  const Window& window = step.node->window;
  return (lines - 1) * window.stride_h + (window.kernel_h - 1) * window.dilation_h + 1;
}

}  // namespace

GemmSource::GemmSource(const Step& step, uint8_t* padded)
    : step_of_(step),
      is_padded_(IsPadded(step)),
      padded_(padded),
      pitch_(is_padded_ ? PaddedPitch(step) : step.src[0].row_stride()),
      group_bytes_(step.weights->in_channels),
      runs_per_row_(step.layout.row_runs ? 1 : step.weights->kernel_w),
      row_distance_(static_cast<ptrdiff_t>(step.node->window.dilation_h * pitch_)),
      tap_distance_(
          static_cast<ptrdiff_t>(step.node->window.dilation_w * step.src[0].pixel_stride)),
      step_(static_cast<ptrdiff_t>(step.node->window.stride_w * step.src[0].pixel_stride)),
      line_step_(static_cast<ptrdiff_t>(step.node->window.stride_h * pitch_)) {}

bool GemmSource::IsPointwise(const Step& step) {
  const Window& window = step.node->window;
  const bool one_pixel = step.weights->kernel_h == 1 && step.weights->kernel_w == 1;
  return one_pixel && window.stride_h == 1 && window.stride_w == 1 && !IsPadded(step) &&
         step.dst.width == step.src[0].width && step.dst.height == step.src[0].height;
}

size_t GemmSource::PaddedBytes(const Step& step, uint32_t lines) {
  if (!IsPadded(step)) return 0;
  return PaddedLines(step, lines) * PaddedPitch(step) + kRunSlack;
}

bool GemmSource::IsPadded(const Step& step) {
  const Window& window = step.node->window;
  return (window.pad_top | window.pad_left | window.pad_bottom | window.pad_right) != 0;
}

// Pixels under the windows of a line.
uint32_t GemmSource::PaddedWidth(const Step& step) {
  const Window& window = step.node->window;
  return (step.dst.width - 1) * window.stride_w + (window.kernel_w - 1) * window.dilation_w + 1;
}

size_t GemmSource::PaddedPitch(const Step& step) {
  return PaddedWidth(step) * step.src[0].pixel_stride;
}

void GemmSource::Start(const PositionRange& range, uint32_t group) {
  const ptrdiff_t first_channel = static_cast<ptrdiff_t>(group) * group_bytes_;
  if (is_padded_) {
    if (range != copied_) CopyLines(range);
    first_ = padded_ + first_channel;
  } else {
    first_ = step_of_.src[0].u8() + range.image * step_of_.src[0].image_stride() + first_channel +
             static_cast<ptrdiff_t>(range.line) * line_step_;
  }
  first_ += static_cast<ptrdiff_t>(range.x) * step_;
}

void GemmSource::CopyLines(const PositionRange& range) {
  const Window& window = step_of_.node->window;
  const int64_t top = int64_t{range.line} * window.stride_h - window.pad_top;
  const uint32_t lines = PaddedLines(step_of_, range.lines);
  for (uint32_t i = 0; i < lines; ++i) CopyLine(top + i, range.image, padded_ + i * pitch_);
  std::memset(padded_ + lines * pitch_, 0, kRunSlack);
  copied_ = range;
}

void GemmSource::CopyLine(int64_t y, uint32_t image, uint8_t* dst) const {
  const TensorView& src = step_of_.src[0];
  const int zero_point = step_of_.src_tensors[0]->zero_point;
  const size_t pixel = src.pixel_stride;
  const size_t width = PaddedWidth(step_of_);
  const size_t left = std::min<size_t>(step_of_.node->window.pad_left, width);
  const size_t inside = y < 0 || y >= src.height ? 0 : std::min<size_t>(src.width, width - left);
  std::memset(dst, zero_point, left * pixel);
  if (inside > 0) {
    std::memcpy(dst + left * pixel,
                src.u8() + image * src.image_stride() + static_cast<size_t>(y) * src.row_stride(),
                inside * pixel);
  }
  std::memset(dst + (left + inside) * pixel, zero_point, (width - left - inside) * pixel);
}

}  // namespace mpq
