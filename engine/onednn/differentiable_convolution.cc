#include "engine/onednn/differentiable_convolution.h"

#include <algorithm>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "engine/onednn/dnnl_errors.h"
#include "engine/onednn/single_thread.h"

namespace mpq::onednn {

namespace {

using dnnl::memory;
using Tag = memory::format_tag;

constexpr auto kF32 = memory::data_type::f32;
constexpr auto kDirect = dnnl::algorithm::convolution_direct;
constexpr size_t kAlignment = 64;

size_t AlignUp(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

memory::desc ImageDesc(uint32_t batch, const Shape& shape) {
  return memory::desc({batch, shape.channels, shape.height, shape.width}, kF32, Tag::nhwc);
}

memory::desc WeightDesc(const ConvolutionShape& s, Tag plain, Tag grouped) {
  const uint32_t in = s.src.channels / s.groups;
  const uint32_t kh = s.window.kernel_h;
  const uint32_t kw = s.window.kernel_w;
  if (s.groups == 1) return memory::desc({s.dst.channels, in, kh, kw}, kF32, plain);
  return memory::desc({s.groups, s.dst.channels / s.groups, in, kh, kw}, kF32, grouped);
}

// The scratchpad is ours: oneDNN's own belongs to the thread that creates the primitive.
dnnl::primitive_attr UserScratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

// The three primitives of a convolution: forward, gradient of the input, gradient of the weights.
struct Descriptions {
  Descriptions(const ConvolutionShape& s, const dnnl::engine& engine) {
    const Window& w = s.window;
    const memory::dims strides = {w.stride_h, w.stride_w};
    const memory::dims dilations = {w.dilation_h - 1, w.dilation_w - 1};
    const memory::dims begin = {w.pad_top, w.pad_left};
    const memory::dims end = {w.pad_bottom, w.pad_right};
    const memory::desc any = WeightDesc(s, Tag::any, Tag::any);
    const memory::desc src = ImageDesc(s.batch, s.src);
    const memory::desc dst = ImageDesc(s.batch, s.dst);
    const memory::desc bias({s.dst.channels}, kF32, Tag::x);
    const dnnl::primitive_attr attr = UserScratchpad();
    forward = {{dnnl::prop_kind::forward_training, kDirect, src, any, bias, dst, strides, dilations,
                begin, end},
               attr,
               engine};
    d_src = {{kDirect, src, any, dst, strides, dilations, begin, end}, attr, engine, forward};
    d_weights = {
        {kDirect, src, any, bias, dst, strides, dilations, begin, end}, attr, engine, forward};
  }

  dnnl::convolution_forward::primitive_desc forward;
  dnnl::convolution_backward_data::primitive_desc d_src;
  dnnl::convolution_backward_weights::primitive_desc d_weights;
};

class Convolution final : public DifferentiableConvolution {
 public:
  explicit Convolution(const ConvolutionShape& shape)
      : engine_(dnnl::engine::kind::cpu, 0),
        descriptions_(shape, engine_),
        ohwi_(WeightDesc(shape, Tag::ohwi, Tag::gohwi)),
        forward_(descriptions_.forward),
        d_src_(descriptions_.d_src),
        d_weights_(descriptions_.d_weights),
        weights_(descriptions_.forward.weights_desc(), engine_),
        bias_(descriptions_.forward.bias_desc(), engine_),
        shares_weights_(descriptions_.forward.weights_desc() == descriptions_.d_src.weights_desc()),
        transposed_(shares_weights_ ? weights_
                                    : memory(descriptions_.d_src.weights_desc(), engine_)),
        packed_gradient_(descriptions_.d_weights.diff_weights_desc()),
        unpack_description_(engine_, packed_gradient_, engine_, ohwi_, UserScratchpad()),
        unpack_(unpack_description_) {}

  size_t scratch_bytes() const override {
    return AlignUp(packed_gradient_.get_size()) +
           std::max({descriptions_.forward.scratchpad_desc().get_size(),
                     descriptions_.d_src.scratchpad_desc().get_size(),
                     descriptions_.d_weights.scratchpad_desc().get_size(),
                     unpack_description_.scratchpad_desc().get_size()});
  }

  size_t weight_bytes() const override {
    return weights_.get_desc().get_size() +
           (shares_weights_ ? 0 : transposed_.get_desc().get_size());
  }

  Status SetWeights(const float* weights, const float* bias) override {
    return CatchDnnlErrors("convolution weights", [&] {
      const SingleThread single_thread;
      dnnl::stream stream(engine_);
      memory plain = ConstMemory(ohwi_, weights);
      dnnl::reorder(plain, weights_).execute(stream, plain, weights_);
      if (!shares_weights_) dnnl::reorder(plain, transposed_).execute(stream, plain, transposed_);
      stream.wait();
      std::copy_n(bias, bias_.get_desc().dims()[0], static_cast<float*>(bias_.get_data_handle()));
      return Status();
    });
  }

  Status Forward(const float* src, float* dst, void* scratch) const override {
    return CatchDnnlErrors("convolution", [&] {
      const SingleThread single_thread;
      Execute(forward_, {{DNNL_ARG_SRC, ConstMemory(descriptions_.forward.src_desc(), src)},
                         {DNNL_ARG_WEIGHTS, weights_},
                         {DNNL_ARG_BIAS, bias_},
                         {DNNL_ARG_DST, memory(descriptions_.forward.dst_desc(), engine_, dst)},
                         {DNNL_ARG_SCRATCHPAD,
                          memory(descriptions_.forward.scratchpad_desc(), engine_, scratch)}});
      return Status();
    });
  }

  Status Backward(const float* src, const float* d_dst, float* d_src, float* d_weights,
                  float* d_bias, void* scratch) const override {
    return CatchDnnlErrors("gradient of a convolution", [&] {
      const SingleThread single_thread;
      std::byte* rest = static_cast<std::byte*>(scratch) + AlignUp(packed_gradient_.get_size());
      const memory dst = ConstMemory(descriptions_.forward.dst_desc(), d_dst);
      if (d_src != nullptr) {
        Execute(
            d_src_,
            {{DNNL_ARG_DIFF_DST, dst},
             {DNNL_ARG_WEIGHTS, transposed_},
             {DNNL_ARG_DIFF_SRC, memory(descriptions_.d_src.diff_src_desc(), engine_, d_src)},
             {DNNL_ARG_SCRATCHPAD, memory(descriptions_.d_src.scratchpad_desc(), engine_, rest)}});
      }
      const memory packed(packed_gradient_, engine_, scratch);
      Execute(d_weights_, {{DNNL_ARG_SRC, ConstMemory(descriptions_.d_weights.src_desc(), src)},
                           {DNNL_ARG_DIFF_DST, dst},
                           {DNNL_ARG_DIFF_WEIGHTS, packed},
                           {DNNL_ARG_DIFF_BIAS,
                            memory(descriptions_.d_weights.diff_bias_desc(), engine_, d_bias)},
                           {DNNL_ARG_SCRATCHPAD,
                            memory(descriptions_.d_weights.scratchpad_desc(), engine_, rest)}});
      Execute(unpack_, {{DNNL_ARG_FROM, packed},
                        {DNNL_ARG_TO, memory(ohwi_, engine_, d_weights)},
                        {DNNL_ARG_SCRATCHPAD,
                         memory(unpack_description_.scratchpad_desc(), engine_, rest)}});
      return Status();
    });
  }

 private:
  // oneDNN reads through pointers to non-const.
  memory ConstMemory(const memory::desc& desc, const float* values) const {
    return memory(desc, engine_, const_cast<float*>(values));
  }

  void Execute(const dnnl::primitive& primitive,
               const std::unordered_map<int, memory>& arguments) const {
    dnnl::stream stream(engine_);
    primitive.execute(stream, arguments);
    stream.wait();
  }

  dnnl::engine engine_;
  const Descriptions descriptions_;
  const memory::desc ohwi_;
  const dnnl::convolution_forward forward_;
  const dnnl::convolution_backward_data d_src_;
  const dnnl::convolution_backward_weights d_weights_;
  memory weights_, bias_;
  const bool shares_weights_;
  memory transposed_;  // the weights as the gradient of the input reads them
  const memory::desc packed_gradient_;
  const dnnl::reorder::primitive_desc unpack_description_;
  const dnnl::reorder unpack_;
};

}  // namespace

Result<std::unique_ptr<DifferentiableConvolution>> MakeConvolution(const ConvolutionShape& shape) {
  using Pointer = std::unique_ptr<DifferentiableConvolution>;
  return CatchDnnlErrors("differentiable convolution", [&]() -> Result<Pointer> {
    const SingleThread single_thread;
    return Pointer(std::make_unique<Convolution>(shape));
  });
}

}  // namespace mpq::onednn
