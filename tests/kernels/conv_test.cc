// Convolution kernels: the reference against an independent formula, and everything else against
// the reference, bit by bit.
#include "engine/ref/conv.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/registry.h"
#include "engine/kernels/conv_gemm.h"
#include "format/message.h"

namespace mpq {
namespace {

constexpr uint8_t kCanary = 0xa5;

// What may vary in a convolution. Defaults: a 1x1 convolution of ordinary 4-bit weights.
struct ConvCase {
  uint32_t batch = 1, height = 1, width = 1, in_channels = 4, out_channels = 16, groups = 1;
  Window window;
  bool graph_input = false;  // packed source: row runs unless in_channels % 4 == 0
  LevelSetKind level_set = LevelSetKind::kUniform;
  int bits = 4;  // 0: random for every block
  int32_t src_zero_point = 0, dst_zero_point = 0;
  uint8_t code_lo = 0;
  ElementType dst_type = ElementType::kU8;
  uint32_t dst_slack = 0;  // elements of a pixel that belong to others
  bool shifted = false;
  bool left_shifts = false;
  std::optional<std::pair<int, int>> pre;  // the range of Requantizer::pre; no upper clamps then
  bool extreme = false;                    // activations 0 or 255, weights the outermost levels
  int32_t residual_multiplier = -1;        // no residual
  int32_t residual_zero_point = 0;
  uint32_t residual_slack = 0;  // as dst_slack
  uint32_t seed = 1;

  std::string Describe() const {
    const Window& w = window;
    return Message("batch ", batch, " src ", height, "x", width, "x", in_channels, " out ",
                   out_channels, " groups ", groups, " kernel ", w.kernel_h, "x", w.kernel_w,
                   " stride ", w.stride_h, "x", w.stride_w, " dilation ", w.dilation_h, "x",
                   w.dilation_w, " pads ", w.pad_top, ",", w.pad_left, ",", w.pad_bottom, ",",
                   w.pad_right, " input ", graph_input, " levels ", LevelSetKindName(level_set),
                   " bits ", bits, " zp ", src_zero_point, "->", dst_zero_point, " type ",
                   static_cast<int>(dst_type), " slack ", dst_slack, " shifted ", shifted, " left ",
                   left_shifts, " pre ", pre ? pre->first : 0, "..", pre ? pre->second : 0,
                   " extreme ", extreme, " residual ", residual_multiplier, ",",
                   residual_zero_point, ",", residual_slack, " seed ", seed);
  }
};

// A step with everything it points to.
class RandomConv {
 public:
  explicit RandomConv(const ConvCase& c) : case_(c), random_(c.seed) {
    MakeGraph();
    MakeWeights();
    MakeStep();
    MakeParams();
  }

  const Step& step() const { return step_; }
  const ConvCase& spec() const { return case_; }
  const std::vector<int8_t>& levels() const { return levels_; }

  // The output memory after the kernel has run all items, in the given order.
  std::vector<uint8_t> Run(const Kernel& kernel, bool item_by_item = false) {
    std::fill(dst_.begin(), dst_.end(), kCanary);
    const size_t bytes = kernel.scratch_bytes(step_);
    const uint32_t items = kernel.work_items(step_);
    if (!item_by_item) {
      RunItems(kernel, 0, items, bytes);
    } else {
      for (uint32_t item = items; item-- > 0;) RunItems(kernel, item, item + 1, bytes);
    }
    return dst_;
  }

  // The same from weights that were decoded before, as stripes do.
  std::vector<uint8_t> RunPrepared(const Kernel& kernel) {
    step_.is_prepared = true;
    Memory prepared(kernel.prepared_bytes(step_));
    step_.prepared = prepared.begin();
    Memory scratch(kernel.scratch_bytes(step_));
    kernel.prepare(step_, scratch.begin());
    CHECK(scratch.intact());
    Run(kernel);
    CHECK(prepared.intact());
    step_.is_prepared = false;
    step_.prepared = nullptr;
    return dst_;
  }

 private:
  // Aligned memory full of garbage, followed by canaries.
  class Memory {
   public:
    explicit Memory(size_t bytes) : bytes_(bytes), memory_(bytes + kTail + 64, std::byte{kCanary}) {
      begin_ = memory_.data() + (64 - reinterpret_cast<uintptr_t>(memory_.data()) % 64) % 64;
    }
    std::byte* begin() const { return begin_; }
    bool intact() const {
      return std::all_of(begin_ + bytes_, begin_ + bytes_ + kTail,
                         [](std::byte b) { return b == std::byte{kCanary}; });
    }

   private:
    static constexpr size_t kTail = 256;
    size_t bytes_;
    std::vector<std::byte> memory_;
    std::byte* begin_;
  };

  int Uniform(int lo, int hi) { return std::uniform_int_distribution<int>(lo, hi)(random_); }

  void MakeGraph() {
    const ConvCase& c = case_;
    Tensor src;
    src.type = ElementType::kU8;
    src.height = c.height;
    src.width = c.width;
    src.channels = c.in_channels;
    src.scale = 1.0f;
    src.zero_point = c.src_zero_point;
    Tensor dst = src;
    dst.type = c.dst_type;
    dst.zero_point = c.dst_zero_point;
    dst.channels = c.out_channels;
    Tensor residual = dst;
    residual.zero_point = c.residual_zero_point;
    graph_.tensors = {src, src, dst, residual};
    graph_.input = c.graph_input ? 1 : 0;
    graph_.output = 2;
    Node node;
    node.kind = OpKind::kConv;
    node.inputs = {1};
    node.output = 2;
    node.window = c.window;
    node.groups = c.groups;
    node.weights = 0;
    node.code_lo = c.code_lo;
    if (HasResidual()) {
      node.inputs.push_back(3);
      node.multiplier[0] = c.residual_multiplier;
    }
    graph_.nodes = {node};
    Weights weights;
    weights.out_channels = c.out_channels;
    weights.kernel_h = c.window.kernel_h;
    weights.kernel_w = c.window.kernel_w;
    weights.in_channels = c.in_channels / c.groups;
    weights.level_set = c.level_set;
    graph_.weights = {weights};
  }

  int RandomBits() {
    if (case_.bits != 0) return case_.bits;
    const int lo = case_.level_set == LevelSetKind::kTable ? 1 : 2;
    return Uniform(lo, case_.level_set == LevelSetKind::kUniform ? kMaxBits : kMaxTableBits);
  }

  // 2^bits ascending levels, one of them 0.
  std::vector<int8_t> RandomTable(int bits) {
    std::vector<int8_t> all;
    for (int level = -128; level <= 127; ++level) {
      if (level != 0) all.push_back(static_cast<int8_t>(level));
    }
    std::shuffle(all.begin(), all.end(), random_);
    all.resize((size_t{1} << bits) - 1);
    if (case_.extreme) all[0] = -128;
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    all.push_back(0);
    while (all.size() < size_t{1} << bits) {  // -128 was there already
      const auto level = static_cast<int8_t>(Uniform(-127, 127));
      if (std::find(all.begin(), all.end(), level) == all.end()) all.push_back(level);
    }
    std::sort(all.begin(), all.end());
    return all;
  }

  void MakeWeights() {
    Weights& weights = graph_.weights[0];
    layout_ = MakeCodeLayout(graph_, graph_.nodes[0]);
    const uint32_t blocks = layout_.blocks();
    std::vector<uint8_t> bits(blocks);
    for (uint8_t& b : bits) b = static_cast<uint8_t>(RandomBits());
    weights.block_bits = bits;
    if (weights.level_set == LevelSetKind::kTwoRegion) {
      std::vector<uint8_t> shapes(blocks);
      for (uint32_t i = 0; i < blocks; ++i) {
        const int positive = (1 << (bits[i] - 1)) - 1;
        TwoRegionShape shape;
        do {
          shape.step = static_cast<uint8_t>(Uniform(1, 4));
          shape.dense = static_cast<uint8_t>(Uniform(1, positive));
          shape.spare_negative = Uniform(0, 1) != 0;
        } while (!TwoRegionLevels(bits[i], shape).ok());
        shapes[i] = shape.Pack();
      }
      weights.block_shapes = shapes;
    }
    if (weights.level_set == LevelSetKind::kTable) {
      std::vector<int8_t> tables;
      for (uint8_t width = 1; width <= kMaxTableBits; ++width) {
        if (std::find(bits.begin(), bits.end(), width) == bits.end()) continue;
        const std::vector<int8_t> table = RandomTable(width);
        tables.insert(tables.end(), table.begin(), table.end());
      }
      weights.tables = tables;
    }
    PackRandomCodes(weights, bits);
    levels_ = DecodeLevels(layout_, weights).value();
  }

  void PackRandomCodes(Weights& weights, const std::vector<uint8_t>& bits) {
    const size_t row_codes = size_t{layout_.runs} * layout_.run_values;
    std::vector<uint8_t> codes(weights.out_channels * row_codes);
    std::vector<uint8_t> zero_codes;
    for (uint32_t block = 0; block < layout_.blocks(); ++block) {
      const Levels set = BlockLevels(weights, block).value();
      zero_codes.push_back(set.zero_code());
      max_level_ = std::max<uint32_t>(max_level_, set.max_magnitude());
      for (uint32_t i = 0; i < layout_.BlockChannels(block); ++i) {
        const size_t channel = layout_.FirstChannel(block) + i;
        const int sign = Uniform(0, 2);  // extreme: all lowest, all highest, or either
        for (size_t k = 0; k < row_codes; ++k) {
          const int top = static_cast<int>(set.count) - 1;
          const bool high = sign == 2 ? Uniform(0, 1) != 0 : sign == 1;
          codes[channel * row_codes + k] =
              static_cast<uint8_t>(case_.extreme ? (high ? top : 0) : Uniform(0, top));
        }
      }
    }
    // Streams in a file are followed by other bytes; here by garbage.
    std::vector<uint8_t> stream = PackCodes(layout_, codes, bits, zero_codes);
    stream.resize(stream.size() + 64, 0x5a);
    weights.codes = std::move(stream);
  }

  void MakeStep() {
    const ConvCase& c = case_;
    const Shape in = {c.height, c.width, c.in_channels};
    Node without_residual = graph_.nodes[0];  // its shape is the output's
    without_residual.inputs.resize(1);
    const Shape out = OutputShape(graph_, without_residual, {&in, 1}).value();
    step_.graph = &graph_;
    step_.node = &graph_.nodes[0];
    step_.weights = &graph_.weights[0];
    step_.layout = layout_;
    step_.src_tensors = {&graph_.tensors[1]};
    step_.dst_tensor = &graph_.tensors[2];
    step_.max_level = max_level_;
    TensorView src = {nullptr, c.batch,       c.height,
                      c.width, c.in_channels, ChannelStride(c.in_channels, c.graph_input)};
    src_.resize(c.batch * src.image_stride() + 64);
    for (uint8_t& x : src_) {
      x = static_cast<uint8_t>(c.extreme ? (Uniform(0, 7) != 0 ? 255 : 0) : Uniform(0, 255));
    }
    src.data = src_.data();
    step_.src = {src};
    TensorView dst = {nullptr,   c.batch,      out.height,
                      out.width, out.channels, ChannelStride(out.channels, false) + c.dst_slack};
    if (HasResidual()) MakeResidual(dst);
    dst_.resize(c.batch * dst.image_stride() * (c.dst_type == ElementType::kS16 ? 2 : 1));
    dst.data = dst_.data();
    step_.dst = dst;
  }

  bool HasResidual() const { return case_.residual_multiplier >= 0; }

  void MakeResidual(TensorView view) {
    view.pixel_stride += size_t{case_.residual_slack} - case_.dst_slack;
    residual_.resize(view.batch * view.image_stride() + 64);
    for (uint8_t& x : residual_) {
      x = static_cast<uint8_t>(case_.extreme ? Uniform(0, 1) * 255 : Uniform(0, 255));
    }
    view.data = residual_.data();
    step_.src.push_back(view);
    step_.src_tensors.push_back(&graph_.tensors[3]);
  }

  // Factors around the one that spreads the outputs over all codes.
  void MakeParams() {
    const double reach = 255.0 * max_level_ * layout_.quads() * 2;
    std::vector<ChannelParams> params(case_.out_channels);
    for (ChannelParams& p : params) {
      const double spread = std::exp2(Uniform(-20, 40) / 10.0);
      const auto hi = static_cast<uint8_t>(Uniform(case_.code_lo, 255));
      Requantizer r = Requantizer::FromFactor(255.0 / reach * spread, Uniform(0, 1) ? 255 : hi);
      if (case_.left_shifts) r.pre = Uniform(-15, 3);
      if (Uniform(0, 19) == 0) r.pre = Uniform(-15, 31);
      if (case_.pre) r.pre = Uniform(case_.pre->first, case_.pre->second), r.code_hi = 255;
      if (case_.shifted) r = Requantizer::FromShift(r.pre + (case_.left_shifts ? 0 : 5), r.code_hi);
      p.bias = Uniform(-static_cast<int>(reach / 4), static_cast<int>(reach / 4));
      p.requant = r.Pack();
      REQUIRE(Requantizer::Valid(p.requant));
    }
    graph_.weights[0].channels = params;
  }

  void RunItems(const Kernel& kernel, uint32_t first, uint32_t last, size_t bytes) {
    Memory scratch(bytes);
    kernel.run(step_, first, last, scratch.begin());
    CHECK(scratch.intact());
  }

  ConvCase case_;
  std::mt19937 random_;
  Graph graph_;
  CodeLayout layout_;
  uint32_t max_level_ = 1;
  std::vector<int8_t> levels_;
  std::vector<uint8_t> src_, residual_, dst_;
  Step step_;
};

constexpr Kernel kConvGemmScalar =
    MakeConvGemmKernel<kGemmScalar>("conv.gemm.scalar", Isa::kScalar);
constexpr Kernel kConvGemmAmxEmulated =
    MakeConvGemmKernel<kGemmAmxEmulated>("conv.gemm.amx-emulated", Isa::kScalar);
#if defined(__x86_64__)
constexpr Kernel kConvGemmAmxEmulatedTiles =
    MakeConvGemmKernel<kGemmAmxEmulatedTiles>("conv.gemm.amx-emulated-tiles", Isa::kAvx512);
// The engine's own refuses layers that it computes slowly, not wrongly.
constexpr Kernel kConvGemmAmxAnywhere =
    MakeConvGemmKernel<kGemmAmx>("conv.gemm.amx-anywhere", Isa::kAmx);
#endif

// All kernels that this machine can run, but for the reference.
std::vector<const Kernel*> FastKernels() {
  std::vector<const Kernel*> kernels = {&kConvGemmScalar, &kConvGemmAmxEmulated};
  const std::vector<Isa>& isas = SupportedIsas();
  const auto add = [&](const Kernel& kernel) {
    const bool runs = std::any_of(isas.begin(), isas.end(),
                                  [&](Isa isa) { return IsaIncludes(isa, kernel.isa); });
    if (&kernel != &ref::kConv && runs) kernels.push_back(&kernel);
  };
#if defined(__x86_64__)
  add(kConvGemmAmxEmulatedTiles);
  add(kConvGemmAmxAnywhere);
#endif
  for (const Kernel* kernel : KernelsFor(OpKind::kConv)) add(*kernel);
  return kernels;
}

void CheckAgainstReference(const ConvCase& c) {
  INFO(c.Describe());
  RandomConv conv(c);
  const std::vector<uint8_t> expected = conv.Run(ref::kConv);
  for (const Kernel* kernel : FastKernels()) {
    INFO(kernel->name);
    if (const std::string reason = kernel->refuse(conv.step()); !reason.empty()) continue;
    CHECK(conv.Run(*kernel) == expected);
    CHECK(conv.Run(*kernel, /*item_by_item=*/true) == expected);
    if (kernel->prepare != nullptr) CHECK(conv.RunPrepared(*kernel) == expected);
  }
}

// The definition in real numbers, which doubles hold exactly.
double ExpectedOutput(RandomConv& conv, uint32_t n, uint32_t oy, uint32_t ox, uint32_t oc) {
  const Step& step = conv.step();
  const Weights& w = *step.weights;
  const Window& window = step.node->window;
  const TensorView& src = step.src[0];
  const uint32_t group = oc / (w.out_channels / step.node->groups);
  int64_t x = w.channels[oc].bias;
  for (uint32_t ky = 0; ky < w.kernel_h; ++ky) {
    for (uint32_t kx = 0; kx < w.kernel_w; ++kx) {
      const int64_t y = int64_t{oy} * window.stride_h + ky * window.dilation_h - window.pad_top;
      const int64_t col = int64_t{ox} * window.stride_w + kx * window.dilation_w - window.pad_left;
      for (uint32_t c = 0; c < w.in_channels; ++c) {
        int value = step.src_tensors[0]->zero_point;
        if (y >= 0 && y < src.height && col >= 0 && col < src.width) {
          value = src.u8()[((n * src.height + static_cast<size_t>(y)) * src.width +
                            static_cast<size_t>(col)) *
                               src.pixel_stride +
                           group * w.in_channels + c];
        }
        const size_t index = ((size_t{oc} * w.kernel_h + ky) * w.kernel_w + kx) * w.in_channels + c;
        x += value * conv.levels()[index];
      }
    }
  }
  const Requantizer r = Requantizer::Unpack(w.channels[oc].requant);
  const auto nearest = [](double value) { return std::floor(value + 0.5); };
  const double shifted = nearest(std::ldexp(static_cast<double>(x), -r.pre));
  const double t = std::clamp(shifted, -32768.0, 32767.0);
  const double u = nearest(std::ldexp(t * r.m, -15));
  if (step.dst_tensor->type == ElementType::kS16) return r.shifted ? t : u;
  double residual = 0;  // in the units of u
  if (step.src.size() == 2) {
    const TensorView& view = step.src[1];
    const size_t pixel = (size_t{n} * view.height + oy) * view.width + ox;
    const auto scaled = [&](int code) {
      return std::floor(std::ldexp(code * step.node->multiplier[0], -8));
    };
    residual =
        scaled(view.u8()[pixel * view.pixel_stride + oc]) - scaled(step.src_tensors[1]->zero_point);
  }
  const double steps = r.shifted ? shifted : nearest((u + residual) / 64.0);
  const double y = std::clamp(step.dst_tensor->zero_point + steps, 0.0, 255.0);
  return std::min<double>(std::max<double>(y, step.node->code_lo), r.code_hi);
}

void CheckReference(const ConvCase& c) {
  INFO(c.Describe());
  RandomConv conv(c);
  const std::vector<uint8_t> memory = conv.Run(ref::kConv);
  const TensorView& dst = conv.step().dst;
  const bool s16 = c.dst_type == ElementType::kS16;
  size_t wrong = 0;
  size_t pixel = 0;
  for (uint32_t n = 0; n < dst.batch; ++n) {
    for (uint32_t y = 0; y < dst.height; ++y) {
      for (uint32_t x = 0; x < dst.width; ++x, ++pixel) {
        for (size_t i = 0; i < dst.pixel_stride; ++i) {
          const size_t at = pixel * dst.pixel_stride + i;
          if (i >= dst.channels) {
            wrong += memory[s16 ? at * 2 : at] != kCanary;
            continue;
          }
          int16_t wide = 0;
          if (s16) std::memcpy(&wide, &memory[at * 2], 2);
          const double got = s16 ? wide : memory[at];
          wrong += got != ExpectedOutput(conv, n, y, x, static_cast<uint32_t>(i));
        }
      }
    }
  }
  CHECK(wrong == 0);
}

// A random case with everything drawn; small enough for bare loops.
ConvCase RandomCase(uint32_t seed) {
  std::mt19937 random(seed);
  const auto draw = [&](uint32_t lo, uint32_t hi) {
    return std::uniform_int_distribution<uint32_t>(lo, hi)(random);
  };
  const auto chance = [&](uint32_t one_in) { return draw(1, one_in) == 1; };
  ConvCase c;
  c.seed = seed;
  c.batch = chance(4) ? 3 : 1;
  Window& w = c.window;
  w.kernel_h = draw(1, 5);
  w.kernel_w = chance(3) ? draw(1, 7) : w.kernel_h;
  w.stride_h = draw(1, 3);
  w.stride_w = chance(3) ? draw(1, 4) : w.stride_h;
  w.dilation_h = chance(3) ? draw(1, 3) : 1;
  w.dilation_w = chance(3) ? draw(1, 3) : 1;
  w.pad_top = draw(0, 3);
  w.pad_left = draw(0, 3);
  w.pad_bottom = draw(0, 3);
  w.pad_right = draw(0, 3);
  c.height = (w.kernel_h - 1) * w.dilation_h + draw(1, 11);
  c.width = (w.kernel_w - 1) * w.dilation_w + draw(1, 11);
  c.groups = chance(3) ? draw(2, 4) : 1;
  c.in_channels = draw(1, 23) * c.groups;
  c.out_channels = draw(1, 50) * c.groups;
  c.graph_input = chance(3);
  c.level_set = static_cast<LevelSetKind>(draw(0, 2));
  c.bits = 0;
  constexpr int32_t kZeroPoints[] = {0, 128, 255, 3};
  c.src_zero_point = kZeroPoints[draw(0, 3)];
  c.dst_zero_point = kZeroPoints[draw(0, 3)];
  c.code_lo = static_cast<uint8_t>(chance(2) ? c.dst_zero_point : 0);
  c.dst_type = chance(5) ? ElementType::kS16 : ElementType::kU8;
  c.dst_slack = chance(2) ? draw(0, 9) * 4 : 0;
  c.shifted = chance(4);
  c.left_shifts = chance(5);
  c.extreme = chance(5);
  if (c.dst_type == ElementType::kU8 && !c.shifted && chance(3)) {
    c.residual_multiplier = static_cast<int32_t>(chance(4) ? draw(0, 1) * kMaxResidualMultiplier
                                                           : draw(0, kMaxResidualMultiplier));
    c.residual_zero_point = kZeroPoints[draw(0, 3)];
    c.residual_slack = chance(2) ? draw(0, 9) * 4 : 0;
  }
  return c;
}

}  // namespace

TEST_CASE("conv.ref follows the definition") {
  for (uint32_t seed = 1; seed <= 400; ++seed) CheckReference(RandomCase(seed));
}

TEST_CASE("fast convolutions equal the reference: random cases") {
  for (uint32_t seed = 1000; seed < 2500; ++seed) CheckAgainstReference(RandomCase(seed));
}

TEST_CASE("fast convolutions equal the reference: all small sizes of 1x1") {
  for (uint32_t positions = 1; positions <= 61; ++positions) {
    for (const uint32_t in_channels : {1u, 3u, 4u, 7u, 16u}) {
      for (const uint32_t out_channels : {1u, 15u, 16u, 17u, 31u, 32u, 33u, 48u}) {
        ConvCase c;
        c.width = positions;
        c.in_channels = in_channels;
        c.out_channels = out_channels;
        c.dst_zero_point = 128;
        c.seed = positions * 100 + out_channels;
        CheckAgainstReference(c);
      }
    }
  }
}

TEST_CASE("fast convolutions equal the reference: every width and level set") {
  for (int bits = 1; bits <= kMaxBits; ++bits) {
    for (const LevelSetKind kind :
         {LevelSetKind::kUniform, LevelSetKind::kTwoRegion, LevelSetKind::kTable}) {
      if (kind == LevelSetKind::kUniform ? bits < 2 : bits > kMaxTableBits) continue;
      if (kind == LevelSetKind::kTwoRegion && bits < 2) continue;
      for (const bool extreme : {false, true}) {
        ConvCase c;
        c.height = c.width = 6;
        c.in_channels = 37;
        c.out_channels = 45;
        c.window.kernel_h = c.window.kernel_w = 3;
        c.window.pad_top = c.window.pad_left = c.window.pad_bottom = c.window.pad_right = 1;
        c.level_set = kind;
        c.bits = bits;
        c.extreme = extreme;
        c.src_zero_point = 255;
        c.dst_zero_point = 7;
        CheckAgainstReference(c);
      }
    }
  }
}

TEST_CASE("fast convolutions equal the reference: many positions, several items a column") {
  for (const uint32_t size : {30u, 47u, 64u}) {
    for (const uint32_t out_channels : {8u, 24u, 64u}) {
      ConvCase c;
      c.height = size;
      c.width = size + 3;
      c.in_channels = 20;
      c.out_channels = out_channels;
      c.window.kernel_h = c.window.kernel_w = 3;
      c.window.pad_top = c.window.pad_left = c.window.pad_bottom = c.window.pad_right = 1;
      c.src_zero_point = 9;
      CheckAgainstReference(c);
    }
  }
}

TEST_CASE("fast convolutions equal the reference: residuals") {
  for (const uint32_t positions : {1u, 2u, 3u, 5u, 13u, 14u, 15u, 29u, 61u, 333u}) {
    for (const uint32_t out_channels : {1u, 4u, 15u, 16u, 17u, 31u, 32u, 33u, 48u, 64u, 80u}) {
      for (const bool extreme : {false, true}) {
        ConvCase c;
        c.width = positions;
        c.in_channels = out_channels % 2 == 0 ? 8 : 1156;  // in chunks
        c.out_channels = out_channels;
        c.dst_zero_point = 100;
        c.residual_multiplier = extreme ? kMaxResidualMultiplier : 14321;
        c.residual_zero_point = extreme ? 255 : 77;
        c.residual_slack = 8;
        c.extreme = extreme;
        c.seed = positions + out_channels;
        CheckAgainstReference(c);
      }
    }
  }
}

// Micro-kernels have shorter ways for the usual cases: no clamps, zero point 0, shifts in one
// direction.
TEST_CASE("fast convolutions equal the reference: without clamps") {
  constexpr std::pair<int, int> kPre[] = {{0, 6}, {-6, 0}, {-7, 2}, {-15, -10}};
  for (const auto& pre : kPre) {
    for (const uint32_t positions : {1u, 3u, 14u, 25u, 49u, 83u}) {
      for (const uint32_t out_channels : {16u, 40u, 65u}) {
        for (const bool extreme : {false, true}) {
          ConvCase c;
          c.width = positions;
          c.in_channels = positions == 49 ? 700 : 16;  // in chunks
          c.out_channels = out_channels;
          c.pre = pre;
          c.extreme = extreme;
          c.seed = positions + out_channels;
          CheckAgainstReference(c);
          c.dst_zero_point = 117;
          CheckAgainstReference(c);
          c.residual_multiplier = 9876;
          c.residual_zero_point = 99;
          CheckAgainstReference(c);
          c.dst_zero_point = 0;
          CheckAgainstReference(c);
        }
      }
    }
  }
}

TEST_CASE("fast convolutions equal the reference: dense layers, decoded in chunks") {
  for (const uint32_t in_channels : {380u, 384u, 388u, 1031u, 2048u}) {
    for (const uint32_t batch : {1u, 2u, 15u, 64u, 65u}) {
      for (const ElementType type : {ElementType::kU8, ElementType::kS16}) {
        ConvCase c;
        c.batch = batch;
        c.in_channels = in_channels;
        c.out_channels = 50;
        c.bits = 0;
        c.dst_type = type;
        c.seed = in_channels + batch;
        CheckAgainstReference(c);
        c.in_channels = in_channels / 8;  // a kernel as large as the input
        c.height = c.window.kernel_h = 4;
        c.width = c.window.kernel_w = 3;
        CheckAgainstReference(c);
      }
    }
  }
}

TEST_CASE("fast convolutions equal the reference: few positions, decoded in chunks of runs") {
  for (const uint32_t in_channels : {129u, 300u, 1156u}) {
    for (const bool extreme : {false, true}) {
      ConvCase c;
      c.height = c.width = 7;
      c.in_channels = in_channels;
      c.out_channels = 40;
      c.window.kernel_h = c.window.kernel_w = 3;
      c.window.pad_top = c.window.pad_left = c.window.pad_bottom = c.window.pad_right = 1;
      c.src_zero_point = 128;
      c.level_set = LevelSetKind::kTable;
      c.bits = 0;
      c.extreme = extreme;
      CheckAgainstReference(c);
    }
  }
}

TEST_CASE("fast convolutions equal the reference: stems on packed pixels") {
  for (const uint32_t channels : {1u, 2u, 3u, 4u, 5u}) {
    for (const uint32_t kernel : {1u, 3u, 4u, 7u, 11u}) {
      for (const uint32_t stride : {1u, 2u, 4u}) {
        ConvCase c;
        c.height = 13;
        c.width = 17;
        c.in_channels = channels;
        c.out_channels = 24;
        c.graph_input = true;
        c.window.kernel_h = c.window.kernel_w = kernel;
        c.window.stride_h = c.window.stride_w = stride;
        c.window.pad_top = c.window.pad_left = kernel / 2;
        c.window.pad_bottom = c.window.pad_right = kernel / 3;
        c.src_zero_point = 114;
        c.bits = 8;
        CheckAgainstReference(c);
      }
    }
  }
}

TEST_CASE("the registry takes the kernel of the chosen instruction set, and says why not others") {
  for (const Isa isa : SupportedIsas()) {
    const bool dot_product = isa == Isa::kAvxVnni || isa >= Isa::kAvx512Vnni;
    for (const int bits : {4, 8}) {
      ConvCase c;
      c.bits = bits;
      c.height = c.width = 4;  // fills tiles of AMX
      c.in_channels = 128;
      RandomConv conv(c);
      Step step = conv.step();
      ChooseKernel(step, isa);
      REQUIRE(step.kernel != nullptr);
      const std::string name(IsaName(isa));
      // 8-bit levels reach -128: two products leave 16 bits.
      const std::string way = bits == 8 && !dot_product ? "conv.gemm16." : "conv.gemm.";
      CHECK(step.kernel->name == (isa == Isa::kScalar ? "conv.ref" : way + name));
      size_t before = 0;
      while (KernelsFor(OpKind::kConv)[before] != step.kernel) ++before;
      CHECK(step.refusals.size() == before);
      for (const std::string& refusal : step.refusals) {
        CHECK(refusal.find(": ") + 2 < refusal.size());
      }
    }
  }
}

#if defined(__x86_64__)
// Wherever the tests run: nothing is computed.
TEST_CASE("AMX leaves layers that do not fill its tiles to others") {
  const auto refusal = [](const ConvCase& c) {
    RandomConv conv(c);
    for (const Kernel* kernel : KernelsFor(OpKind::kConv)) {
      if (kernel->isa == Isa::kAmx) return kernel->refuse(conv.step());
    }
    return std::string("no such kernel");
  };
  ConvCase c;
  c.height = c.width = 8;
  c.in_channels = 128;
  CHECK(refusal(c).empty());
  c.in_channels = 96;
  CHECK(refusal(c) == "96 values along k are fewer than 128");
  c.in_channels = 144;
  CHECK(refusal(c) == "runs of 144 values leave an eighth of tiles of 64 empty");
  c.in_channels = 256;
  c.height = 3;
  c.width = 5;
  CHECK(refusal(c) == "15 positions are fewer than 16");
  c.batch = 2;
  CHECK(refusal(c).empty());
  c.in_channels = 64;
  c.window.kernel_h = c.window.kernel_w = 3;
  c.height = c.width = 8;
  CHECK(refusal(c).empty());
}
#endif

}  // namespace mpq
