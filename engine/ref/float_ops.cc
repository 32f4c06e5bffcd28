#include "engine/ref/float_ops.h"

#include <algorithm>
#include <limits>

#include "engine/ref/float_window.h"
#include "format/message.h"

namespace mpq::ref {

namespace {

void Conv(const Weights& weights, const Node& node, const FloatView& src, const FloatView& dst) {
  const uint32_t ic = weights.in_channels;
  const uint32_t groups = src.shape.channels / ic;
  const uint32_t group_channels = weights.out_channels / groups;
  ForEachPixel(dst, [&](uint32_t image, uint32_t y, uint32_t x, float* out) {
    const Taps rows = RowTaps(node.window, y, src.shape);
    const Taps columns = ColumnTaps(node.window, x, src.shape);
    for (uint32_t oc = 0; oc < weights.out_channels; ++oc) {
      double sum = weights.bias.empty() ? 0.0 : weights.bias[oc];
      const uint32_t first = oc / group_channels * ic;
      ForEachTap(src, image, rows, columns, [&](const float* in, uint32_t ky, uint32_t kx) {
        const size_t tap = (size_t{oc} * weights.kernel_h + ky) * weights.kernel_w + kx;
        const float* wei = weights.values.data() + tap * ic;
        for (uint32_t c = 0; c < ic; ++c) sum += double{wei[c]} * in[first + c];
      });
      out[oc] = static_cast<float>(sum);
    }
  });
}

void MaxPool(const Node& node, const FloatView& src, const FloatView& dst) {
  ForEachPixel(dst, [&](uint32_t image, uint32_t y, uint32_t x, float* out) {
    std::fill_n(out, dst.shape.channels, std::numeric_limits<float>::lowest());
    ForEachTap(src, image, RowTaps(node.window, y, src.shape),
               ColumnTaps(node.window, x, src.shape), [&](const float* in, uint32_t, uint32_t) {
                 for (uint32_t c = 0; c < dst.shape.channels; ++c) out[c] = std::max(out[c], in[c]);
               });
  });
}

// The average of `count` taps.
void Average(const FloatView& src, uint32_t image, const Taps& rows, const Taps& columns,
             uint32_t count, std::span<float> out) {
  for (uint32_t c = 0; c < out.size(); ++c) {
    double sum = 0;
    ForEachTap(src, image, rows, columns,
               [&](const float* in, uint32_t, uint32_t) { sum += in[c]; });
    out[c] = count == 0 ? 0.0f : static_cast<float>(sum / count);
  }
}

void AvgPool(const Node& node, const FloatView& src, const FloatView& dst) {
  const Window& window = node.window;
  ForEachPixel(dst, [&](uint32_t image, uint32_t y, uint32_t x, float* out) {
    const Taps rows = RowTaps(window, y, src.shape);
    const Taps columns = ColumnTaps(window, x, src.shape);
    const uint32_t count = rows.Count(node.count_include_pad, window.pad_bottom) *
                           columns.Count(node.count_include_pad, window.pad_right);
    Average(src, image, rows, columns, count, {out, dst.shape.channels});
  });
}

void GlobalAvgPool(const FloatView& src, const FloatView& dst) {
  const Taps rows{0, 1, src.shape.height, src.shape.height};
  const Taps columns{0, 1, src.shape.width, src.shape.width};
  ForEachPixel(dst, [&](uint32_t image, uint32_t, uint32_t, float* out) {
    Average(src, image, rows, columns, src.shape.height * src.shape.width,
            {out, dst.shape.channels});
  });
}

void Add(const FloatView& a, const FloatView& b, const FloatView& dst) {
  for (size_t i = 0; i < dst.num_values(); ++i) dst.data[i] = a.data[i] + b.data[i];
}

void Concat(std::span<const FloatView> src, const FloatView& dst) {
  ForEachPixel(dst, [&](uint32_t image, uint32_t y, uint32_t x, float* out) {
    for (const FloatView& part : src) {
      out = std::copy_n(part.pixel(image, y, x), part.shape.channels, out);
    }
  });
}

void SlicePad(const Node& node, const FloatView& src, const FloatView& dst) {
  ForEachPixel(dst, [&](uint32_t image, uint32_t y, uint32_t x, float* out) {
    std::fill_n(out, dst.shape.channels, 0.0f);
    ForEachTap(src, image, RowTaps(node.window, y, src.shape),
               ColumnTaps(node.window, x, src.shape), [&](const float* in, uint32_t, uint32_t) {
                 std::copy_n(in, src.shape.channels, out + node.channels_before);
               });
  });
}

void ApplyClip(const Node& node, const FloatView& dst) {
  for (size_t i = 0; i < dst.num_values(); ++i) {
    dst.data[i] = std::min(std::max(dst.data[i], node.clip_lo), node.clip_hi);
  }
}

Status CheckFloatGraph(const Graph& graph) {
  for (const Tensor& tensor : graph.tensors) {
    if (tensor.type != ElementType::kF32) {
      return Error(ErrorCode::kInvalidArgument, "tensor '", tensor.name, "' is not float");
    }
  }
  for (const Weights& w : graph.weights) {
    const uint64_t values = uint64_t{w.out_channels} * w.kernel_h * w.kernel_w * w.in_channels;
    if (w.values.size() != values || (!w.bias.empty() && w.bias.size() != w.out_channels)) {
      return Error(ErrorCode::kInvalidArgument, "float weights of ", w.values.size(),
                   " values and ", w.bias.size(), " biases, expected ", values, " and ",
                   w.out_channels);
    }
  }
  if (graph.input >= graph.tensors.size() || graph.output >= graph.tensors.size()) {
    return Error(ErrorCode::kInvalidArgument, "the graph has no input or no output");
  }
  return Status();
}

// Keeps every later product of sizes far from overflow.
Status CheckSize(const Shape& shape, uint32_t batch) {
  constexpr double kMaxValues = 1e12;
  const double values = 1.0 * shape.height * shape.width * shape.channels * batch;
  if (batch == 0 || values > kMaxValues) {
    return Error(ErrorCode::kInvalidArgument, "a batch of ", batch, " images of ", shape.height,
                 "x", shape.width, "x", shape.channels, " values, limit 1 to ", kMaxValues);
  }
  return Status();
}

}  // namespace

Result<std::vector<Shape>> FloatShapes(const Graph& graph, const FloatExecutorOptions& options) {
  MPQ_RETURN_IF_ERROR(CheckFloatGraph(graph));
  const Tensor& input = graph.tensors[graph.input];
  MPQ_ASSIGN_OR_RETURN(std::vector<Shape> shapes,
                       InferShapes(graph, options.height ? options.height : input.height,
                                   options.width ? options.width : input.width));
  if (shapes[graph.output].num_values() == 0) {
    return Error(ErrorCode::kInvalidArgument, "no node computes the graph's output");
  }
  for (const Shape& shape : shapes) MPQ_RETURN_IF_ERROR(CheckSize(shape, options.batch));
  return shapes;
}

void RunFloatNode(const Graph& graph, const Node& node, std::span<const FloatView> src,
                  const FloatView& dst) {
  switch (node.kind) {
    case OpKind::kConv:
    case OpKind::kDepthwiseConv:
      Conv(graph.weights[node.weights], node, src[0], dst);
      break;
    case OpKind::kMaxPool:
      MaxPool(node, src[0], dst);
      break;
    case OpKind::kAvgPool:
      AvgPool(node, src[0], dst);
      break;
    case OpKind::kGlobalAvgPool:
      GlobalAvgPool(src[0], dst);
      break;
    case OpKind::kAdd:
      Add(src[0], src[1], dst);
      break;
    case OpKind::kConcat:
      Concat(src, dst);
      break;
    case OpKind::kClip:
      std::copy_n(src[0].data, dst.num_values(), dst.data);
      break;
    case OpKind::kSlicePad:
      SlicePad(node, src[0], dst);
      break;
  }
  ApplyClip(node, dst);
}

}  // namespace mpq::ref
