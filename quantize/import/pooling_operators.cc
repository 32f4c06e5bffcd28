// Pools and reductions over pixels.
#include <algorithm>
#include <limits>

#include "format/message.h"
#include "quantize/import/operator_context.h"
#include "quantize/import/window_attributes.h"

namespace mpq::onnx_import {

namespace {

Result<Activation*> PoolInput(const OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(Activation * x, context.PendingActivation(0));
  if (!x->view.IsNchw()) {
    return Error(ErrorCode::kUnsupported, "input of shape ", DimsText(x->view.dims()),
                 " is not an image in the order N, C, H, W");
  }
  return x;
}

// The windows of a pool never lie wholly in its own padding (validate.h).
bool SeesPixels(const Window& window) {
  return std::max(window.pad_top, window.pad_bottom) < window.kernel_h &&
         std::max(window.pad_left, window.pad_right) < window.kernel_w;
}

// Pads and nothing else, before a window whose own pads would act in the same way.
bool CanTakeOver(const Pending& pending, const Window& window) {
  if (!pending.has_pads() || pending.has_strides() || pending.has_channels()) return false;
  Window padded = window;
  Pending copy = pending;
  TakeOverPads(padded, copy);
  // With ceil_mode a last window may start in a Pad node's pixels, but not in a pool's padding.
  return SeesPixels(padded) && !window.ceil_mode;
}

// Padding with -inf, or with the lowest float, never wins in a MaxPool, as its own padding does
// not; zeros do not where all pixels are at least 0.
bool IsNeutralForMax(const OperatorContext& context, const Activation& x) {
  const Node* const producer = context.builder.producer(x.tensor);
  const bool not_negative =
      producer != nullptr && producer->kind == OpKind::kClip && producer->clip_lo >= 0;
  return x.pending.pad_value <= std::numeric_limits<float>::lowest() ||
         (x.pending.pad_value <= 0 && not_negative);
}

Result<Window> ReadPoolWindow(const OperatorContext& context, const Shape& in) {
  MPQ_ASSIGN_OR_RETURN(const Window window, ReadWindow(context, {}, in));
  if (window.dilation_h != 1 || window.dilation_w != 1) {
    return Error(ErrorCode::kUnsupported, "dilations are not supported in pools");
  }
  if (!SeesPixels(window)) {
    return Error(ErrorCode::kCorrupt, "the padding is not smaller than the kernel");
  }
  return window;
}

Result<Value> ConvertMaxPool(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(Activation * input, PoolInput(context));
  MPQ_ASSIGN_OR_RETURN(Window window, ReadPoolWindow(context, input->shape));
  Activation x = *input;
  if (CanTakeOver(x.pending, window) && IsNeutralForMax(context, x)) {
    TakeOverPads(window, x.pending);
  } else {
    MPQ_RETURN_IF_ERROR(context.builder.Settle(*input));
    x = *input;
  }
  Node node = context.NewNode(OpKind::kMaxPool, x);
  node.window = window;
  return context.Emit(std::move(node), x.view);
}

Result<Value> ConvertAveragePool(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(Activation * input, PoolInput(context));
  MPQ_ASSIGN_OR_RETURN(Window window, ReadPoolWindow(context, input->shape));
  bool count_include_pad = context.attributes.Int("count_include_pad", 0) != 0;
  const bool own_pads =
      (window.pad_top | window.pad_left | window.pad_bottom | window.pad_right) != 0;
  Activation x = *input;
  // What a Pad node added is always counted.
  if (CanTakeOver(x.pending, window) && x.pending.pad_value == 0 &&
      (count_include_pad || !own_pads)) {
    count_include_pad = true;
    TakeOverPads(window, x.pending);
  } else {
    MPQ_RETURN_IF_ERROR(context.builder.Settle(*input));
    x = *input;
  }
  Node node = context.NewNode(OpKind::kAvgPool, x);
  node.window = window;
  node.count_include_pad = count_include_pad;
  return context.Emit(std::move(node), x.view);
}

Result<Value> EmitGlobalAverage(OperatorContext& context, const Activation& x, const View& view) {
  return context.Emit(context.NewNode(OpKind::kGlobalAvgPool, x), view);
}

Result<Value> EmitGlobalMax(OperatorContext& context, const Activation& x, const View& view) {
  Node node = context.NewNode(OpKind::kMaxPool, x);
  node.window.kernel_h = x.shape.height;
  node.window.kernel_w = x.shape.width;
  return context.Emit(std::move(node), view);
}

using EmitGlobal = Result<Value> (*)(OperatorContext&, const Activation&, const View&);

Result<Value> ConvertGlobalPool(OperatorContext& context, EmitGlobal emit) {
  MPQ_ASSIGN_OR_RETURN(Activation * x, PoolInput(context));
  MPQ_RETURN_IF_ERROR(context.builder.Settle(*x));
  return emit(context, *x, View::Channels(x->shape.channels, x->view.batch(), x->view.rank()));
}

Result<Value> ConvertGlobalAveragePool(OperatorContext& context) {
  return ConvertGlobalPool(context, EmitGlobalAverage);
}
Result<Value> ConvertGlobalMaxPool(OperatorContext& context) {
  return ConvertGlobalPool(context, EmitGlobalMax);
}

// The dims that a reduction removes; an error unless these are all pixels and nothing else.
Result<std::vector<bool>> ReducedDims(const OperatorContext& context, const View& view) {
  MPQ_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, context.IntsInputOrAttribute(1, "axes"));
  std::vector<bool> reduced(view.rank(), false);
  for (const int64_t axis : axes) {
    const std::optional<size_t> dim = NormaliseDim(axis, view.rank());
    if (!dim) {
      return Error(ErrorCode::kCorrupt, "axis ", axis, " is not one of the shape ",
                   DimsText(view.dims()));
    }
    reduced[*dim] = true;
  }
  bool pixels_only = !axes.empty() && !reduced[0];
  for (size_t dim = 1; dim < view.rank(); ++dim) {
    if (reduced[dim] && view.ChannelDim() == dim) pixels_only = false;
    for (const Axis axis : view.axes(dim)) {
      const bool is_pixel_axis = axis != Axis::kChannels;
      if (reduced[dim] != is_pixel_axis) pixels_only = false;
    }
  }
  if (!pixels_only) {
    return Error(ErrorCode::kUnsupported,
                 "only reductions over all of height and width are supported, not axes ",
                 DimsText(axes), " of ", DimsText(view.dims()));
  }
  return reduced;
}

Result<Value> ConvertReduction(OperatorContext& context, EmitGlobal emit) {
  MPQ_ASSIGN_OR_RETURN(Activation * x, context.SettledActivation(0));
  MPQ_ASSIGN_OR_RETURN(const std::vector<bool> reduced, ReducedDims(context, x->view));
  const bool keep = context.attributes.Int("keepdims", 1) != 0;
  Dims dims;
  for (size_t i = 0; i < reduced.size(); ++i) {
    if (!reduced[i]) dims.push_back(x->view.dims()[i]);
    if (reduced[i] && keep) dims.push_back(1);
  }
  const Shape out{1, 1, x->shape.channels};
  MPQ_ASSIGN_OR_RETURN(const View view,
                       View::Channels(out.channels, x->view.batch(), 2).Reshape(dims, out));
  return emit(context, *x, view);
}

Result<Value> ConvertReduceMean(OperatorContext& context) {
  return ConvertReduction(context, EmitGlobalAverage);
}
Result<Value> ConvertReduceMax(OperatorContext& context) {
  return ConvertReduction(context, EmitGlobalMax);
}

}  // namespace

void AddPoolingOperators(OperatorTable& table) {
  table["AveragePool"] = {ConvertAveragePool};
  table["GlobalAveragePool"] = {ConvertGlobalAveragePool};
  table["GlobalMaxPool"] = {ConvertGlobalMaxPool};
  table["MaxPool"] = {ConvertMaxPool};
  table["ReduceMax"] = {ConvertReduceMax};
  table["ReduceMean"] = {ConvertReduceMean};
}

}  // namespace mpq::onnx_import
