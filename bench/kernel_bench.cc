#include "bench/kernel_bench.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>

#include "engine/core/registry.h"

namespace mpq {

namespace {

// More than a core's L2.
constexpr size_t kWeightBytes = size_t{4} << 20;
constexpr size_t kMaxCopies = 64;
constexpr size_t kTail = 64;  // kernels may over-read

// One convolution layer with everything its step points to.
class Layer {
 public:
  Layer(const LayerShape& shape, int bits, Isa isa) {
    Tensor src;
    src.type = ElementType::kU8;
    src.height = src.width = shape.size;
    src.channels = shape.in_channels;
    Tensor dst = src;
    dst.channels = shape.out_channels;
    graph_.tensors = {src, src, dst};
    graph_.input = shape.in_channels == 3 ? 1 : 0;  // pixels come packed
    graph_.output = 2;
    Node node;
    if (shape.depthwise) {
      node.kind = OpKind::kDepthwiseConv;
      node.groups = shape.in_channels;
    }
    node.inputs = {1};
    node.output = 2;
    node.weights = 0;
    Window& window = node.window;
    window.kernel_h = window.kernel_w = shape.kernel;
    window.stride_h = window.stride_w = shape.stride;
    window.pad_top = window.pad_left = shape.kernel / 2;
    window.pad_bottom = window.pad_right = shape.kernel / 2;
    graph_.nodes = {node};
    MakeWeights(shape, bits);
    MakeStep(shape, bits, isa);
  }

  // Runs the layer with the next copy of the weights.
  void Run() {
    weights_.codes = copies_[next_copy_++ % copies_.size()];
    step_.kernel->run(step_, 0, items_, scratch_);
  }

  const Kernel& kernel() const { return *step_.kernel; }
  uint64_t macs() const {
    return NodeMacs(graph_, graph_.nodes[0],
                    {step_.dst.height, step_.dst.width, step_.dst.channels});
  }

 private:
  void MakeWeights(const LayerShape& shape, int bits) {
    Weights weights;
    weights.out_channels = shape.out_channels;
    weights.kernel_h = weights.kernel_w = shape.kernel;
    weights.in_channels = shape.depthwise ? 1 : shape.in_channels;
    if (bits == 1) {  // uniform levels start at two bits
      weights.level_set = LevelSetKind::kTable;
      weights.tables = std::vector<int8_t>{0, 1};
    }
    graph_.weights = {weights};
    step_.layout = MakeCodeLayout(graph_, graph_.nodes[0]);
    weights.block_bits = std::vector<uint8_t>(step_.layout.blocks(), static_cast<uint8_t>(bits));
    const size_t bytes = StreamBytes(step_.layout, weights.block_bits.span());
    const size_t copies = std::clamp(kWeightBytes / bytes, size_t{1}, kMaxCopies);
    for (size_t i = 0; i < copies; ++i) {
      std::vector<uint8_t> codes(bytes + kTail);
      for (uint8_t& byte : codes) byte = static_cast<uint8_t>(random_());
      copies_.emplace_back(std::move(codes));
    }
    const double reach = 255.0 * (1 << (bits - 1)) * step_.layout.quads();
    const ChannelParams params = {0, Requantizer::FromFactor(255.0 / reach).Pack()};
    weights.channels = std::vector<ChannelParams>(shape.out_channels, params);
    weights_ = weights;
  }

  void MakeStep(const LayerShape& shape, int bits, Isa isa) {
    const uint32_t out = WindowOutput(shape.size, shape.kernel, shape.stride, 1, shape.kernel / 2,
                                      shape.kernel / 2, /*ceil_mode=*/false);
    step_.graph = &graph_;
    step_.node = &graph_.nodes[0];
    step_.weights = &weights_;
    step_.src_tensors = {&graph_.tensors[1]};
    step_.dst_tensor = &graph_.tensors[2];
    step_.max_level = 1u << (bits - 1);
    TensorView src = {nullptr,           1,
                      shape.size,        shape.size,
                      shape.in_channels, ChannelStride(shape.in_channels, graph_.input == 1)};
    src_.resize(src.image_stride() + kTail);
    for (uint8_t& byte : src_) byte = static_cast<uint8_t>(random_());
    src.data = src_.data();
    TensorView dst = {
        nullptr, 1, out, out, shape.out_channels, ChannelStride(shape.out_channels, false)};
    dst_.resize(dst.image_stride() + kTail);
    dst.data = dst_.data();
    step_.src = {src};
    step_.dst = dst;
    ChooseKernel(step_, isa);
    items_ = step_.kernel->work_items(step_);
    scratch_memory_.resize(step_.kernel->scratch_bytes(step_) + kStreamAlignment);
    const auto address = reinterpret_cast<uintptr_t>(scratch_memory_.data());
    scratch_ =
        scratch_memory_.data() + (kStreamAlignment - address % kStreamAlignment) % kStreamAlignment;
  }

  std::mt19937 random_{1};
  Graph graph_;
  Weights weights_;
  std::vector<Buffer<uint8_t>> copies_;
  size_t next_copy_ = 0;
  std::vector<uint8_t> src_, dst_;
  Step step_;
  uint32_t items_ = 0;
  std::vector<std::byte> scratch_memory_;
  std::byte* scratch_ = nullptr;
};

}  // namespace

KernelBenchResult KernelBench(const LayerShape& shape, int bits, Isa isa, double seconds) {
  using Clock = std::chrono::steady_clock;
  Layer layer(shape, bits, isa);
  layer.Run();
  std::vector<double> times;
  const auto begin = Clock::now();
  auto now = begin;
  while (times.size() < 3 || std::chrono::duration<double>(now - begin).count() < seconds) {
    const auto start = Clock::now();
    layer.Run();
    now = Clock::now();
    times.push_back(std::chrono::duration<double, std::micro>(now - start).count());
  }
  std::sort(times.begin(), times.end());
  return {layer.kernel().name, layer.macs(), times.front(), times[times.size() / 2]};
}

}  // namespace mpq
