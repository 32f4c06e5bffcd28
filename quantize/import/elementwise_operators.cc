// Activations, and arithmetic of two tensors or of a tensor and a constant.
#include <limits>

#include "format/message.h"
#include "quantize/import/channel_affine.h"
#include "quantize/import/operator_context.h"

namespace mpq::onnx_import {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Result<Value> EmitClip(OperatorContext& context, float lo, float hi) {
  MPQ_ASSIGN_OR_RETURN(const Activation* x, context.SettledActivation(0));
  if (!(lo <= hi)) {
    return Error(ErrorCode::kUnsupported, "limits ", lo, " and ", hi, " leave nothing");
  }
  Node node = context.NewNode(OpKind::kClip, *x);
  node.clip_lo = lo;
  node.clip_hi = hi;
  return context.Emit(std::move(node), x->view);
}

Result<Value> ConvertRelu(OperatorContext& context) { return EmitClip(context, 0, kInfinity); }

// A limit of Clip: an input since opset 11, an attribute before, infinite if there is none.
Result<float> ClipLimit(const OperatorContext& context, size_t input, const char* name,
                        float otherwise) {
  if (!context.HasInput(input)) return context.attributes.Float(name, otherwise);
  MPQ_ASSIGN_OR_RETURN(const ConstantPtr limit, context.ConstantInput(input, name));
  if (limit->size() != 1) {
    return Error(ErrorCode::kUnsupported, name, " of shape ", DimsText(limit->dims),
                 ", expected one number");
  }
  return limit->ToFloats()[0];
}

Result<Value> ConvertClip(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const float lo, ClipLimit(context, 1, "min", -kInfinity));
  MPQ_ASSIGN_OR_RETURN(const float hi, ClipLimit(context, 2, "max", kInfinity));
  return EmitClip(context, lo, hi);
}

Status CheckTwoInputs(const OperatorContext& context) {
  if (context.inputs.size() == 2) return {};
  return Error(ErrorCode::kUnsupported, "has ", context.inputs.size(), " inputs, expected 2");
}

// Two inputs, of which a constant, if there is one, comes second: for commutative operators.
Status ConstantLast(OperatorContext& context) {
  MPQ_RETURN_IF_ERROR(CheckTwoInputs(context));
  if (context.IsConstant(0)) std::swap(context.inputs[0], context.inputs[1]);
  return {};
}

Result<Value> ConvertMin(OperatorContext& context) {
  MPQ_RETURN_IF_ERROR(ConstantLast(context));
  MPQ_ASSIGN_OR_RETURN(const float hi, ClipLimit(context, 1, "limit", kInfinity));
  return EmitClip(context, -kInfinity, hi);
}

Result<Value> ConvertMax(OperatorContext& context) {
  MPQ_RETURN_IF_ERROR(ConstantLast(context));
  MPQ_ASSIGN_OR_RETURN(const float lo, ClipLimit(context, 1, "limit", -kInfinity));
  return EmitClip(context, lo, kInfinity);
}

// A constant that broadcasts to the activation along its channels, as one value per channel.
Result<std::vector<float>> PerChannel(const Constant& constant, const Activation& x) {
  const std::vector<float> values = constant.ToFloats();
  const size_t channels = x.shape.channels;
  if (values.size() == 1 && constant.dims.size() <= x.view.rank()) {
    return std::vector<float>(channels, values[0]);
  }
  const std::optional<size_t> channel_dim = x.view.ChannelDim();
  bool fits = channel_dim && constant.dims.size() <= x.view.rank() && values.size() == channels;
  const size_t lead = fits ? x.view.rank() - constant.dims.size() : 0;
  for (size_t i = 0; fits && i < constant.dims.size(); ++i) {
    if (constant.dims[i] != 1 && lead + i != *channel_dim) fits = false;
  }
  if (fits) return values;
  return Error(ErrorCode::kUnsupported, "a constant of shape ", DimsText(constant.dims),
               " with a tensor of shape ", DimsText(x.view.dims()),
               ": only one number, or one per channel, is supported");
}

// x + bias right behind the convolution that computes x becomes that convolution's bias.
bool AddToBias(OperatorContext& context, const Activation& x, const std::vector<float>& bias) {
  Node* const producer = context.builder.producer(x.tensor);
  if (producer == nullptr || producer->weights == kNone || !x.sole_reader) return false;
  Weights& weights = context.builder.weights(producer->weights);
  std::vector<float> sum = weights.bias.ToVector();
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += bias[i];
  weights.bias = std::move(sum);
  return true;
}

// Operators of an activation and a constant c.
Result<Value> ConvertAffine(OperatorContext& context, size_t activation,
                            ChannelAffine (*make)(std::vector<float>)) {
  MPQ_ASSIGN_OR_RETURN(const Activation* x, context.SettledActivation(activation));
  MPQ_ASSIGN_OR_RETURN(const ConstantPtr constant,
                       context.ConstantInput(1 - activation, "operand"));
  MPQ_ASSIGN_OR_RETURN(std::vector<float> c, PerChannel(*constant, *x));
  return EmitChannelAffine(context, *x, make(std::move(c)));
}

ChannelAffine TimesConstant(std::vector<float> c) {
  std::vector<float> zeros(c.size(), 0.0f);
  return {std::move(c), std::move(zeros)};
}
ChannelAffine OverConstant(std::vector<float> c) {
  for (float& v : c) v = 1 / v;
  return TimesConstant(std::move(c));
}
ChannelAffine FromConstant(std::vector<float> c) {
  std::vector<float> minus(c.size(), -1.0f);
  return {std::move(minus), std::move(c)};
}

Result<Value> AddConstant(OperatorContext& context, float sign) {
  MPQ_ASSIGN_OR_RETURN(const Activation* x, context.SettledActivation(0));
  MPQ_ASSIGN_OR_RETURN(const ConstantPtr constant, context.ConstantInput(1, "operand"));
  MPQ_ASSIGN_OR_RETURN(std::vector<float> bias, PerChannel(*constant, *x));
  for (float& v : bias) v *= sign;
  if (AddToBias(context, *x, bias)) return Value(*x);
  return EmitChannelAffine(context, *x, {std::vector<float>(bias.size(), 1.0f), std::move(bias)});
}

Result<Value> AddTensors(OperatorContext& context, size_t first, size_t second) {
  MPQ_ASSIGN_OR_RETURN(const Activation* a, context.SettledActivation(first));
  MPQ_ASSIGN_OR_RETURN(const Activation* b, context.SettledActivation(second));
  if (a->view != b->view || a->shape != b->shape) {
    return Error(ErrorCode::kUnsupported, "sum of tensors of shapes ", DimsText(a->view.dims()),
                 " and ", DimsText(b->view.dims()), ": both must be of one shape and order");
  }
  Node node = context.NewNode(OpKind::kAdd, *a);
  node.inputs.push_back(b->tensor);
  return context.Emit(std::move(node), a->view);
}

Result<Value> ConvertAdd(OperatorContext& context) {
  MPQ_RETURN_IF_ERROR(ConstantLast(context));
  if (context.IsConstant(1)) return AddConstant(context, 1);
  return AddTensors(context, 0, 1);
}

Result<Value> ConvertSub(OperatorContext& context) {
  MPQ_RETURN_IF_ERROR(CheckTwoInputs(context));
  if (context.IsConstant(0)) return ConvertAffine(context, 1, FromConstant);
  return AddConstant(context, -1);
}

Result<Value> ConvertMul(OperatorContext& context) {
  MPQ_RETURN_IF_ERROR(ConstantLast(context));
  return ConvertAffine(context, 0, TimesConstant);
}

Result<Value> ConvertDiv(OperatorContext& context) {
  MPQ_RETURN_IF_ERROR(CheckTwoInputs(context));
  return ConvertAffine(context, 0, OverConstant);
}

Result<Value> ConvertNeg(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Activation* x, context.SettledActivation(0));
  return EmitChannelAffine(context, *x, FromConstant(std::vector<float>(x->shape.channels, 0)));
}

Result<Value> ConvertSum(OperatorContext& context) {
  if (context.inputs.size() == 1) {
    MPQ_ASSIGN_OR_RETURN(const Activation* x, context.PendingActivation(0));
    return Value(*x);
  }
  if (context.inputs.size() == 2) return ConvertAdd(context);
  return Error(ErrorCode::kUnsupported, "has ", context.inputs.size(),
               " inputs; one or two are supported");
}

}  // namespace

void AddElementwiseOperators(OperatorTable& table) {
  table["Add"] = {ConvertAdd};
  table["Clip"] = {ConvertClip};
  table["Div"] = {ConvertDiv};
  table["Max"] = {ConvertMax};
  table["Min"] = {ConvertMin};
  table["Mul"] = {ConvertMul};
  table["Neg"] = {ConvertNeg};
  table["Relu"] = {ConvertRelu};
  table["Sub"] = {ConvertSub};
  table["Sum"] = {ConvertSum};
}

}  // namespace mpq::onnx_import
