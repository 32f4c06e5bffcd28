// Depthwise kernels: the reference against the definition, and everything else against the
// reference, bit by bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/registry.h"
#include "engine/kernels/depthwise_conv.h"
#include "engine/ref/depthwise_conv.h"
#include "format/message.h"
#include "tests/kernels/kernel_run.h"

namespace mpq {
namespace {

struct DepthwiseCase {
  uint32_t batch = 1, height = 5, width = 5, channels = 16;
  Window window;
  LevelSetKind level_set = LevelSetKind::kUniform;
  int bits = 4;  // 0: random for every block
  int32_t src_zero_point = 0, dst_zero_point = 0;
  uint8_t code_lo = 0;
  ElementType dst_type = ElementType::kU8;
  uint32_t src_slack = 0, dst_slack = 0;  // elements of a pixel that belong to others
  bool shifted = false;
  bool left_shifts = false;
  std::optional<std::pair<int, int>> pre;  // the range of Requantizer::pre; no upper clamps then
  bool extreme = false;                    // activations 0 or 255, weights the outermost levels
  uint32_t seed = 1;

  std::string Describe() const {
    const Window& w = window;
    return Message("batch ", batch, " src ", height, "x", width, "x", channels, " kernel ",
                   w.kernel_h, "x", w.kernel_w, " stride ", w.stride_h, "x", w.stride_w,
                   " dilation ", w.dilation_h, "x", w.dilation_w, " pads ", w.pad_top, ",",
                   w.pad_left, ",", w.pad_bottom, ",", w.pad_right, " levels ",
                   LevelSetKindName(level_set), " bits ", bits, " zp ", src_zero_point, "->",
                   dst_zero_point, " slack ", src_slack, ",", dst_slack, " shifted ", shifted,
                   " left ", left_shifts, " extreme ", extreme, " seed ", seed);
  }
};

// A step with everything it points to.
class RandomDepthwise {
 public:
  explicit RandomDepthwise(const DepthwiseCase& c) : case_(c), random_(c.seed) {
    MakeGraph();
    MakeWeights();
    MakeStep();
    MakeParams();
  }

  const Step& step() const { return step_; }
  std::vector<uint8_t>& dst() { return dst_; }
  int Level(uint32_t channel, uint32_t tap) const {
    const Window& w = case_.window;
    return levels_[size_t{channel} * w.kernel_h * w.kernel_w + tap];
  }

 private:
  int Draw(int lo, int hi) { return std::uniform_int_distribution<int>(lo, hi)(random_); }

  void MakeGraph() {
    const DepthwiseCase& c = case_;
    Tensor src;
    src.type = ElementType::kU8;
    src.zero_point = c.src_zero_point;
    src.channels = c.channels;
    Tensor dst = src;
    dst.type = c.dst_type;
    dst.zero_point = c.dst_zero_point;
    graph_.tensors = {src, dst};
    Node node;
    node.kind = OpKind::kDepthwiseConv;
    node.inputs = {0};
    node.output = 1;
    node.window = c.window;
    node.groups = c.channels;
    node.weights = 0;
    node.code_lo = c.code_lo;
    graph_.nodes = {node};
    Weights weights;
    weights.out_channels = c.channels;
    weights.kernel_h = c.window.kernel_h;
    weights.kernel_w = c.window.kernel_w;
    weights.in_channels = 1;
    weights.level_set = c.level_set;
    graph_.weights = {weights};
  }

  int DrawBits() {
    if (case_.bits != 0) return case_.bits;
    return Draw(case_.level_set == LevelSetKind::kTable ? 1 : 2,
                case_.level_set == LevelSetKind::kUniform ? kMaxBits : kMaxTableBits);
  }

  void MakeWeights() {
    Weights& weights = graph_.weights[0];
    const CodeLayout layout = MakeCodeLayout(graph_, graph_.nodes[0]);
    std::vector<uint8_t> bits(layout.blocks());
    std::vector<uint8_t> shapes(layout.blocks());
    for (uint32_t i = 0; i < layout.blocks(); ++i) {
      bits[i] = static_cast<uint8_t>(DrawBits());
      shapes[i] = TwoRegionShape{static_cast<uint8_t>(Draw(1, 3)), 1, Draw(0, 1) != 0}.Pack();
    }
    if (case_.level_set == LevelSetKind::kTwoRegion) weights.block_shapes = shapes;
    if (case_.level_set == LevelSetKind::kTable) weights.tables = DrawTables(bits);
    weights.block_bits = bits;
    const uint32_t taps = weights.kernel_h * weights.kernel_w;
    std::vector<uint8_t> codes(size_t{case_.channels} * taps);
    std::vector<uint8_t> zero_codes;
    for (uint32_t block = 0; block < layout.blocks(); ++block) {
      const Levels set = BlockLevels(weights, block).value();
      zero_codes.push_back(set.zero_code());
      for (uint32_t i = 0; i < layout.BlockChannels(block) * taps; ++i) {
        const int top = static_cast<int>(set.count) - 1;
        codes[size_t{block} * kBlockChannels * taps + i] =
            static_cast<uint8_t>(case_.extreme ? Draw(0, 1) * top : Draw(0, top));
      }
    }
    std::vector<uint8_t> stream = PackCodes(layout, codes, bits, zero_codes);
    stream.resize(stream.size() + 64, 0x5a);  // files go on, with anything
    weights.codes = std::move(stream);
    levels_ = DecodeLevels(layout, weights).value();
  }

  // For each width that occurs, ascending levels from -128 (or 0) on.
  std::vector<int8_t> DrawTables(const std::vector<uint8_t>& bits) {
    std::vector<int8_t> tables;
    for (int width = 1; width <= kMaxTableBits; ++width) {
      if (std::find(bits.begin(), bits.end(), width) == bits.end()) continue;
      const int count = 1 << width;
      std::vector<int8_t> table(static_cast<size_t>(count));
      const int zero = Draw(0, count - 1);
      for (int i = 0; i < count; ++i) {
        const int step = i < zero ? 128 / zero : i > zero ? 127 / (count - 1 - zero) : 0;
        table[static_cast<size_t>(i)] = static_cast<int8_t>((i - zero) * step);
      }
      tables.insert(tables.end(), table.begin(), table.end());
    }
    return tables;
  }

  void MakeStep() {
    const DepthwiseCase& c = case_;
    const Shape in = {c.height, c.width, c.channels};
    const Shape out = OutputShape(graph_, graph_.nodes[0], {&in, 1}).value();
    step_.graph = &graph_;
    step_.node = &graph_.nodes[0];
    step_.weights = &graph_.weights[0];
    step_.layout = MakeCodeLayout(graph_, graph_.nodes[0]);
    step_.src_tensors = {&graph_.tensors[0]};
    step_.dst_tensor = &graph_.tensors[1];
    for (const int8_t level : levels_) {
      step_.max_level = std::max(step_.max_level, static_cast<uint32_t>(std::abs(int{level})));
    }
    step_.src = {MakeView(c.batch, in, c.src_slack)};
    src_.resize(step_.src[0].batch * step_.src[0].image_stride() + 64);
    for (uint8_t& x : src_) {
      x = static_cast<uint8_t>(c.extreme ? 255 * (Draw(0, 7) != 0) : Draw(0, 255));
    }
    step_.src[0].data = src_.data();
    step_.dst = MakeView(c.batch, out, c.dst_slack);
    dst_.resize(c.batch * step_.dst.image_stride() * (c.dst_type == ElementType::kS16 ? 2 : 1));
    step_.dst.data = dst_.data();
  }

  void MakeParams() {
    const uint32_t taps = case_.window.kernel_h * case_.window.kernel_w;
    std::vector<ChannelParams> params(case_.channels);
    for (uint32_t channel = 0; channel < case_.channels; ++channel) {
      int reach = 1;
      for (uint32_t tap = 0; tap < taps; ++tap) reach += 255 * std::abs(Level(channel, tap));
      const auto hi = static_cast<uint8_t>(Draw(case_.code_lo, 255));
      Requantizer r = Requantizer::FromFactor(255.0 / reach * std::exp2(Draw(-20, 40) / 10.0),
                                              Draw(0, 1) != 0 ? 255 : hi);
      if (case_.left_shifts) r.pre = Draw(-15, 3);
      if (Draw(0, 19) == 0) r.pre = Draw(-15, 31);
      if (case_.pre) r.pre = Draw(case_.pre->first, case_.pre->second), r.code_hi = 255;
      if (case_.shifted) r = Requantizer::FromShift(r.pre + (case_.left_shifts ? 0 : 5), hi);
      params[channel].bias = Draw(-reach / 2, reach / 2);
      params[channel].requant = r.Pack();
      REQUIRE(Requantizer::Valid(params[channel].requant));
    }
    graph_.weights[0].channels = params;
  }

  DepthwiseCase case_;
  std::mt19937 random_;
  Graph graph_;
  std::vector<int8_t> levels_;
  std::vector<uint8_t> src_, dst_;
  Step step_;
};

// The definition in real numbers, which doubles hold exactly.
double ExpectedOutput(const RandomDepthwise& depthwise, uint32_t image, uint32_t oy, uint32_t ox,
                      uint32_t channel) {
  const Step& step = depthwise.step();
  const Window& w = step.node->window;
  const TensorView& src = step.src[0];
  const ChannelParams& params = step.weights->channels[channel];
  int64_t x = params.bias;
  for (uint32_t tap = 0; tap < w.kernel_h * w.kernel_w; ++tap) {
    const int64_t y = int64_t{oy} * w.stride_h + tap / w.kernel_w * w.dilation_h - w.pad_top;
    const int64_t column = int64_t{ox} * w.stride_w + tap % w.kernel_w * w.dilation_w - w.pad_left;
    const bool inside = y >= 0 && y < src.height && column >= 0 && column < src.width;
    const int64_t pixel = (int64_t{image} * src.height + y) * src.width + column;
    const int code = inside ? src.u8()[static_cast<size_t>(pixel) * src.pixel_stride + channel]
                            : step.src_tensors[0]->zero_point;
    x += code * depthwise.Level(channel, tap);
  }
  const Requantizer r = Requantizer::Unpack(params.requant);
  const auto nearest = [](double value) { return std::floor(value + 0.5); };
  const double shifted = nearest(std::ldexp(static_cast<double>(x), -r.pre));
  const double t = std::clamp(shifted, -32768.0, 32767.0);
  const double u = nearest(std::ldexp(t * r.m, -15));
  if (step.dst_tensor->type == ElementType::kS16) return r.shifted ? t : u;
  const double steps = r.shifted ? shifted : nearest(u / 64.0);
  const double y = std::clamp(step.dst_tensor->zero_point + steps, 0.0, 255.0);
  return std::min<double>(std::max<double>(y, step.node->code_lo), r.code_hi);
}

void CheckReference(const DepthwiseCase& c) {
  INFO(c.Describe());
  RandomDepthwise depthwise(c);
  RunKernel(ref::kDepthwiseConv, depthwise.step(), depthwise.dst());
  CHECK(CountWrong(depthwise.step(), depthwise.dst(),
                   [&](uint32_t n, uint32_t y, uint32_t x, uint32_t channel) {
                     return ExpectedOutput(depthwise, n, y, x, channel);
                   }) == 0);
}

void CheckAgainstReference(const DepthwiseCase& c) {
  INFO(c.Describe());
  RandomDepthwise depthwise(c);
  CheckKernelsAgree(OpKind::kDepthwiseConv, depthwise.step(), depthwise.dst());
}

// A random case with everything drawn; small enough for bare loops.
DepthwiseCase RandomCase(uint32_t seed) {
  std::mt19937 random(seed);
  const auto draw = [&](uint32_t lo, uint32_t hi) {
    return std::uniform_int_distribution<uint32_t>(lo, hi)(random);
  };
  const auto chance = [&](uint32_t one_in) { return draw(1, one_in) == 1; };
  DepthwiseCase c;
  c.seed = seed;
  c.batch = chance(4) ? 3 : 1;
  Window& w = c.window;
  w.kernel_h = chance(2) ? 3 : draw(1, 9);
  w.kernel_w = chance(3) ? draw(1, 7) : w.kernel_h;
  w.stride_h = draw(1, 3);
  w.stride_w = chance(3) ? draw(1, 4) : w.stride_h;
  w.dilation_h = chance(4) ? draw(1, 3) : 1;
  w.dilation_w = chance(4) ? draw(1, 3) : 1;
  w.pad_top = draw(0, 3);
  w.pad_left = draw(0, 3);
  w.pad_bottom = draw(0, 3);
  w.pad_right = draw(0, 3);
  const uint32_t reach_h = (w.kernel_h - 1) * w.dilation_h + 1;
  const uint32_t reach_w = (w.kernel_w - 1) * w.dilation_w + 1;
  c.height = draw(std::max(1u, reach_h - std::min(reach_h, w.pad_top + w.pad_bottom)), reach_h + 9);
  c.width = draw(std::max(1u, reach_w - std::min(reach_w, w.pad_left + w.pad_right)), reach_w + 9);
  c.channels = chance(3) ? draw(1, 12) * 16 : draw(1, 150);
  c.level_set = static_cast<LevelSetKind>(draw(0, 2));
  c.bits = 0;
  constexpr int32_t kZeroPoints[] = {0, 128, 255, 3};
  c.src_zero_point = kZeroPoints[draw(0, 3)];
  c.dst_zero_point = kZeroPoints[draw(0, 3)];
  c.code_lo = static_cast<uint8_t>(chance(2) ? c.dst_zero_point : 0);
  c.dst_type = chance(20) ? ElementType::kS16 : ElementType::kU8;
  c.src_slack = chance(3) ? draw(0, 9) * 4 : 0;
  c.dst_slack = chance(2) ? draw(0, 9) * 4 : 0;
  c.shifted = chance(4);
  c.left_shifts = chance(5);
  c.extreme = chance(5);
  return c;
}

Window Square(uint32_t kernel, uint32_t stride, uint32_t pad) {
  Window w;
  w.kernel_h = w.kernel_w = kernel;
  w.stride_h = w.stride_w = stride;
  w.pad_top = w.pad_left = w.pad_bottom = w.pad_right = pad;
  return w;
}

}  // namespace

TEST_CASE("depthwise.ref follows the definition") {
  for (uint32_t seed = 1; seed <= 200; ++seed) CheckReference(RandomCase(seed));
}

TEST_CASE("fast depthwise kernels equal the reference: random cases") {
  for (uint32_t seed = 1000; seed < 1800; ++seed) CheckAgainstReference(RandomCase(seed));
}

TEST_CASE("fast depthwise kernels equal the reference: every number of channels") {
  for (uint32_t channels = 1; channels <= 140; ++channels) {
    DepthwiseCase c;
    c.channels = channels;
    c.window = Square(3, 1, 1);
    c.dst_slack = channels % 2 * 4;
    c.seed = channels;
    CheckAgainstReference(c);
  }
}

TEST_CASE("fast depthwise kernels equal the reference: every small output and usual kernel") {
  for (const uint32_t kernel : {1u, 3u, 5u, 7u}) {
    for (uint32_t stride = 1; stride <= 2; ++stride) {
      for (uint32_t size = 1; size <= 13; ++size) {
        DepthwiseCase c;
        c.height = size;
        c.width = 14 - size;
        c.channels = 48;
        c.window = Square(kernel, stride, kernel / 2);
        c.src_zero_point = 128;
        c.bits = 8;
        c.extreme = size % 2 == 0;
        c.seed = size;
        CheckAgainstReference(c);
      }
    }
  }
}

TEST_CASE("fast depthwise kernels equal the reference: rows wider than a stretch of columns") {
  for (const uint32_t stride : {1u, 2u, 5u}) {
    for (const uint32_t width : {77u, 78u, 79u, 300u}) {
      DepthwiseCase c;
      c.width = width;
      c.height = 3;
      c.channels = 20;
      c.window = Square(3, stride, 1);
      c.src_zero_point = 3;
      CheckAgainstReference(c);
    }
  }
}

TEST_CASE("fast depthwise kernels equal the reference: all bits of all level sets") {
  for (const LevelSetKind kind :
       {LevelSetKind::kUniform, LevelSetKind::kTwoRegion, LevelSetKind::kTable}) {
    const int lo = kind == LevelSetKind::kTable ? 1 : 2;
    const int hi = kind == LevelSetKind::kUniform ? kMaxBits : kMaxTableBits;
    for (int bits = lo; bits <= hi; ++bits) {
      DepthwiseCase c;
      c.channels = 112;
      c.window = Square(3, 1, 1);
      c.level_set = kind;
      c.bits = bits;
      CheckAgainstReference(c);
    }
  }
}

// Sums of two products in 16 bits take levels up to 64.
TEST_CASE("fast depthwise kernels equal the reference: extreme operands") {
  for (const int bits : {4, 7, 8}) {
    for (const uint32_t kernel : {3u, 5u}) {
      for (const uint32_t stride : {1u, 2u}) {
        DepthwiseCase c;
        c.channels = 96;
        c.height = c.width = 11;
        c.window = Square(kernel, stride, kernel / 2);
        c.bits = bits;
        c.src_zero_point = 255;
        c.extreme = true;
        CheckAgainstReference(c);
      }
    }
  }
}

// Micro-kernels have shorter ways for the usual cases: no clamps, zero point 0, shifts in one
// direction.
TEST_CASE("fast depthwise kernels equal the reference: without clamps") {
  constexpr std::pair<int, int> kPre[] = {{0, 6}, {-7, 0}, {-7, 2}, {-15, -10}};
  for (const auto& pre : kPre) {
    for (const uint32_t kernel : {3u, 5u}) {
      for (const uint32_t stride : {1u, 2u}) {
        for (const uint32_t channels : {16u, 32u, 48u, 144u}) {
          for (const int32_t zero_point : {0, 117}) {
            DepthwiseCase c;
            c.channels = channels;
            c.height = c.width = 9;
            c.window = Square(kernel, stride, kernel / 2);
            c.src_zero_point = 5;
            c.dst_zero_point = zero_point;
            c.pre = pre;
            c.seed = channels + kernel;
            CheckAgainstReference(c);
            c.extreme = true;
            CheckAgainstReference(c);
          }
        }
      }
    }
  }
}

TEST_CASE("windows that need too much scratch and 16-bit outputs are refused with a reason") {
  if (KernelsFor(OpKind::kDepthwiseConv).size() == 1) return;  // only the reference
  const Kernel& best = *KernelsFor(OpKind::kDepthwiseConv)[0];
  DepthwiseCase c;
  c.dst_type = ElementType::kS16;
  CHECK(best.refuse(RandomDepthwise(c).step()) == "16-bit output");
  c.dst_type = ElementType::kU8;
  c.window = Square(2, 1, 0);
  c.window.dilation_w = 20000;
  c.width = 20002;
  c.height = 2;
  const std::string refusal = best.refuse(RandomDepthwise(c).step());
  CHECK((refusal.find("a window of 20001 columns") == 0 ||
         refusal.find("a kernel of 2x2, horizontal stride 1 and dilation 20000") == 0));
}

}  // namespace mpq
