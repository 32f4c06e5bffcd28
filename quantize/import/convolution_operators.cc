// Conv, Gemm, MatMul, BatchNormalization: everything that has weights.
#include <cmath>
#include <utility>

#include "format/message.h"
#include "quantize/import/channel_affine.h"
#include "quantize/import/operator_context.h"
#include "quantize/import/window_attributes.h"

namespace mpq::onnx_import {

namespace {

// OIHW, as ONNX has it, to OHWI.
std::vector<float> ToOhwi(const std::vector<float>& oihw, size_t o, size_t i, size_t pixels) {
  std::vector<float> ohwi(oihw.size());
  for (size_t oc = 0; oc < o; ++oc) {
    const float* const src = oihw.data() + oc * i * pixels;
    float* const dst = ohwi.data() + oc * i * pixels;
    for (size_t ic = 0; ic < i; ++ic) {
      for (size_t p = 0; p < pixels; ++p) dst[p * i + ic] = src[ic * pixels + p];
    }
  }
  return ohwi;
}

Result<std::vector<float>> ReadBias(const OperatorContext& context, size_t input, size_t count) {
  if (!context.HasInput(input)) return std::vector<float>(count, 0.0f);
  MPQ_ASSIGN_OR_RETURN(const ConstantPtr bias, context.ConstantInput(input, "bias"));
  if (bias->size() != count) {
    return Error(ErrorCode::kCorrupt, "bias of shape ", DimsText(bias->dims), " for ", count,
                 " output channels");
  }
  return bias->ToFloats();
}

// The input of a two-dimensional convolution with nothing but zero pads pending.
Result<Activation> ConvInput(const OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(Activation * x, context.PendingActivation(0));
  const Pending& pending = x->pending;
  if (pending.has_strides() || pending.has_channels() || pending.pad_value != 0) {
    MPQ_RETURN_IF_ERROR(context.builder.Settle(*x));
  }
  if (!x->view.IsNchw()) {
    return Error(ErrorCode::kUnsupported, "input of shape ", DimsText(x->view.dims()),
                 " is not an image in the order N, C, H, W");
  }
  return *x;
}

Result<Value> ConvertConv(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(Activation x, ConvInput(context));
  MPQ_ASSIGN_OR_RETURN(const ConstantPtr kernel, context.ConstantInput(1, "weights"));
  const Dims& dims = kernel->dims;
  const int64_t groups = context.attributes.Int("group", 1);
  if (dims.size() != 4 || kernel->size() == 0) {
    return Error(ErrorCode::kUnsupported, "weights of shape ", DimsText(dims),
                 ": only two-dimensional convolutions are supported");
  }
  if (groups < 1 || dims[0] % groups != 0 || dims[1] * groups != x.shape.channels) {
    return Error(ErrorCode::kCorrupt, "weights of shape ", DimsText(dims), " and ", groups,
                 " groups for an input of ", x.shape.channels, " channels");
  }
  MPQ_ASSIGN_OR_RETURN(Window window, ReadWindow(context, std::span(dims).subspan(2), x.shape));
  if (window.kernel_h != dims[2] || window.kernel_w != dims[3]) {
    return Error(ErrorCode::kCorrupt, "kernel_shape differs from the weights' shape ",
                 DimsText(dims));
  }
  TakeOverPads(window, x.pending);
  const bool depthwise = groups > 1 && groups == x.shape.channels && groups == dims[0];
  Node node = context.NewNode(depthwise ? OpKind::kDepthwiseConv : OpKind::kConv, x);
  node.window = window;
  node.groups = static_cast<uint32_t>(groups);
  Weights weights;
  weights.out_channels = static_cast<uint32_t>(dims[0]);
  weights.kernel_h = window.kernel_h;
  weights.kernel_w = window.kernel_w;
  weights.in_channels = static_cast<uint32_t>(dims[1]);
  MPQ_ASSIGN_OR_RETURN(weights.bias, ReadBias(context, 2, weights.out_channels));
  weights.values = ToOhwi(kernel->ToFloats(), weights.out_channels, weights.in_channels,
                          size_t{window.kernel_h} * window.kernel_w);
  node.weights = context.builder.AddWeights(std::move(weights));
  return context.Emit(std::move(node), x.view);
}

// A matrix as ONNX gives it: element (k, o) lies at k * k_stride + o * out_stride.
struct Matrix {
  std::vector<float> values;
  size_t depth = 0, outputs = 0;
  size_t k_stride = 0, out_stride = 0;
};

Matrix MakeMatrix(const Constant& constant, bool transposed) {
  const auto rows = static_cast<size_t>(constant.dims[0]);
  const auto columns = static_cast<size_t>(constant.dims[1]);
  if (transposed) return {constant.ToFloats(), columns, rows, 1, columns};
  return {constant.ToFloats(), rows, columns, columns, 1};
}

// Where the elements of the axes, in ONNX's flattened order, lie in packed NHWC.
std::vector<size_t> FlatToNhwc(std::span<const Axis> axes, const Shape& shape) {
  std::vector<size_t> positions = {0};
  for (const Axis axis : axes) {
    std::vector<size_t> longer;
    longer.reserve(positions.size() * AxisSize(shape, axis));
    for (const size_t position : positions) {
      for (uint32_t i = 0; i < AxisSize(shape, axis); ++i) {
        longer.push_back(position + i * AxisStride(shape, axis));
      }
    }
    positions = std::move(longer);
  }
  return positions;
}

std::vector<float> MatrixToOhwi(const Matrix& matrix, const std::vector<size_t>& positions,
                                float factor) {
  std::vector<float> ohwi(matrix.depth * matrix.outputs);
  for (size_t o = 0; o < matrix.outputs; ++o) {
    float* const dst = ohwi.data() + o * matrix.depth;
    const float* const src = matrix.values.data() + o * matrix.out_stride;
    for (size_t k = 0; k < matrix.depth; ++k) {
      dst[positions[k]] = factor * src[k * matrix.k_stride];
    }
  }
  return ohwi;
}

// A dense layer over the last dim: a convolution whose kernel is the whole input, or, where the
// last dim is the channels alone, a 1x1 convolution.
Result<Value> EmitDense(OperatorContext& context, const Activation& x, const Matrix& matrix,
                        std::vector<float> bias, float factor) {
  const size_t last = x.view.rank() - 1;
  const bool whole = x.view.HoldsAll(last);
  const std::span<const Axis> axes = x.view.axes(last);
  if (last == 0 || (!whole && (axes.size() != 1 || axes[0] != Axis::kChannels))) {
    return Error(ErrorCode::kUnsupported, "a matrix product over the last dim of ",
                 DimsText(x.view.dims()),
                 " is not supported: it is neither the channels nor the whole image");
  }
  if (static_cast<int64_t>(matrix.depth) != x.view.dims()[last] || matrix.outputs == 0) {
    return Error(ErrorCode::kCorrupt, "a matrix of ", matrix.depth, " x ", matrix.outputs,
                 " does not fit an input of shape ", DimsText(x.view.dims()));
  }
  const Shape covered = whole ? x.shape : Shape{1, 1, x.shape.channels};
  Node node = context.NewNode(OpKind::kConv, x);
  node.window.kernel_h = covered.height;
  node.window.kernel_w = covered.width;
  Weights weights;
  weights.out_channels = static_cast<uint32_t>(matrix.outputs);
  weights.kernel_h = covered.height;
  weights.kernel_w = covered.width;
  weights.in_channels = covered.channels;
  weights.values = MatrixToOhwi(matrix, FlatToNhwc(axes, covered), factor);
  weights.bias = std::move(bias);
  node.weights = context.builder.AddWeights(std::move(weights));
  if (!whole) return context.Emit(std::move(node), x.view);
  Dims dims(x.view.rank(), 1);
  dims[0] = x.view.batch();
  dims[last] = static_cast<int64_t>(matrix.outputs);
  const Shape out{1, 1, static_cast<uint32_t>(matrix.outputs)};
  MPQ_ASSIGN_OR_RETURN(const View view,
                       View::Channels(out.channels, x.view.batch(), 2).Reshape(dims, out));
  return context.Emit(std::move(node), view);
}

// Gemm's third input broadcasts to [N, M]: a scalar, [M] or [1, M].
Result<std::vector<float>> GemmBias(const OperatorContext& context, size_t outputs) {
  std::vector<float> bias(outputs, 0.0f);
  if (!context.HasInput(2)) return bias;
  MPQ_ASSIGN_OR_RETURN(const ConstantPtr c, context.ConstantInput(2, "bias"));
  const bool broadcasts = c->size() == 1 || (c->size() == outputs && !c->dims.empty() &&
                                             c->dims.back() == static_cast<int64_t>(outputs));
  if (!broadcasts) {
    return Error(ErrorCode::kUnsupported, "bias of shape ", DimsText(c->dims), " for ", outputs,
                 " outputs");
  }
  const float beta = context.attributes.Float("beta", 1.0f);
  const std::vector<float> values = c->ToFloats();
  for (size_t i = 0; i < outputs; ++i) bias[i] = beta * values[values.size() == 1 ? 0 : i];
  return bias;
}

Result<ConstantPtr> MatrixInput(const OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const ConstantPtr b, context.ConstantInput(1, "matrix"));
  if (b->dims.size() == 2) return b;
  return Error(ErrorCode::kUnsupported, "matrix of shape ", DimsText(b->dims),
               ": only two dims are supported");
}

Result<Value> ConvertGemm(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Activation* x, context.SettledActivation(0));
  MPQ_ASSIGN_OR_RETURN(const ConstantPtr b, MatrixInput(context));
  if (context.attributes.Int("transA", 0) != 0) {
    return Error(ErrorCode::kUnsupported, "transA is not supported");
  }
  if (x->view.rank() != 2) {
    return Error(ErrorCode::kCorrupt, "input of shape ", DimsText(x->view.dims()),
                 ", expected two dims");
  }
  const Matrix matrix = MakeMatrix(*b, context.attributes.Int("transB", 0) != 0);
  MPQ_ASSIGN_OR_RETURN(std::vector<float> bias, GemmBias(context, matrix.outputs));
  return EmitDense(context, *x, matrix, std::move(bias), context.attributes.Float("alpha", 1.0f));
}

Result<Value> ConvertMatMul(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Activation* x, context.SettledActivation(0));
  MPQ_ASSIGN_OR_RETURN(const ConstantPtr b, MatrixInput(context));
  const Matrix matrix = MakeMatrix(*b, /*transposed=*/false);
  return EmitDense(context, *x, matrix, std::vector<float>(matrix.outputs, 0.0f), 1.0f);
}

Result<Value> ConvertBatchNormalization(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(Activation * x, context.SettledActivation(0));
  if (context.attributes.Int("training_mode", 0) != 0) {
    return Error(ErrorCode::kUnsupported, "training_mode is set; export the model for inference");
  }
  if (x->view.ChannelDim() != size_t{1}) {
    return Error(ErrorCode::kUnsupported, "dim 1 of the input's shape ", DimsText(x->view.dims()),
                 " is not the channels");
  }
  static constexpr const char* kNames[] = {"scale", "bias", "mean", "variance"};
  std::vector<float> parameters[4];
  for (size_t i = 0; i < 4; ++i) {
    MPQ_ASSIGN_OR_RETURN(const ConstantPtr values, context.ConstantInput(i + 1, kNames[i]));
    if (values->size() != x->shape.channels) {
      return Error(ErrorCode::kCorrupt, kNames[i], " of shape ", DimsText(values->dims), " for ",
                   x->shape.channels, " channels");
    }
    parameters[i] = values->ToFloats();
  }
  const auto& [gamma, beta, mean, variance] = parameters;
  const double epsilon = context.attributes.Float("epsilon", 1e-5f);
  ChannelAffine affine;
  for (size_t c = 0; c < gamma.size(); ++c) {
    const double scale = gamma[c] / std::sqrt(variance[c] + epsilon);
    affine.scale.push_back(static_cast<float>(scale));
    affine.bias.push_back(static_cast<float>(beta[c] - mean[c] * scale));
  }
  return EmitChannelAffine(context, *x, std::move(affine));
}

}  // namespace

Result<Value> EmitChannelAffine(OperatorContext& context, const Activation& x,
                                ChannelAffine affine) {
  Node node = context.NewNode(OpKind::kDepthwiseConv, x);
  const auto channels = static_cast<uint32_t>(affine.scale.size());
  node.groups = channels;
  Weights weights;
  weights.out_channels = channels;
  weights.in_channels = 1;
  weights.values = std::move(affine.scale);
  weights.bias = std::move(affine.bias);
  node.weights = context.builder.AddWeights(std::move(weights));
  return context.Emit(std::move(node), x.view);
}

void AddConvolutionOperators(OperatorTable& table) {
  table["BatchNormalization"] = {ConvertBatchNormalization};
  table["Conv"] = {ConvertConv};
  table["Gemm"] = {ConvertGemm};
  table["MatMul"] = {ConvertMatMul};
}

}  // namespace mpq::onnx_import
