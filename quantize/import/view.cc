#include "quantize/import/view.h"

#include <algorithm>

#include "format/message.h"

namespace mpq::onnx_import {

namespace {

constexpr std::array<Axis, 3> kNchwOrder = {Axis::kChannels, Axis::kHeight, Axis::kWidth};
constexpr std::array<Axis, 3> kNhwcOrder = {Axis::kHeight, Axis::kWidth, Axis::kChannels};

Status BadAxis(int64_t axis, const Dims& dims) {
  return Error(ErrorCode::kInvalidArgument, "axis ", axis, " is not one of the shape ",
               DimsText(dims));
}

}  // namespace

uint32_t AxisSize(const Shape& shape, Axis axis) {
  switch (axis) {
    case Axis::kHeight:
      return shape.height;
    case Axis::kWidth:
      return shape.width;
    default:
      return shape.channels;
  }
}

size_t AxisStride(const Shape& shape, Axis axis) {
  switch (axis) {
    case Axis::kHeight:
      return size_t{shape.width} * shape.channels;
    case Axis::kWidth:
      return shape.channels;
    default:
      return 1;
  }
}

View::View(const Shape& shape, int64_t batch, std::array<Axis, 3> order) : dims_{batch}, axes_(1) {
  for (const Axis axis : order) {
    const uint32_t size = AxisSize(shape, axis);
    dims_.push_back(size);
    axes_.push_back(size == 1 ? std::vector<Axis>() : std::vector<Axis>{axis});
  }
}

View View::Nchw(const Shape& shape, int64_t batch) { return View(shape, batch, kNchwOrder); }
View View::Nhwc(const Shape& shape, int64_t batch) { return View(shape, batch, kNhwcOrder); }

View View::Channels(uint32_t channels, int64_t batch, size_t rank) {
  View view = Nchw({1, 1, channels}, batch);
  view.dims_.resize(rank, 1);
  view.axes_.resize(rank);
  return view;
}

bool View::Matches(std::array<Axis, 3> order) const {
  if (rank() != 4) return false;
  for (size_t i = 0; i < 3; ++i) {
    const std::span<const Axis> dim = axes(i + 1);
    if (dim.size() > 1 || (dim.size() == 1 && dim[0] != order[i])) return false;
  }
  return true;
}

bool View::IsNchw() const { return Matches(kNchwOrder); }
bool View::IsNhwc() const { return Matches(kNhwcOrder); }

std::optional<Axis> View::AxisOf(size_t dim) const {
  if (dim == 0 || dim >= rank()) return std::nullopt;
  if (axes_[dim].size() == 1) return axes_[dim][0];
  if (axes_[dim].size() > 1) return std::nullopt;
  if (IsNchw()) return kNchwOrder[dim - 1];
  if (IsNhwc()) return kNhwcOrder[dim - 1];
  return std::nullopt;
}

std::optional<size_t> View::ChannelDim() const {
  for (size_t dim = 1; dim < rank(); ++dim) {
    if (axes_[dim].size() == 1 && axes_[dim][0] == Axis::kChannels) return dim;
  }
  // One channel: the usual place.
  if (rank() == 2 && axes_[1].empty()) return 1;
  for (size_t dim = 1; dim < rank(); ++dim) {
    if (AxisOf(dim) == Axis::kChannels) return dim;
  }
  return std::nullopt;
}

bool View::HoldsAll(size_t dim) const {
  for (size_t i = 0; i < rank(); ++i) {
    if (i != dim && !axes_[i].empty()) return false;
  }
  return true;
}

Result<View> View::Reshape(const Dims& dims, const Shape& shape) const {
  if (dims.empty() || dims[0] != batch()) {
    return Error(ErrorCode::kUnsupported, "changing the shape ", DimsText(dims_), " to ",
                 DimsText(dims), " mixes the images of a batch");
  }
  std::vector<Axis> flat;
  for (const std::vector<Axis>& dim : axes_) flat.insert(flat.end(), dim.begin(), dim.end());
  View view = *this;
  view.dims_ = dims;
  view.axes_.assign(dims.size(), {});
  size_t next = 0;
  for (size_t i = 1; i < dims.size(); ++i) {
    int64_t size = 1;
    while (size < dims[i] && next < flat.size()) {
      size *= AxisSize(shape, flat[next]);
      view.axes_[i].push_back(flat[next++]);
    }
    if (size != dims[i]) {
      return Error(ErrorCode::kUnsupported, "changing the shape ", DimsText(dims_), " to ",
                   DimsText(dims), " splits channels or pixels");
    }
  }
  if (next != flat.size()) {
    return Error(ErrorCode::kInvalidArgument, "shape ", DimsText(dims_), " cannot become ",
                 DimsText(dims));
  }
  return view;
}

Result<View> View::Transpose(std::span<const int64_t> permutation) const {
  if (permutation.size() != rank()) {
    return Error(ErrorCode::kInvalidArgument, "permutation ", DimsText(permutation),
                 " does not fit the shape ", DimsText(dims_));
  }
  View view = *this;
  std::vector<bool> seen(rank(), false);
  for (size_t i = 0; i < rank(); ++i) {
    const std::optional<size_t> from = NormaliseDim(permutation[i], rank());
    if (!from || seen[*from]) {
      return Error(ErrorCode::kInvalidArgument, DimsText(permutation), " is not a permutation");
    }
    seen[*from] = true;
    view.dims_[i] = dims_[*from];
    view.axes_[i] = axes_[*from];
  }
  if (permutation[0] != 0) {
    return Error(ErrorCode::kUnsupported, "permutation ", DimsText(permutation),
                 " moves the batch");
  }
  return view;
}

View View::Resized(const Shape& shape) const {
  View view = *this;
  for (size_t i = 1; i < rank(); ++i) {
    const std::optional<Axis> axis = AxisOf(i);
    if (!axis) continue;
    const uint32_t size = AxisSize(shape, *axis);
    view.dims_[i] = size;
    view.axes_[i].clear();
    if (size != 1) view.axes_[i].push_back(*axis);
  }
  return view;
}

std::optional<size_t> NormaliseDim(int64_t dim, size_t rank) {
  const auto signed_rank = static_cast<int64_t>(rank);
  if (dim < -signed_rank || dim >= signed_rank) return std::nullopt;
  return static_cast<size_t>(dim < 0 ? dim + signed_rank : dim);
}

Result<Dims> ReshapedDims(const Dims& dims, std::span<const int64_t> request, bool allow_zero) {
  Dims out(request.begin(), request.end());
  const auto fail = [&] {
    return Error(ErrorCode::kInvalidArgument, "shape ", DimsText(dims), " cannot become ",
                 DimsText(request));
  };
  const std::optional<size_t> total = NumElements(dims);
  std::optional<size_t> open;
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] == 0 && !allow_zero) {
      if (i >= dims.size()) return fail();
      out[i] = dims[i];
    } else if (out[i] == -1) {
      if (open) return fail();
      open = i;
      out[i] = 1;
    }
  }
  const std::optional<size_t> fixed = NumElements(out);
  if (!total || !fixed) return fail();
  if (open) {
    if (*fixed == 0 || *total % *fixed != 0) return fail();
    out[*open] = static_cast<int64_t>(*total / *fixed);
  } else if (*fixed != *total) {
    return fail();
  }
  return out;
}

Result<Dims> FlattenedDims(const Dims& dims, int64_t axis) {
  // The axis may also be the rank: everything goes in the first dim.
  if (axis < -static_cast<int64_t>(dims.size()) || axis > static_cast<int64_t>(dims.size())) {
    return BadAxis(axis, dims);
  }
  const auto split = dims.begin() + (axis < 0 ? axis + static_cast<int64_t>(dims.size()) : axis);
  Dims out = {1, 1};
  for (auto dim = dims.begin(); dim != dims.end(); ++dim) out[dim < split ? 0 : 1] *= *dim;
  return out;
}

Result<Dims> SqueezedDims(const Dims& dims, std::span<const int64_t> axes, bool keep_batch) {
  std::vector<bool> drop(dims.size(), false);
  if (axes.empty()) {
    for (size_t i = keep_batch ? 1 : 0; i < dims.size(); ++i) drop[i] = dims[i] == 1;
  }
  for (const int64_t axis : axes) {
    const std::optional<size_t> dim = NormaliseDim(axis, dims.size());
    if (!dim || dims[*dim] != 1) return BadAxis(axis, dims);
    drop[*dim] = true;
  }
  Dims out;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (!drop[i]) out.push_back(dims[i]);
  }
  return out;
}

Result<Dims> UnsqueezedDims(const Dims& dims, std::span<const int64_t> axes) {
  constexpr size_t kMaxRank = 64;
  const size_t rank = dims.size() + axes.size();
  if (rank > kMaxRank) {
    return Error(ErrorCode::kLimitExceeded, rank, " dims, the limit is ", kMaxRank);
  }
  std::vector<bool> is_new(rank, false);
  for (const int64_t axis : axes) {
    const std::optional<size_t> dim = NormaliseDim(axis, rank);
    if (!dim || is_new[*dim]) return BadAxis(axis, dims);
    is_new[*dim] = true;
  }
  Dims out;
  auto next = dims.begin();
  for (size_t i = 0; i < rank; ++i) out.push_back(is_new[i] ? 1 : *next++);
  return out;
}

}  // namespace mpq::onnx_import
