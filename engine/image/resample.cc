#include "engine/image/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "engine/core/no_throw.h"
#include "format/message.h"

namespace mpq {
namespace {

// Weights are fixed point; two bits of 32 are left for filters that exceed 1, eight for the pixel.
constexpr int kPrecisionBits = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);

uint8_t RoundToPixel(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

// This file is compiled without contraction of a*b+c (meson.build): the weights below are the same
// doubles, and so the same integers, on every CPU.
double Triangle(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

// Keys' cubic convolution with a = -0.5.
double Cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// One axis of a resize: which source positions make an output position, with which weights.
class Axis {
 public:
  Axis(uint32_t in, uint32_t out, Interpolation filter)
      : in_(static_cast<int>(in)),
        scale_(static_cast<double>(in) / out),
        stretch_(std::max(scale_, 1.0)),
        filter_(filter == Interpolation::kBicubic ? Cubic : Triangle),
        support_((filter == Interpolation::kBicubic ? 2.0 : 1.0) * stretch_) {}

  // Source positions [begin, end) of one output position.
  struct Taps {
    int begin = 0, end = 0;
  };
  Taps TapsOf(uint32_t position) const {
    const double center = (position + 0.5) * scale_;
    return {std::max(static_cast<int>(center - support_ + 0.5), 0),
            std::min(static_cast<int>(center + support_ + 0.5), in_)};
  }

  // The most taps that a position can have.
  size_t max_taps() const { return static_cast<size_t>(std::ceil(support_)) * 2 + 1; }

  // `weights` gets one integer per tap; `scratch` is reused between calls.
  void WeightsOf(uint32_t position, std::vector<double>& scratch,
                 std::vector<int32_t>& weights) const {
    const Taps taps = TapsOf(position);
    const double center = (position + 0.5) * scale_;
    const double shrink = 1.0 / stretch_;
    scratch.clear();
    double sum = 0.0;
    for (int x = taps.begin; x < taps.end; ++x) {
      scratch.push_back(filter_((x - center + 0.5) * shrink));
      sum += scratch.back();
    }
    weights.clear();
    for (double weight : scratch) {
      if (sum != 0.0) weight /= sum;
      const double fixed = weight * (1 << kPrecisionBits);
      weights.push_back(static_cast<int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
  }

 private:
  int in_;
  double scale_;    // source pixels per output pixel
  double stretch_;  // of the filter: antialiasing when shrinking
  double (*filter_)(double);
  double support_;
};

// Horizontal pass over the columns of a region; the weights are worked out once.
class RowResampler {
 public:
  RowResampler(const Axis& axis, uint32_t left, uint32_t width) {
    std::vector<double> scratch;
    std::vector<int32_t> weights;
    columns_.reserve(width);
    for (uint32_t x = left; x < left + width; ++x) {
      axis.WeightsOf(x, scratch, weights);
      columns_.push_back(
          {static_cast<size_t>(axis.TapsOf(x).begin) * 3, weights_.size(), weights.size()});
      weights_.insert(weights_.end(), weights.begin(), weights.end());
    }
  }

  void Resample(const uint8_t* source_row, uint8_t* out) const {
    for (const Column& column : columns_) {
      int32_t sum[3] = {kHalf, kHalf, kHalf};
      const uint8_t* pixel = source_row + column.first_byte;
      const int32_t* weight = weights_.data() + column.first_weight;
      for (size_t i = 0; i < column.num_weights; ++i, pixel += 3) {
        for (int c = 0; c < 3; ++c) sum[c] += pixel[c] * weight[i];
      }
      for (int c = 0; c < 3; ++c) *out++ = RoundToPixel(sum[c]);
    }
  }

 private:
  struct Column {
    size_t first_byte, first_weight, num_weights;
  };
  std::vector<Column> columns_;
  std::vector<int32_t> weights_;
};

// Source rows after the horizontal pass, made when first asked for; the last `capacity` stay.
class RowCache {
 public:
  RowCache(ImageView src, const RowResampler& rows, size_t row_bytes, size_t capacity)
      : src_(src), rows_(rows), row_bytes_(row_bytes), capacity_(capacity) {
    cache_.resize(row_bytes * capacity);
  }

  // Rows up to `end` become available, and `begin` and later stay so. Neither may decrease.
  void Advance(size_t begin, size_t end) {
    for (next_ = std::max(next_, begin); next_ < end; ++next_) {
      rows_.Resample(src_.rgb.data() + next_ * src_.width * 3, Slot(next_));
    }
  }
  const uint8_t* Row(size_t y) const { return cache_.data() + y % capacity_ * row_bytes_; }

 private:
  uint8_t* Slot(size_t y) { return cache_.data() + y % capacity_ * row_bytes_; }

  ImageView src_;
  const RowResampler& rows_;
  size_t row_bytes_, capacity_;
  size_t next_ = 0;
  std::vector<uint8_t> cache_;
};

// Vertical pass: one row of `out.size()` bytes as a weighted sum of rows; row_of(i) is the i-th.
class ColumnBlender {
 public:
  explicit ColumnBlender(size_t row_bytes) : sums_(row_bytes) {}

  template <typename RowOf>
  void Blend(std::span<const int32_t> weights, RowOf row_of, uint8_t* out) {
    std::fill(sums_.begin(), sums_.end(), kHalf);
    for (size_t i = 0; i < weights.size(); ++i) {
      const uint8_t* row = row_of(i);
      for (size_t x = 0; x < sums_.size(); ++x) sums_[x] += row[x] * weights[i];
    }
    for (size_t x = 0; x < sums_.size(); ++x) out[x] = RoundToPixel(sums_[x]);
  }

 private:
  std::vector<int32_t> sums_;
};

// Pillow 13 starts with the vertical pass where that one shrinks much more; it decides by whole
// images, so we do as well. Each pass rounds to bytes: the order can be seen in the result.
bool HorizontalFirst(ImageView src, Size target) {
  const int64_t rows_gone = int64_t{src.height} - target.height;
  const int64_t columns_gone = int64_t{src.width} - target.width;
  return !(rows_gone > 0 && rows_gone > 2 * columns_gone);
}

// Pillow skips a pass that keeps the size; running it changes nothing, as the weights are then one
// 1 and zeros.
void ResampleFiltered(ImageView src, Size target, Region region, Interpolation filter, uint8_t* out,
                      size_t out_stride) {
  const RowResampler rows(Axis(src.width, target.width, filter), region.left, region.size.width);
  const Axis vertical(src.height, target.height, filter);
  const bool horizontal_first = HorizontalFirst(src, target);
  const size_t out_bytes = size_t{region.size.width} * 3, source_bytes = size_t{src.width} * 3;
  RowCache cache(src, rows, out_bytes,
                 horizontal_first ? std::min<size_t>(vertical.max_taps(), src.height) : 0);
  ColumnBlender blender(horizontal_first ? out_bytes : source_bytes);
  std::vector<uint8_t> blended(horizontal_first ? 0 : source_bytes);

  std::vector<double> scratch;
  std::vector<int32_t> weights;
  for (uint32_t y = region.top; y < region.top + region.size.height; ++y, out += out_stride) {
    const size_t begin = vertical.TapsOf(y).begin;
    vertical.WeightsOf(y, scratch, weights);
    if (horizontal_first) {
      cache.Advance(begin, begin + weights.size());
      blender.Blend(
          weights, [&](size_t i) { return cache.Row(begin + i); }, out);
    } else {
      const uint8_t* first = src.rgb.data() + begin * source_bytes;
      blender.Blend(
          weights, [&](size_t i) { return first + i * source_bytes; }, blended.data());
      rows.Resample(blended.data(), out);
    }
  }
}

// Source position of each output position [begin, begin + count). Pillow adds the step up, and so
// do we: multiplying would round differently.
std::vector<size_t> NearestPositions(uint32_t in, uint32_t out, uint32_t begin, uint32_t count) {
  const double step = static_cast<double>(in) / out;
  double position = step * 0.5;
  for (uint32_t i = 0; i < begin; ++i) position += step;
  std::vector<size_t> positions(count);
  for (size_t& p : positions) {
    p = std::min<size_t>(static_cast<size_t>(position), in - 1);
    position += step;
  }
  return positions;
}

void ResampleNearest(ImageView src, Size target, Region region, uint8_t* out, size_t out_stride) {
  const auto columns = NearestPositions(src.width, target.width, region.left, region.size.width);
  for (size_t y : NearestPositions(src.height, target.height, region.top, region.size.height)) {
    const uint8_t* row = src.rgb.data() + y * src.width * 3;
    for (size_t i = 0; i < columns.size(); ++i) {
      std::memcpy(out + i * 3, row + columns[i] * 3, 3);
    }
    out += out_stride;
  }
}

Status CheckSide(const char* what, uint32_t side) {
  if (side >= 1 && side <= kMaxImageSide) return Status();
  return Error(ErrorCode::kInvalidArgument, what, " ", side, ", expected 1..", kMaxImageSide);
}

}  // namespace

Status CheckImage(ImageView image) {
  MPQ_RETURN_IF_ERROR(CheckSide("image height", image.height));
  MPQ_RETURN_IF_ERROR(CheckSide("image width", image.width));
  const uint64_t expected = uint64_t{image.height} * image.width * 3;
  if (image.rgb.size() == expected) return Status();
  return Error(ErrorCode::kInvalidArgument, "image of ", image.height, "x", image.width, " has ",
               image.rgb.size(), " bytes, expected ", expected);
}

void ResampleRegion(ImageView src, Size target, Region region, Interpolation filter, uint8_t* out,
                    size_t out_stride) {
  if (filter == Interpolation::kNearest) {
    ResampleNearest(src, target, region, out, out_stride);
  } else {
    ResampleFiltered(src, target, region, filter, out, out_stride);
  }
}

Result<Image> Resize(ImageView src, uint32_t height, uint32_t width, Interpolation filter) {
  return WithoutThrowing("resize", [&]() -> Result<Image> {
    MPQ_RETURN_IF_ERROR(CheckImage(src));
    MPQ_RETURN_IF_ERROR(CheckSide("resized height", height));
    MPQ_RETURN_IF_ERROR(CheckSide("resized width", width));
    Image resized{height, width, {}};
    resized.rgb.resize(uint64_t{height} * width * 3);
    const Size target{height, width};
    ResampleRegion(src, target, {0, 0, target}, filter, resized.rgb.data(), size_t{width} * 3);
    return resized;
  });
}

}  // namespace mpq
