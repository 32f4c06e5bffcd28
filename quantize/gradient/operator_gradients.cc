#include "quantize/gradient/operator_gradients.h"

#include "engine/ref/float_window.h"

namespace mpq {

namespace {

using ref::FloatView;
using ref::Taps;

void AddTo(const float* from, uint32_t count, float factor, float* to) {
  for (uint32_t c = 0; c < count; ++c) to[c] += factor * from[c];
}

void MaxPool(const Node& node, const FloatView& src, const FloatView& d_dst,
             const FloatView& d_src) {
  const uint32_t channels = src.shape.channels;
  ref::ForEachPixel(d_dst, [&](uint32_t image, uint32_t y, uint32_t x, const float* d) {
    const Taps rows = ref::RowTaps(node.window, y, src.shape);
    const Taps columns = ref::ColumnTaps(node.window, x, src.shape);
    for (uint32_t c = 0; c < channels; ++c) {
      const float* largest = nullptr;
      ref::ForEachTap(src, image, rows, columns, [&](const float* in, uint32_t, uint32_t) {
        if (largest == nullptr || in[c] > *largest) largest = in + c;
      });
      if (largest != nullptr) d_src.data[largest - src.data] += d[c];
    }
  });
}

void AvgPool(const Node& node, const FloatView& d_dst, const FloatView& d_src) {
  const Window& window = node.window;
  ref::ForEachPixel(d_dst, [&](uint32_t image, uint32_t y, uint32_t x, const float* d) {
    const Taps rows = ref::RowTaps(window, y, d_src.shape);
    const Taps columns = ref::ColumnTaps(window, x, d_src.shape);
    const uint32_t count = rows.Count(node.count_include_pad, window.pad_bottom) *
                           columns.Count(node.count_include_pad, window.pad_right);
    ref::ForEachTap(d_src, image, rows, columns, [&](float* in, uint32_t, uint32_t) {
      AddTo(d, d_src.shape.channels, 1.0f / static_cast<float>(count), in);
    });
  });
}

void GlobalAvgPool(const FloatView& d_dst, const FloatView& d_src) {
  const float factor = 1.0f / static_cast<float>(d_src.shape.height * d_src.shape.width);
  ref::ForEachPixel(d_src, [&](uint32_t image, uint32_t, uint32_t, float* in) {
    AddTo(d_dst.pixel(image, 0, 0), d_src.shape.channels, factor, in);
  });
}

void Concat(const FloatView& d_dst, std::span<const FloatView> d_src) {
  ref::ForEachPixel(d_dst, [&](uint32_t image, uint32_t y, uint32_t x, const float* d) {
    for (const FloatView& part : d_src) {
      AddTo(d, part.shape.channels, 1, part.pixel(image, y, x));
      d += part.shape.channels;
    }
  });
}

void SlicePad(const Node& node, const FloatView& d_dst, const FloatView& d_src) {
  ref::ForEachPixel(d_dst, [&](uint32_t image, uint32_t y, uint32_t x, const float* d) {
    ref::ForEachTap(d_src, image, ref::RowTaps(node.window, y, d_src.shape),
                    ref::ColumnTaps(node.window, x, d_src.shape),
                    [&](float* in, uint32_t, uint32_t) {
                      AddTo(d + node.channels_before, d_src.shape.channels, 1, in);
                    });
  });
}

void PassOn(const FloatView& d_dst, std::span<const FloatView> d_src) {
  for (const FloatView& src : d_src) {
    for (size_t i = 0; i < d_dst.num_values(); ++i) src.data[i] += d_dst.data[i];
  }
}

}  // namespace

void AddOperatorGradients(const Node& node, std::span<const FloatView> src, const FloatView& d_dst,
                          std::span<const FloatView> d_src) {
  switch (node.kind) {
    case OpKind::kMaxPool:
      return MaxPool(node, src[0], d_dst, d_src[0]);
    case OpKind::kAvgPool:
      return AvgPool(node, d_dst, d_src[0]);
    case OpKind::kGlobalAvgPool:
      return GlobalAvgPool(d_dst, d_src[0]);
    case OpKind::kConcat:
      return Concat(d_dst, d_src);
    case OpKind::kSlicePad:
      return SlicePad(node, d_dst, d_src[0]);
    case OpKind::kAdd:
    case OpKind::kClip:  // the clip itself is the tensor's ActivationQuantizer
      return PassOn(d_dst, d_src);
    case OpKind::kConv:
    case OpKind::kDepthwiseConv:
      return;  // DifferentiableConvolution
  }
}

}  // namespace mpq
