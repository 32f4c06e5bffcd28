#include "engine/onednn/executor.h"

#include <algorithm>
#include <limits>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/core/aligned_memory.h"
#include "engine/onednn/dnnl_errors.h"
#include "engine/onednn/single_thread.h"
#include "engine/onednn/tensor_storage.h"
#include "engine/ref/float_ops.h"

namespace mpq::onednn {

namespace {

using dnnl::memory;

constexpr memory::data_type kF32 = memory::data_type::f32;

memory::dims Dims(uint32_t a, uint32_t b) {
  return {static_cast<memory::dim>(a), static_cast<memory::dim>(b)};
}

// The operator's fused clip as a post-operation, if it has one.
void AppendClip(const Node& node, dnnl::post_ops& ops) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kMax = std::numeric_limits<float>::max();
  if (node.clip_lo == -kInfinity && node.clip_hi == kInfinity) return;
  if (node.clip_lo == 0 && node.clip_hi == kInfinity) {
    ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
  } else {
    ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_clip, std::max(node.clip_lo, -kMax),
                       std::min(node.clip_hi, kMax));
  }
}

// The scratchpad is ours: oneDNN's own belongs to the thread that creates the primitive.
dnnl::primitive_attr Attributes(const dnnl::post_ops& ops) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attr.set_post_ops(ops);
  return attr;
}

// End padding that makes oneDNN's rounding down give `out`, which ceil_mode may have rounded up.
uint32_t EndPadding(uint32_t in, uint32_t out, uint32_t kernel, uint32_t stride, uint32_t pad_begin,
                    uint32_t pad_end) {
  const int64_t needed = int64_t{out - 1} * stride + kernel - in - pad_begin;
  return static_cast<uint32_t>(std::max<int64_t>(needed, pad_end));
}

class Executor final : public FloatExecutor {
 public:
  Executor(const Graph& graph, const FloatExecutorOptions& options, std::vector<Shape> shapes)
      : graph_(graph),
        options_(options),
        shapes_(std::move(shapes)),
        storage_(graph, shapes_, options.batch, options.keep_tensors),
        engine_(dnnl::engine::kind::cpu, 0),
        stream_(engine_) {}

  Status Prepare() {
    const SingleThread single_thread;
    MPQ_ASSIGN_OR_RETURN(arena_, AlignedMemory::Allocate(storage_.arena_bytes()));
    for (uint32_t i = 0; i < graph_.nodes.size(); ++i) {
      if (!storage_.is_fused(i)) AddStep(i);
    }
    MPQ_ASSIGN_OR_RETURN(scratch_, AlignedMemory::Allocate(scratch_bytes_));
    for (Step& step : steps_) {
      if (step.primitive) {
        step.arguments.insert(
            {DNNL_ARG_SCRATCHPAD, memory(step.scratch, engine_, scratch_.data())});
      }
    }
    return Status();
  }

  Status Run(std::span<const float> src) override {
    const ref::FloatView input = View(graph_.input);
    if (src.size() != input.num_values()) {
      return Error(ErrorCode::kInvalidArgument, "input of ", src.size(), " values, expected ",
                   input.num_values());
    }
    return CatchDnnlErrors("float inference", [&] {
      const SingleThread single_thread;
      std::copy(src.begin(), src.end(), input.data);
      for (const Step& step : steps_) {
        if (step.primitive) {
          step.primitive.execute(stream_, step.arguments);
        } else {
          ref::RunFloatNode(graph_, *step.node, step.src, step.dst);
        }
      }
      stream_.wait();
      return Status();
    });
  }

  Result<std::span<const float>> Read(uint32_t tensor) override {
    if (tensor >= shapes_.size() || (tensor != graph_.output && !options_.keep_tensors)) {
      return Error(ErrorCode::kInvalidArgument, "tensor ", tensor, " of ", shapes_.size(),
                   " was not kept");
    }
    const ref::FloatView view = View(tensor);
    return std::span<const float>(view.data, view.num_values());
  }

 private:
  // One primitive of oneDNN, or a node for the reference.
  struct Step {
    dnnl::primitive primitive;
    std::unordered_map<int, memory> arguments;
    memory::desc scratch;

    const Node* node = nullptr;
    std::vector<ref::FloatView> src;
    ref::FloatView dst;
  };

  ref::FloatView View(uint32_t tensor) const {
    auto* data = reinterpret_cast<float*>(arena_.data() + storage_.offset(tensor));
    return {data, options_.batch, shapes_[tensor]};
  }

  memory::desc Desc(uint32_t tensor) const {
    const Shape& shape = shapes_[tensor];
    return memory::desc({options_.batch, shape.channels, shape.height, shape.width}, kF32,
                        memory::format_tag::nhwc);
  }

  memory Memory(uint32_t tensor) const { return memory(Desc(tensor), engine_, View(tensor).data); }

  // oneDNN reads weights through pointers to non-const.
  memory ConstMemory(const memory::desc& desc, const Buffer<float>& values) const {
    return memory(desc, engine_, const_cast<float*>(values.data()));
  }

  void AddStep(uint32_t index) {
    const Node& node = graph_.nodes[index];
    try {
      if (AddPrimitive(index, node)) return;
    } catch (const dnnl::error& error) {
      // oneDNN has no kernel for these attributes (padding wider than a window, say).
      if (error.status != dnnl_unimplemented && error.status != dnnl_invalid_arguments) throw;
    }
    Step step;
    step.node = &node;
    for (const uint32_t tensor : node.inputs) step.src.push_back(View(tensor));
    step.dst = View(node.output);
    steps_.push_back(std::move(step));
  }

  // False where the reference is as good.
  bool AddPrimitive(uint32_t index, const Node& node) {
    switch (node.kind) {
      case OpKind::kConv:
      case OpKind::kDepthwiseConv:
        AddConv(node, storage_.fused_add(index));
        return true;
      case OpKind::kMaxPool:
        return AddPool(node, dnnl::algorithm::pooling_max);
      case OpKind::kAvgPool:
        return AddPool(node, node.count_include_pad ? dnnl::algorithm::pooling_avg_include_padding
                                                    : dnnl::algorithm::pooling_avg_exclude_padding);
      case OpKind::kGlobalAvgPool: {
        Node pool = node;
        pool.window = Window{.kernel_h = shapes_[node.inputs[0]].height,
                             .kernel_w = shapes_[node.inputs[0]].width};
        return AddPool(pool, dnnl::algorithm::pooling_avg_exclude_padding);
      }
      case OpKind::kAdd:
        AddAdd(node);
        return true;
      case OpKind::kConcat:
      case OpKind::kClip:
      case OpKind::kSlicePad:
        return false;
    }
    return false;
  }

  template <typename PrimitiveDesc>
  void Append(const PrimitiveDesc& desc, std::unordered_map<int, memory> arguments) {
    Step step;
    step.primitive = dnnl::primitive(desc);
    step.arguments = std::move(arguments);
    step.scratch = desc.scratchpad_desc();
    scratch_bytes_ = std::max(scratch_bytes_, step.scratch.get_size());
    steps_.push_back(std::move(step));
  }

  void AddConv(const Node& node, uint32_t fused_add) {
    const Weights& weights = graph_.weights[node.weights];
    const Window& w = node.window;
    const uint32_t groups = shapes_[node.inputs[0]].channels / weights.in_channels;
    const memory::dims wei_dims = {groups, weights.out_channels / groups, weights.in_channels,
                                   weights.kernel_h, weights.kernel_w};
    const memory::dims plain_dims(wei_dims.begin() + 1, wei_dims.end());
    const bool grouped = groups > 1;
    const memory::desc any_wei(grouped ? wei_dims : plain_dims, kF32, memory::format_tag::any);
    const memory::desc ohwi_wei(grouped ? wei_dims : plain_dims, kF32,
                                grouped ? memory::format_tag::gohwi : memory::format_tag::ohwi);
    const memory::desc bias({weights.out_channels}, kF32, memory::format_tag::x);

    dnnl::post_ops ops;
    AppendClip(node, ops);
    if (fused_add != kNone) {
      ops.append_sum();
      AppendClip(graph_.nodes[fused_add], ops);
    }
    const uint32_t dst = fused_add == kNone ? node.output : graph_.nodes[fused_add].output;
    const dnnl::convolution_forward::desc desc(
        dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
        Desc(node.inputs[0]), any_wei, weights.bias.empty() ? memory::desc() : bias, Desc(dst),
        Dims(w.stride_h, w.stride_w), Dims(w.dilation_h - 1, w.dilation_w - 1),
        Dims(w.pad_top, w.pad_left), Dims(w.pad_bottom, w.pad_right));
    const dnnl::convolution_forward::primitive_desc primitive(desc, Attributes(ops), engine_);

    std::unordered_map<int, memory> arguments = {
        {DNNL_ARG_SRC, Memory(node.inputs[0])},
        {DNNL_ARG_WEIGHTS,
         Reordered(ConstMemory(ohwi_wei, weights.values), primitive.weights_desc())},
        {DNNL_ARG_DST, Memory(dst)}};
    if (!weights.bias.empty()) {
      arguments.insert({DNNL_ARG_BIAS, ConstMemory(bias, weights.bias)});
    }
    Append(primitive, std::move(arguments));
  }

  memory Reordered(memory from, const memory::desc& to_desc) {
    if (from.get_desc() == to_desc) return from;
    memory to(to_desc, engine_);
    dnnl::reorder(from, to).execute(stream_, from, to);
    stream_.wait();
    return to;
  }

  // False if the reference must do it: dilation, windows that stick out of the padding (oneDNN
  // would count what lies there).
  bool AddPool(const Node& node, dnnl::algorithm algorithm) {
    const Window& w = node.window;
    const Shape& in = shapes_[node.inputs[0]];
    const Shape& out = shapes_[node.output];
    if (w.dilation_h != 1 || w.dilation_w != 1) return false;
    const uint32_t pad_bottom =
        EndPadding(in.height, out.height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom);
    const uint32_t pad_right =
        EndPadding(in.width, out.width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right);
    const bool sticks_out = pad_bottom > w.pad_bottom || pad_right > w.pad_right;
    if (sticks_out && algorithm == dnnl::algorithm::pooling_avg_include_padding) return false;

    dnnl::post_ops ops;
    AppendClip(node, ops);
    const dnnl::pooling_forward::desc desc(
        dnnl::prop_kind::forward_inference, algorithm, Desc(node.inputs[0]), Desc(node.output),
        Dims(w.stride_h, w.stride_w), Dims(w.kernel_h, w.kernel_w), Dims(w.pad_top, w.pad_left),
        Dims(pad_bottom, pad_right));
    Append(dnnl::pooling_forward::primitive_desc(desc, Attributes(ops), engine_),
           {{DNNL_ARG_SRC, Memory(node.inputs[0])}, {DNNL_ARG_DST, Memory(node.output)}});
    return true;
  }

  void AddAdd(const Node& node) {
    dnnl::post_ops ops;
    AppendClip(node, ops);
    const dnnl::binary::desc desc(dnnl::algorithm::binary_add, Desc(node.inputs[0]),
                                  Desc(node.inputs[1]), Desc(node.output));
    Append(dnnl::binary::primitive_desc(desc, Attributes(ops), engine_),
           {{DNNL_ARG_SRC_0, Memory(node.inputs[0])},
            {DNNL_ARG_SRC_1, Memory(node.inputs[1])},
            {DNNL_ARG_DST, Memory(node.output)}});
  }

  const Graph& graph_;
  const FloatExecutorOptions options_;
  const std::vector<Shape> shapes_;
  const TensorStorage storage_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  AlignedMemory arena_, scratch_;
  size_t scratch_bytes_ = 0;
  std::vector<Step> steps_;
};

}  // namespace

Result<std::unique_ptr<FloatExecutor>> MakeExecutor(const Graph& graph,
                                                    const FloatExecutorOptions& options) {
  return CatchDnnlErrors("float executor", [&]() -> Result<std::unique_ptr<FloatExecutor>> {
    MPQ_ASSIGN_OR_RETURN(std::vector<Shape> shapes, ref::FloatShapes(graph, options));
    auto executor = std::make_unique<Executor>(graph, options, std::move(shapes));
    MPQ_RETURN_IF_ERROR(executor->Prepare());
    return std::unique_ptr<FloatExecutor>(std::move(executor));
  });
}

}  // namespace mpq::onednn
