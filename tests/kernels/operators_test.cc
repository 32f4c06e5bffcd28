// Pools, kAdd, kClip, kSlicePad and kConcat: the reference against the definitions, and everything
// else against the reference, bit by bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "engine/core/registry.h"
#include "format/message.h"
#include "tests/kernels/kernel_run.h"

namespace mpq {
namespace {

// Everything that the operators of this file look at.
struct OperatorCase {
  Node node;
  uint32_t batch = 1;
  std::vector<Shape> src;
  std::vector<int32_t> src_zero_points = {0, 0};
  int32_t dst_zero_point = 0;
  uint32_t src_slack = 0, dst_slack = 0;  // elements of a pixel that belong to others
  bool extreme = false;                   // codes 0 and 255 only
  uint32_t seed = 1;

  std::string Describe() const {
    const Window& w = node.window;
    std::string text = Message(OpKindName(node.kind), " batch ", batch);
    for (const Shape& s : src) text += Message(" ", s.height, "x", s.width, "x", s.channels);
    return text + Message(" kernel ", w.kernel_h, "x", w.kernel_w, " stride ", w.stride_h, "x",
                          w.stride_w, " dilation ", w.dilation_h, "x", w.dilation_w, " pads ",
                          w.pad_top, ",", w.pad_left, ",", w.pad_bottom, ",", w.pad_right, " ceil ",
                          w.ceil_mode, " zp ", src_zero_points[0], ",", src_zero_points[1], "->",
                          dst_zero_point, " m ", node.multiplier[0], ",", node.multiplier[1],
                          " shift ", static_cast<int>(node.shift), " clamp ",
                          static_cast<int>(node.code_lo), "..", static_cast<int>(node.code_hi),
                          " count pads ", node.count_include_pad, " slack ", src_slack, ",",
                          dst_slack, " extreme ", extreme, " seed ", seed);
  }
};

// A step with everything it points to.
class RandomStep {
 public:
  explicit RandomStep(const OperatorCase& c) {
    std::mt19937 random(c.seed);
    graph_.nodes = {c.node};
    graph_.tensors.resize(c.src.size() + 1);
    src_.resize(c.src.size());
    step_.graph = &graph_;
    step_.node = &graph_.nodes[0];
    for (uint32_t i = 0; i < c.src.size(); ++i) {
      graph_.tensors[i].type = ElementType::kU8;
      graph_.tensors[i].zero_point = c.src_zero_points[i % c.src_zero_points.size()];
      graph_.nodes[0].inputs.push_back(i);
      step_.src_tensors.push_back(&graph_.tensors[i]);
      TensorView view = MakeView(c.batch, c.src[i], c.src_slack);
      src_[i].resize(c.batch * view.image_stride() + 64);
      for (uint8_t& x : src_[i]) {
        x = static_cast<uint8_t>(c.extreme ? random() % 2 * 255 : random() % 256);
      }
      view.data = src_[i].data();
      step_.src.push_back(view);
    }
    Tensor& dst = graph_.tensors.back();
    dst.type = ElementType::kU8;
    dst.zero_point = c.dst_zero_point;
    step_.dst_tensor = &dst;
    const Result<Shape> shape = OutputShape(graph_, graph_.nodes[0], c.src);
    REQUIRE(shape.ok());
    step_.dst = MakeView(c.batch, *shape, c.dst_slack);
    dst_.resize(c.batch * step_.dst.image_stride());
    step_.dst.data = dst_.data();
  }

  const Step& step() const { return step_; }
  std::vector<uint8_t>& dst() { return dst_; }

  // A source code, -1 outside of the image and beyond its channels.
  int Src(uint32_t operand, uint32_t image, int64_t y, int64_t x, uint32_t channel) const {
    const TensorView& v = step_.src[operand];
    const bool inside = y >= 0 && y < v.height && x >= 0 && x < v.width && channel < v.channels;
    if (!inside) return -1;
    const int64_t pixel = (int64_t{image} * v.height + y) * v.width + x;
    return v.u8()[static_cast<size_t>(pixel) * v.pixel_stride + channel];
  }

 private:
  Graph graph_;
  std::vector<std::vector<uint8_t>> src_;
  std::vector<uint8_t> dst_;
  Step step_;
};

double Clamp(const Node& node, double y) {
  y = std::clamp(y, 0.0, 255.0);
  return std::min<double>(std::max<double>(y, node.code_lo), node.code_hi);
}

// The definitions in other words than the reference's: long double holds all values exactly enough
// to round them (products of 25 and 31 bits, divisors of 47).
double ExpectedOutput(const RandomStep& r, uint32_t n, uint32_t oy, uint32_t ox, uint32_t c) {
  const Step& step = r.step();
  const Node& node = *step.node;
  const Window& w = node.window;
  const int zero_point = step.dst_tensor->zero_point;
  const int src_zero = step.src_tensors[0]->zero_point;
  const int64_t top = int64_t{oy} * w.stride_h - w.pad_top;
  const int64_t left = int64_t{ox} * w.stride_w - w.pad_left;
  const int64_t height = step.src[0].height;
  const int64_t width = step.src[0].width;
  int max = 0;
  int64_t sum = 0;
  int64_t count = 0;
  for (int64_t ky = 0; ky < w.kernel_h; ++ky) {
    for (int64_t kx = 0; kx < w.kernel_w; ++kx) {
      const int64_t y = top + ky * w.dilation_h;
      const int64_t x = left + kx * w.dilation_w;
      const int code = r.Src(0, n, y, x, c);
      max = std::max(max, code);
      if (code >= 0) sum += code - src_zero;
      const bool padded = y < height + w.pad_bottom && x < width + w.pad_right;
      count += code >= 0 || (node.count_include_pad && padded);
    }
  }
  const auto average = [&](int64_t s, int64_t d) {
    const long double ratio =
        std::ldexp(static_cast<long double>(s) * node.multiplier[0], -node.shift);
    return Clamp(node, static_cast<double>(zero_point + std::floor((2 * ratio + d) / (2 * d))));
  };
  switch (node.kind) {
    case OpKind::kMaxPool:
      return Clamp(node, max);
    case OpKind::kAvgPool:
      return average(sum, std::max<int64_t>(count, 1));
    case OpKind::kGlobalAvgPool: {
      int64_t all = 0;
      for (int64_t y = 0; y < height; ++y) {
        for (int64_t x = 0; x < width; ++x) all += r.Src(0, n, y, x, c) - src_zero;
      }
      return average(all, height * width);
    }
    case OpKind::kAdd:
    case OpKind::kClip: {
      double total = (r.Src(0, n, oy, ox, c) - src_zero) * double{1} * node.multiplier[0];
      if (node.kind == OpKind::kAdd) {
        total += (r.Src(1, n, oy, ox, c) - step.src_tensors[1]->zero_point) * double{1} *
                 node.multiplier[1];
      }
      return Clamp(node, zero_point + std::floor(std::ldexp(total, -node.shift) + 0.5));
    }
    case OpKind::kConcat: {
      uint32_t operand = 0;
      while (c >= step.src[operand].channels) c -= step.src[operand++].channels;
      return r.Src(operand, n, oy, ox, c);
    }
    default: {  // kSlicePad
      const uint32_t end = node.channels_before + step.src[0].channels;
      const bool inside = c >= node.channels_before && c < end;
      const int code = inside ? r.Src(0, n, top, left, c - node.channels_before) : -1;
      return code < 0 ? zero_point : code;
    }
  }
}

void Check(const OperatorCase& c) {
  INFO(c.Describe());
  RandomStep random_step(c);
  const OpKind kind = c.node.kind;
  RunKernel(*KernelsFor(kind).back(), random_step.step(), random_step.dst());
  CHECK(CountWrong(random_step.step(), random_step.dst(),
                   [&](uint32_t n, uint32_t y, uint32_t x, uint32_t channel) {
                     return ExpectedOutput(random_step, n, y, x, channel);
                   }) == 0);
  CheckKernelsAgree(kind, random_step.step(), random_step.dst());
}

class Draw {
 public:
  explicit Draw(uint32_t seed) : random_(seed) {}
  uint32_t operator()(uint32_t lo, uint32_t hi) {
    return std::uniform_int_distribution<uint32_t>(lo, hi)(random_);
  }
  bool OneIn(uint32_t n) { return (*this)(1, n) == 1; }
  int32_t ZeroPoint() {
    constexpr int32_t kZeroPoints[] = {0, 128, 255, 3};
    return kZeroPoints[(*this)(0, 3)];
  }

 private:
  std::mt19937 random_;
};

OperatorCase RandomCase(OpKind kind, uint32_t seed) {
  Draw draw(seed);
  OperatorCase c;
  c.seed = seed;
  c.node.kind = kind;
  c.batch = draw.OneIn(3) ? 3 : 1;
  c.src = {{draw(1, 9), draw(1, 9), draw.OneIn(2) ? draw(1, 40) * 4 : draw(1, 150)}};
  c.src_zero_points = {draw.ZeroPoint(), draw.ZeroPoint()};
  c.dst_zero_point = draw.ZeroPoint();
  c.src_slack = draw.OneIn(3) ? draw(0, 9) * 4 : 0;
  c.dst_slack = draw.OneIn(3) ? draw(0, 9) * 4 : 0;
  c.extreme = draw.OneIn(4);
  if (draw.OneIn(2)) {
    c.node.code_lo = static_cast<uint8_t>(draw(0, 255));
    c.node.code_hi = static_cast<uint8_t>(draw(c.node.code_lo, 255));
  }
  return c;
}

// Factors around 1.
void DrawAverageFactor(Draw& draw, Node& node) {
  node.shift = static_cast<uint8_t>(draw(0, 30));
  const double factor = std::exp2(static_cast<double>(draw(0, 60)) / 10.0 - 3.0);
  const double m = std::min(std::ldexp(factor, node.shift), std::ldexp(1.0, 30));
  node.multiplier[0] = static_cast<int32_t>(m);
}

void DrawWindow(Draw& draw, OperatorCase& c) {
  Window& w = c.node.window;
  w.kernel_h = draw(1, 4);
  w.kernel_w = draw(1, 4);
  w.stride_h = draw(1, 3);
  w.stride_w = draw(1, 3);
  w.dilation_h = draw.OneIn(4) ? 2 : 1;
  w.dilation_w = draw.OneIn(4) ? 2 : 1;
  w.pad_top = draw(0, 2);
  w.pad_left = draw(0, 2);
  w.pad_bottom = draw(0, 2);
  w.pad_right = draw(0, 2);
  w.ceil_mode = draw.OneIn(2);
  c.src[0].height = (w.kernel_h - 1) * w.dilation_h + draw(1, 8);
  c.src[0].width = (w.kernel_w - 1) * w.dilation_w + draw(1, 8);
}

void DrawAddFactors(Draw& draw, Node& node) {
  constexpr int32_t kExtremes[] = {0, 1, -1, 32767, -32768};
  for (int32_t& m : node.multiplier) {
    m = draw.OneIn(3) ? kExtremes[draw(0, 4)] : static_cast<int32_t>(draw(0, 65535)) - 32768;
  }
  node.shift = static_cast<uint8_t>(draw.OneIn(2) ? draw(12, 16) : draw(1, 30));
}

}  // namespace

TEST_CASE("max pools") {
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    Draw draw(seed);
    OperatorCase c = RandomCase(OpKind::kMaxPool, seed);
    DrawWindow(draw, c);
    Check(c);
  }
}

TEST_CASE("average pools") {
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    Draw draw(seed);
    OperatorCase c = RandomCase(OpKind::kAvgPool, seed);
    DrawWindow(draw, c);
    DrawAverageFactor(draw, c.node);
    c.node.count_include_pad = draw.OneIn(2);
    Check(c);
  }
}

TEST_CASE("average pools of large windows: 16-bit sums hold 257 codes, more are refused") {
  for (const uint32_t width : {256u, 257u, 258u}) {
    OperatorCase c;
    c.node.kind = OpKind::kAvgPool;
    c.node.window.kernel_w = width;
    c.node.multiplier[0] = 1 << 14;
    c.node.shift = 14;
    c.src = {{2, width, 20}};
    c.extreme = true;
    Check(c);
    RandomStep random_step(c);
    const std::span<const Kernel* const> kernels = KernelsFor(OpKind::kAvgPool);
    if (kernels.size() == 1) continue;
    CHECK(kernels[0]->refuse(random_step.step()).empty() == (width <= 257));
  }
}

TEST_CASE("global average pools") {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    Draw draw(seed);
    OperatorCase c = RandomCase(OpKind::kGlobalAvgPool, seed);
    if (draw.OneIn(4)) c.src[0].height = draw(20, 60);
    DrawAverageFactor(draw, c.node);
    Check(c);
  }
}

TEST_CASE("global average pools of many pixels") {
  for (const Shape& shape : {Shape{90, 91, 5}, Shape{91, 91, 5}, Shape{256, 256, 3}}) {
    OperatorCase c;
    c.node.kind = OpKind::kGlobalAvgPool;
    c.node.multiplier[0] = 1 << 30;
    c.node.shift = 30;
    c.src = {shape};
    c.src_zero_points = {3, 0};
    Check(c);
  }
}

// Rounding ties decide codes: every sum of a few pixels, for factors whose products end in halves.
TEST_CASE("averages round ties upward") {
  for (uint32_t pixels = 1; pixels <= 8; ++pixels) {
    for (int32_t m = 1; m <= 9; m += 2) {
      OperatorCase c;
      c.node.kind = OpKind::kGlobalAvgPool;
      c.node.multiplier[0] = m;
      c.node.shift = 2;
      c.src = {{1, pixels, 500}};
      c.src_zero_points = {128, 0};
      c.dst_zero_point = 128;
      c.seed = pixels;
      Check(c);
    }
  }
}

TEST_CASE("additions") {
  for (uint32_t seed = 1; seed <= 400; ++seed) {
    Draw draw(seed);
    OperatorCase c = RandomCase(OpKind::kAdd, seed);
    c.src.push_back(c.src[0]);
    DrawAddFactors(draw, c.node);
    Check(c);
  }
}

TEST_CASE("clips") {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    Draw draw(seed);
    OperatorCase c = RandomCase(OpKind::kClip, seed);
    DrawAddFactors(draw, c.node);
    Check(c);
  }
}

TEST_CASE("every number of channels") {
  for (uint32_t channels = 1; channels <= 130; ++channels) {
    for (const OpKind kind :
         {OpKind::kMaxPool, OpKind::kAvgPool, OpKind::kGlobalAvgPool, OpKind::kAdd}) {
      OperatorCase c;
      c.node.kind = kind;
      c.node.multiplier[0] = c.node.multiplier[1] = 300;
      c.node.shift = 9;
      c.src = {{3, 2, channels}};
      if (kind == OpKind::kAdd) c.src.push_back(c.src[0]);
      c.dst_slack = channels % 2 * 4;
      c.seed = channels;
      Check(c);
    }
  }
}

TEST_CASE("slices with padding") {
  for (uint32_t seed = 1; seed <= 100; ++seed) {
    Draw draw(seed);
    OperatorCase c = RandomCase(OpKind::kSlicePad, seed);
    Window& w = c.node.window;
    w.stride_h = draw(1, 3);
    w.stride_w = draw(1, 3);
    w.pad_top = draw(0, 2);
    w.pad_left = draw(0, 2);
    w.pad_bottom = draw(0, 2);
    w.pad_right = draw(0, 2);
    c.node.channels_before = draw(0, 20);
    c.node.channels_after = draw(0, 20);
    Check(c);
  }
}

TEST_CASE("concatenations") {
  for (uint32_t seed = 1; seed <= 100; ++seed) {
    Draw draw(seed);
    OperatorCase c = RandomCase(OpKind::kConcat, seed);
    for (uint32_t i = draw(0, 3); i > 0; --i) {
      c.src.push_back(c.src[0]);
      c.src.back().channels = draw(1, 70);
    }
    Check(c);
  }
}

}  // namespace mpq
