#include "quantize/import/window_attributes.h"

#include <algorithm>

#include "format/message.h"

namespace mpq::onnx_import {

namespace {

// Larger windows, strides and pads do not occur; the bound keeps later sums within 32 bits.
constexpr int64_t kMaxWindowValue = 1 << 20;

// `count` values of a list, or `otherwise` where it is empty.
Status ReadSizes(const char* name, std::span<const int64_t> list, int64_t least,
                 std::span<uint32_t* const> out) {
  if (list.empty()) return {};
  if (list.size() != out.size()) {
    return Error(ErrorCode::kUnsupported, name, " ", DimsText(list), ": expected ", out.size(),
                 " values; only two-dimensional windows are supported");
  }
  for (size_t i = 0; i < out.size(); ++i) {
    if (list[i] < least || list[i] > kMaxWindowValue) {
      return Error(ErrorCode::kUnsupported, name, " ", DimsText(list), ": values must lie within ",
                   least, " and ", kMaxWindowValue);
    }
    *out[i] = static_cast<uint32_t>(list[i]);
  }
  return {};
}

// SAME: as many outputs as strides fit the input; an odd pixel of padding goes to the end (UPPER)
// or to the beginning (LOWER).
void SetSamePads(uint32_t in, uint32_t kernel, uint32_t stride, uint32_t dilation, bool upper,
                 uint32_t& begin, uint32_t& end) {
  const int64_t out = (int64_t{in} + stride - 1) / stride;
  const int64_t reach = int64_t{dilation} * (int64_t{kernel} - 1) + 1;
  const int64_t total = std::max<int64_t>(0, (out - 1) * stride + reach - in);
  const int64_t less = total / 2;
  begin = static_cast<uint32_t>(upper ? less : total - less);
  end = static_cast<uint32_t>(upper ? total - less : less);
}

}  // namespace

Result<Window> ReadWindow(const OperatorContext& context, std::span<const int64_t> kernel,
                          const Shape& in) {
  const Attributes& attributes = context.attributes;
  Window w;
  uint32_t* const kernel_out[] = {&w.kernel_h, &w.kernel_w};
  uint32_t* const stride_out[] = {&w.stride_h, &w.stride_w};
  uint32_t* const dilation_out[] = {&w.dilation_h, &w.dilation_w};
  uint32_t* const pad_out[] = {&w.pad_top, &w.pad_left, &w.pad_bottom, &w.pad_right};
  const std::vector<int64_t> kernel_shape = attributes.Ints("kernel_shape");
  if (kernel_shape.empty() && kernel.empty()) {
    return Error(ErrorCode::kCorrupt, "attribute 'kernel_shape' is missing");
  }
  MPQ_RETURN_IF_ERROR(
      ReadSizes("kernel_shape", kernel_shape.empty() ? kernel : kernel_shape, 1, kernel_out));
  MPQ_RETURN_IF_ERROR(ReadSizes("strides", attributes.Ints("strides"), 1, stride_out));
  MPQ_RETURN_IF_ERROR(ReadSizes("dilations", attributes.Ints("dilations"), 1, dilation_out));
  w.ceil_mode = attributes.Int("ceil_mode", 0) != 0;
  const std::string auto_pad = attributes.String("auto_pad", "NOTSET");
  if (auto_pad == "NOTSET" || auto_pad.empty()) {
    MPQ_RETURN_IF_ERROR(ReadSizes("pads", attributes.Ints("pads"), 0, pad_out));
  } else if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
    const bool upper = auto_pad == "SAME_UPPER";
    w.ceil_mode = false;  // SAME and VALID have formulas of their own
    SetSamePads(in.height, w.kernel_h, w.stride_h, w.dilation_h, upper, w.pad_top, w.pad_bottom);
    SetSamePads(in.width, w.kernel_w, w.stride_w, w.dilation_w, upper, w.pad_left, w.pad_right);
  } else if (auto_pad == "VALID") {
    w.ceil_mode = false;
  } else {
    return Error(ErrorCode::kUnsupported, "auto_pad '", auto_pad, "' is not supported");
  }
  return w;
}

void TakeOverPads(Window& window, Pending& pending) {
  window.pad_top += pending.pad_top;
  window.pad_left += pending.pad_left;
  window.pad_bottom += pending.pad_bottom;
  window.pad_right += pending.pad_right;
  pending = {};
}

}  // namespace mpq::onnx_import
