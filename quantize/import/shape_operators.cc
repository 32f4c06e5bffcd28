// Operators that move elements around or say how many there are, without arithmetic.
#include <algorithm>

#include "format/message.h"
#include "quantize/import/constant_folding.h"
#include "quantize/import/operator_context.h"

namespace mpq::onnx_import {

namespace {

Result<Value> ConvertIdentity(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Activation* x, context.PendingActivation(0));
  return Value(*x);
}

Result<Value> ConvertDropout(OperatorContext& context) {
  if (context.attributes.Int("training_mode", 0) != 0) {
    return Error(ErrorCode::kUnsupported, "training_mode is set; export the model for inference");
  }
  return ConvertIdentity(context);
}

Result<Value> ConvertCast(OperatorContext& context) {
  switch (context.attributes.Int("to", 0)) {
    case onnx::TensorProto::FLOAT:
    case onnx::TensorProto::DOUBLE:
    case onnx::TensorProto::FLOAT16:
    case onnx::TensorProto::BFLOAT16:
      return ConvertIdentity(context);
    default:
      return Error(ErrorCode::kUnsupported,
                   "an activation becomes integer; only real types are supported");
  }
}

// Flatten, Reshape, Squeeze, Unsqueeze.
Result<Value> ConvertView(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Activation* x, context.PendingActivation(0));
  MPQ_ASSIGN_OR_RETURN(const Dims dims, ViewDims(context, x->view.dims(), /*keep_batch=*/true));
  Activation y = *x;
  MPQ_ASSIGN_OR_RETURN(y.view, x->view.Reshape(dims, x->shape));
  return Value(y);
}

Result<Value> ConvertTranspose(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Activation* x, context.PendingActivation(0));
  std::vector<int64_t> permutation = context.attributes.Ints("perm");
  if (permutation.empty()) {
    for (size_t i = x->view.rank(); i-- > 0;) permutation.push_back(static_cast<int64_t>(i));
  }
  Activation y = *x;
  MPQ_ASSIGN_OR_RETURN(y.view, x->view.Transpose(permutation));
  return Value(y);
}

Result<Value> ConvertShape(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Activation* x, context.PendingActivation(0));
  MPQ_ASSIGN_OR_RETURN(Constant shape, FoldShape(context, x->view.dims()));
  return MakeConstant(std::move(shape));
}

Result<Value> ConvertSize(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Activation* x, context.PendingActivation(0));
  const std::optional<size_t> count = NumElements(x->view.dims());
  return MakeConstant(Constant({}, std::vector<int64_t>{static_cast<int64_t>(count.value_or(0))}));
}

// Softmax changes neither the order of the classes nor what a softmax of the logits would give, so
// at the end it is dropped; anywhere else the importer refuses whoever reads its result.
Result<Value> ConvertSoftmax(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Activation* x, context.SettledActivation(0));
  // Before opset 13 everything from the axis on counted, by default all but the batch.
  const int64_t axis = context.attributes.Int("axis", context.opset < 13 ? 1 : -1);
  const std::optional<size_t> dim = NormaliseDim(axis, x->view.rank());
  if (!dim || *dim == 0 || !x->view.HoldsAll(*dim)) {
    return Error(ErrorCode::kUnsupported, "axis ", axis, " of the shape ", DimsText(x->view.dims()),
                 " does not hold all classes");
  }
  context.notes.push_back(Message("the closing ", context.node.op_type(), " '", context.node.name(),
                                  "' was dropped: the model gives logits"));
  Activation y = *x;
  y.is_softmax = true;
  return Value(y);
}

Result<Value> ConvertConcat(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Activation* first, context.SettledActivation(0));
  if (context.inputs.size() == 1) return Value(*first);
  const int64_t axis = context.attributes.Int("axis", 1);
  const std::optional<size_t> dim = NormaliseDim(axis, first->view.rank());
  if (!dim || first->view.ChannelDim() != dim) {
    return Error(ErrorCode::kUnsupported, "axis ", axis, " of the shape ",
                 DimsText(first->view.dims()), " is not the channels");
  }
  Node node = context.NewNode(OpKind::kConcat, *first);
  for (size_t i = 1; i < context.inputs.size(); ++i) {
    MPQ_ASSIGN_OR_RETURN(const Activation* next, context.SettledActivation(i));
    if (next->view.rank() != first->view.rank() || next->view.ChannelDim() != dim) {
      return Error(ErrorCode::kUnsupported, "tensors of shapes ", DimsText(first->view.dims()),
                   " and ", DimsText(next->view.dims()), " cannot be joined along their channels");
    }
    node.inputs.push_back(next->tensor);
  }
  return context.Emit(std::move(node), first->view);
}

constexpr uint32_t kMaxPad = 1 << 20;

// What a Pad node asks for, in the order of the input's dims.
struct PadRequest {
  std::vector<int64_t> before, after;
  float value = 0;
};

Result<PadRequest> ReadPads(const OperatorContext& context, size_t rank) {
  const std::string mode = context.attributes.String("mode", "constant");
  if (mode != "constant") {
    return Error(ErrorCode::kUnsupported, "mode '", mode, "' is not supported, only 'constant'");
  }
  MPQ_ASSIGN_OR_RETURN(const std::vector<int64_t> pads, context.IntsInputOrAttribute(1, "pads"));
  PadRequest request{std::vector<int64_t>(rank, 0), std::vector<int64_t>(rank, 0),
                     context.attributes.Float("value", 0)};
  if (context.HasInput(2)) {
    MPQ_ASSIGN_OR_RETURN(const ConstantPtr value, context.ConstantInput(2, "constant_value"));
    if (value->size() != 1) return Error(ErrorCode::kCorrupt, "constant_value is not one number");
    request.value = value->ToFloats()[0];
  }
  std::vector<int64_t> axes;
  if (context.HasInput(3)) {
    MPQ_ASSIGN_OR_RETURN(axes, context.IntsInput(3, "axes"));
  } else {
    for (size_t i = 0; i < rank; ++i) axes.push_back(static_cast<int64_t>(i));
  }
  if (pads.size() != 2 * axes.size()) {
    return Error(ErrorCode::kCorrupt, "pads ", DimsText(pads), " for ", axes.size(), " axes");
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    const std::optional<size_t> dim = NormaliseDim(axes[i], rank);
    const int64_t before = pads[i], after = pads[i + axes.size()];
    if (!dim) return Error(ErrorCode::kCorrupt, "axis ", axes[i], " does not exist");
    if (before < 0 || after < 0 || before > kMaxPad || after > kMaxPad) {
      return Error(ErrorCode::kUnsupported, "pads ", DimsText(pads),
                   ": values must lie within 0 and ", kMaxPad);
    }
    request.before[*dim] = before;
    request.after[*dim] = after;
  }
  return request;
}

void AddPads(Activation& x, Axis axis, uint32_t before, uint32_t after) {
  Pending& pending = x.pending;
  switch (axis) {
    case Axis::kHeight:
      pending.pad_top += before;
      pending.pad_bottom += after;
      x.shape.height += before + after;
      break;
    case Axis::kWidth:
      pending.pad_left += before;
      pending.pad_right += after;
      x.shape.width += before + after;
      break;
    case Axis::kChannels:
      pending.channels_before += before;
      pending.channels_after += after;
      x.shape.channels += before + after;
      break;
  }
}

// Pads stay pending: the window that follows may take them over.
Result<Value> ConvertPad(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(Activation * x, context.PendingActivation(0));
  MPQ_ASSIGN_OR_RETURN(const PadRequest request, ReadPads(context, x->view.rank()));
  bool pads_pixels = false, pads_channels = false;
  for (size_t dim = 0; dim < x->view.rank(); ++dim) {
    if (request.before[dim] == 0 && request.after[dim] == 0) continue;
    const std::optional<Axis> axis = x->view.AxisOf(dim);
    if (!axis) {
      return Error(ErrorCode::kUnsupported, "dim ", dim, " of the shape ", DimsText(x->view.dims()),
                   " cannot be padded");
    }
    (*axis == Axis::kChannels ? pads_channels : pads_pixels) = true;
  }
  if (pads_channels && request.value != 0) {
    return Error(ErrorCode::kUnsupported, "channels are padded with ", request.value,
                 "; only zeros are supported");
  }
  // Pads come first in what can be pending, and have one value.
  const Pending& pending = x->pending;
  if (pads_pixels && (pending.has_strides() || pending.has_channels() ||
                      (pending.has_pads() && pending.pad_value != request.value))) {
    MPQ_RETURN_IF_ERROR(context.builder.Settle(*x));
  }
  Activation y = *x;
  if (pads_pixels) y.pending.pad_value = request.value;
  for (size_t dim = 0; dim < x->view.rank(); ++dim) {
    const std::optional<Axis> axis = x->view.AxisOf(dim);
    if (axis) {
      AddPads(y, *axis, static_cast<uint32_t>(request.before[dim]),
              static_cast<uint32_t>(request.after[dim]));
    }
  }
  if (std::max({y.shape.height, y.shape.width, y.shape.channels}) > kMaxPad) {
    return Error(ErrorCode::kLimitExceeded, "padded to ", y.shape.height, "x", y.shape.width, "x",
                 y.shape.channels, ", the limit is ", kMaxPad);
  }
  y.view = x->view.Resized(y.shape);
  return Value(y);
}

// Every step-th pixel from the first on; anything else that a Slice can do has no node.
Result<Value> ConvertSlice(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(Activation * x, context.PendingActivation(0));
  MPQ_ASSIGN_OR_RETURN(const std::vector<SliceRange> ranges,
                       ReadSliceRanges(context, x->view.dims()));
  if (x->pending.has_channels()) MPQ_RETURN_IF_ERROR(context.builder.Settle(*x));
  Activation y = *x;
  for (const SliceRange& range : ranges) {
    const int64_t size = x->view.dims()[range.dim];
    if (range.start == 0 && range.count == size) continue;
    const std::optional<Axis> axis = x->view.AxisOf(range.dim);
    if (!axis || *axis == Axis::kChannels || range.start != 0 || range.step < 1 ||
        range.count != (size + range.step - 1) / range.step) {
      return Error(ErrorCode::kUnsupported, "slice of dim ", range.dim, " of the shape ",
                   DimsText(x->view.dims()),
                   " is not supported: only every n-th row or column, from the first to the end");
    }
    const auto step = static_cast<uint32_t>(range.step);
    const auto count = static_cast<uint32_t>(range.count);
    if (*axis == Axis::kHeight) {
      y.pending.stride_h *= step;
      y.shape.height = count;
    } else {
      y.pending.stride_w *= step;
      y.shape.width = count;
    }
  }
  y.view = x->view.Resized(y.shape);
  return Value(y);
}

}  // namespace

void AddShapeOperators(OperatorTable& table) {
  table["Cast"] = {ConvertCast, /*is_view=*/true};
  table["Concat"] = {ConvertConcat};
  table["Dropout"] = {ConvertDropout, /*is_view=*/true};
  table["Flatten"] = {ConvertView, /*is_view=*/true};
  table["Identity"] = {ConvertIdentity, /*is_view=*/true};
  table["LogSoftmax"] = {ConvertSoftmax};
  table["Pad"] = {ConvertPad};
  table["Reshape"] = {ConvertView, /*is_view=*/true};
  table["Shape"] = {ConvertShape, /*is_view=*/true};
  table["Size"] = {ConvertSize, /*is_view=*/true};
  table["Slice"] = {ConvertSlice};
  table["Softmax"] = {ConvertSoftmax};
  table["Squeeze"] = {ConvertView, /*is_view=*/true};
  table["Transpose"] = {ConvertTranspose, /*is_view=*/true};
  table["Unsqueeze"] = {ConvertView, /*is_view=*/true};
}

}  // namespace mpq::onnx_import
