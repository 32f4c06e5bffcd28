#include "format/shape.h"

#include <limits>

#include "format/message.h"

namespace mpq {

namespace {

Status NodeError(const Node& node, const std::string& what) {
  return Error(ErrorCode::kInvalidArgument, OpKindName(node.kind), " '", node.name, "': ", what);
}

Status CheckNumInputs(const Node& node, size_t num_inputs) {
  size_t expected = 1;
  if (node.kind == OpKind::kAdd || (node.kind == OpKind::kConv && num_inputs > 1)) expected = 2;
  if (node.kind == OpKind::kConcat && num_inputs > 0) expected = num_inputs;
  if (num_inputs == expected) return Status();
  return NodeError(node, Message("has ", num_inputs, " inputs, expected ", expected));
}

Status CheckSameShape(const Node& node, const char* what, const Shape& a, const Shape& b) {
  if (a == b) return Status();
  return NodeError(node, Message(what, " of ", a.height, "x", a.width, "x", a.channels, " and ",
                                 b.height, "x", b.width, "x", b.channels));
}

Result<Shape> SlideWindow(const Node& node, const Shape& in, uint32_t channels, bool ceil_mode) {
  const Window& w = node.window;
  const Shape out{WindowOutput(in.height, w.kernel_h, w.stride_h, w.dilation_h, w.pad_top,
                               w.pad_bottom, ceil_mode),
                  WindowOutput(in.width, w.kernel_w, w.stride_w, w.dilation_w, w.pad_left,
                               w.pad_right, ceil_mode),
                  channels};
  if (out.height == 0 || out.width == 0) {
    return NodeError(node, Message("a window of ", w.kernel_h, "x", w.kernel_w,
                                   " does not fit an input of ", in.height, "x", in.width));
  }
  return out;
}

Result<Shape> ConvShape(const Graph& graph, const Node& node, const Shape& in) {
  if (node.weights >= graph.weights.size()) return NodeError(node, "has no weights");
  const Weights& weights = graph.weights[node.weights];
  const bool depthwise = node.kind == OpKind::kDepthwiseConv;
  const uint32_t groups = depthwise ? in.channels : node.groups;
  if (groups == 0 || weights.out_channels == 0 || weights.out_channels % groups != 0 ||
      uint64_t{weights.in_channels} * groups != in.channels ||
      (depthwise && weights.out_channels != in.channels)) {
    return NodeError(node, Message("weights of ", weights.out_channels, " x ", weights.in_channels,
                                   " channels in ", groups, " groups do not fit an input of ",
                                   in.channels, " channels"));
  }
  if (weights.kernel_h != node.window.kernel_h || weights.kernel_w != node.window.kernel_w) {
    return NodeError(node, "the weights' kernel differs from the window's");
  }
  return SlideWindow(node, in, weights.out_channels, /*ceil_mode=*/false);
}

Result<Shape> ConvShape(const Graph& graph, const Node& node, std::span<const Shape> inputs) {
  MPQ_ASSIGN_OR_RETURN(const Shape out, ConvShape(graph, node, inputs[0]));
  if (inputs.size() > 1) {
    MPQ_RETURN_IF_ERROR(CheckSameShape(node, "output and residual", out, inputs[1]));
  }
  return out;
}

Result<Shape> ConcatShape(const Node& node, std::span<const Shape> inputs) {
  Shape out = inputs[0];
  uint64_t channels = 0;
  for (const Shape& in : inputs) {
    if (in.height != out.height || in.width != out.width) {
      return NodeError(node, Message("inputs of ", out.height, "x", out.width, " and ", in.height,
                                     "x", in.width, " pixels"));
    }
    channels += in.channels;
  }
  if (channels > std::numeric_limits<int32_t>::max()) return NodeError(node, "too many channels");
  out.channels = static_cast<uint32_t>(channels);
  return out;
}

}  // namespace

uint32_t WindowOutput(uint32_t in, uint32_t kernel, uint32_t stride, uint32_t dilation,
                      uint32_t pad_begin, uint32_t pad_end, bool ceil_mode) {
  if (in == 0 || kernel == 0 || stride == 0 || dilation == 0) return 0;
  const uint64_t padded = uint64_t{in} + pad_begin + pad_end;
  const uint64_t reach = uint64_t{dilation} * (kernel - 1) + 1;
  if (reach > padded) return 0;
  const uint64_t rest = padded - reach;
  uint64_t out = rest / stride + 1;
  if (ceil_mode && rest % stride != 0) {
    // One more window, unless it would start in the end padding.
    if (out * stride < uint64_t{in} + pad_begin) ++out;
  }
  return out > std::numeric_limits<int32_t>::max() ? 0 : static_cast<uint32_t>(out);
}

Result<Shape> OutputShape(const Graph& graph, const Node& node, std::span<const Shape> inputs) {
  MPQ_RETURN_IF_ERROR(CheckNumInputs(node, inputs.size()));
  const Shape& in = inputs[0];
  switch (node.kind) {
    case OpKind::kConv:
    case OpKind::kDepthwiseConv:
      return ConvShape(graph, node, inputs);
    case OpKind::kMaxPool:
    case OpKind::kAvgPool:
      return SlideWindow(node, in, in.channels, node.window.ceil_mode);
    case OpKind::kGlobalAvgPool:
      return Shape{1, 1, in.channels};
    case OpKind::kAdd:
      MPQ_RETURN_IF_ERROR(CheckSameShape(node, "inputs", in, inputs[1]));
      return in;
    case OpKind::kConcat:
      return ConcatShape(node, inputs);
    case OpKind::kClip:
      return in;
    case OpKind::kSlicePad: {
      const uint64_t channels = uint64_t{node.channels_before} + in.channels + node.channels_after;
      if (channels > std::numeric_limits<int32_t>::max()) {
        return NodeError(node, "too many channels");
      }
      return SlideWindow(node, in, static_cast<uint32_t>(channels), /*ceil_mode=*/false);
    }
  }
  return NodeError(node, "unknown operator");
}

Result<std::vector<Shape>> InferShapes(const Graph& graph, uint32_t height, uint32_t width) {
  std::vector<Shape> shapes(graph.tensors.size());
  if (graph.input >= shapes.size()) {
    return Error(ErrorCode::kInvalidArgument, "the graph has no input tensor");
  }
  shapes[graph.input] = {height, width, graph.tensors[graph.input].channels};
  std::vector<Shape> inputs;
  for (const Node& node : graph.nodes) {
    inputs.clear();
    for (const uint32_t tensor : node.inputs) {
      if (tensor >= shapes.size() || shapes[tensor].num_values() == 0) {
        return NodeError(node, Message("input tensor ", tensor, " is not computed before"));
      }
      inputs.push_back(shapes[tensor]);
    }
    if (node.output >= shapes.size()) {
      return NodeError(node, Message("output tensor ", node.output, " does not exist"));
    }
    MPQ_ASSIGN_OR_RETURN(shapes[node.output], OutputShape(graph, node, inputs));
  }
  return shapes;
}

uint64_t PixelsAveraged(const Node& node, const Shape& input) {
  switch (node.kind) {
    case OpKind::kAvgPool:
      return uint64_t{node.window.kernel_h} * node.window.kernel_w;
    case OpKind::kGlobalAvgPool:
      return uint64_t{input.height} * input.width;
    default:
      return 1;
  }
}

uint64_t NodeMacs(const Graph& graph, const Node& node, const Shape& output) {
  if (node.weights >= graph.weights.size()) return 0;
  const Weights& weights = graph.weights[node.weights];
  return output.num_values() * weights.kernel_h * weights.kernel_w * weights.in_channels;
}

}  // namespace mpq
