// How ONNX sees one of our tensors. ONNX shapes have any rank and order (NCHW, NHWC, flattened,
// with axes of size 1 put in or taken out); ours are always height x width x channels of one image.
// A View keeps the relation, so Reshape, Flatten, Squeeze, Unsqueeze and Transpose cost nothing and
// cancel by themselves.
#ifndef MPQ_QUANTIZE_IMPORT_VIEW_H_
#define MPQ_QUANTIZE_IMPORT_VIEW_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "format/shape.h"
#include "mpq/status.h"
#include "quantize/import/constant.h"

namespace mpq::onnx_import {

enum class Axis : uint8_t { kHeight, kWidth, kChannels };

// Elements of `shape` along one axis, and the distance of neighbours in packed NHWC.
uint32_t AxisSize(const Shape& shape, Axis axis);
size_t AxisStride(const Shape& shape, Axis axis);

class View {
 public:
  // [batch, C, H, W] or [batch, H, W, C].
  static View Nchw(const Shape& shape, int64_t batch);
  static View Nhwc(const Shape& shape, int64_t batch);
  // [batch, C, 1, ..., 1] of a tensor of one pixel.
  static View Channels(uint32_t channels, int64_t batch, size_t rank);

  const Dims& dims() const { return dims_; }
  size_t rank() const { return dims_.size(); }
  int64_t batch() const { return dims_[0]; }
  // The axes that a dim runs over, outermost first; axes of size 1 belong to no dim.
  std::span<const Axis> axes(size_t dim) const { return axes_[dim]; }
  bool operator==(const View&) const = default;

  // Whether dims 1, 2, 3 run over exactly these axes (or have size 1).
  bool IsNchw() const;
  bool IsNhwc() const;
  // The one axis a dim stands for, also where its size is 1 and the other dims tell. Nothing for
  // the batch and for flattened dims.
  std::optional<Axis> AxisOf(size_t dim) const;
  // The dim that runs over the channels and nothing else, if there is one.
  std::optional<size_t> ChannelDim() const;
  // Whether `dim` runs over everything but the batch.
  bool HoldsAll(size_t dim) const;

  // The same elements with other dims; dims[0] must stay the batch.
  Result<View> Reshape(const Dims& dims, const Shape& shape) const;
  Result<View> Transpose(std::span<const int64_t> permutation) const;
  // The view of a tensor of another shape that has the same axes in the same dims.
  View Resized(const Shape& shape) const;

 private:
  View(const Shape& shape, int64_t batch, std::array<Axis, 3> order);
  bool Matches(std::array<Axis, 3> order) const;

  Dims dims_;
  std::vector<std::vector<Axis>> axes_;
};

// A dim index that may count from the end, or nothing if it is out of range.
std::optional<size_t> NormaliseDim(int64_t dim, size_t rank);

// Operators' new dims, for constants and activations alike. The error says what is wrong.
Result<Dims> ReshapedDims(const Dims& dims, std::span<const int64_t> request, bool allow_zero);
Result<Dims> FlattenedDims(const Dims& dims, int64_t axis);
// `keep_batch`: without axes, dim 0 stays even if its size is 1.
Result<Dims> SqueezedDims(const Dims& dims, std::span<const int64_t> axes, bool keep_batch);
Result<Dims> UnsqueezedDims(const Dims& dims, std::span<const int64_t> axes);

}  // namespace mpq::onnx_import

#endif  // MPQ_QUANTIZE_IMPORT_VIEW_H_
