// Runs integer models: pixels to input codes, then the plan's steps, one parallel loop each.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

#include "engine/core/aligned_memory.h"
#include "engine/core/isa.h"
#include "engine/core/plan.h"
#include "engine/core/session_impl.h"
#include "engine/core/thread_pool.h"
#include "engine/kernels/input_codes.h"
#include "format/message.h"
#include "format/model_data.h"
#include "format/node_fields.h"
#include "format/rounding.h"

namespace mpq {

namespace {

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class IntegerSession final : public SessionImpl {
 public:
  static Result<std::unique_ptr<SessionImpl>> Create(const Model& model,
                                                     const SessionOptions& options) {
    std::unique_ptr<IntegerSession> session(new IntegerSession(model, options));
    MPQ_RETURN_IF_ERROR(session->Prepare());
    return std::unique_ptr<SessionImpl>(std::move(session));
  }

  Status Run(std::span<const uint8_t> pixels, uint32_t n) override {
    ConvertPixels(pixels);
    images_ = n;
    size_t chain = 0;
    for (const Stage& stage : std::span(plan_.stages).first(num_stages_)) {
      const auto start = std::chrono::steady_clock::now();
      if (stage.num_steps > 1) {
        RunChain(stage, chains_[chain++]);
      } else {
        RunStep(stage);
        if (options_.profile) infos_[stage.first_step].seconds = SecondsSince(start);
      }
    }
    ConvertLogits(n);
    return Status();
  }

  std::span<const float> logits() const override { return logits_; }
  std::span<const int16_t> integer_logits() const override { return integer_logits_; }

  Result<std::vector<int16_t>> ReadTensorCodes(uint32_t tensor) const override {
    if (!options_.keep_tensors || tensor >= plan_.views.size()) {
      return Error(ErrorCode::kInvalidArgument, "tensor ", tensor, " of ", plan_.views.size(),
                   " was not kept (SessionOptions::keep_tensors)");
    }
    std::vector<int16_t> codes;
    codes.reserve(images_ * plan_.views[tensor].image_stride());
    ForEachCode(tensor, images_, [&](int16_t code) { codes.push_back(code); });
    return codes;
  }

  Result<std::vector<float>> ReadTensor(uint32_t index) const override {
    MPQ_ASSIGN_OR_RETURN(const std::vector<int16_t> codes, ReadTensorCodes(index));
    std::vector<float> reals(codes.size());
    const Tensor& tensor = graph().tensors[index];
    for (size_t i = 0; i < codes.size(); ++i) reals[i] = RealOf(tensor, codes[i]);
    return reals;
  }

  MemoryPlan memory_plan() const override {
    return {plan_.arena_bytes, plan_.arena_lower_bound, scratch_stride_, options_.threads};
  }
  std::string isa() const override { return std::string(IsaName(isa_)); }
  const std::vector<StepInfo>& steps() const override { return infos_; }

 private:
  IntegerSession(const Model& model, const SessionOptions& options)
      : model_(model), options_(options) {}

  const Graph& graph() const { return model_.data().graph; }

  Status Prepare() {
    MPQ_ASSIGN_OR_RETURN(isa_, options_.isa.empty() ? DefaultIsa() : ParseIsa(options_.isa));
    const PlanOptions plan_options{options_.batch, options_.height,
                                   options_.width, options_.threads,
                                   isa_,           options_.keep_tensors};
    MPQ_ASSIGN_OR_RETURN(plan_, MakePlan(graph(), plan_options));
    scratch_stride_ = RoundUp(plan_.scratch_bytes, AlignedMemory::kAlignment);
    MPQ_RETURN_IF_ERROR(CheckMemoryLimit(memory_plan().total(), options_.memory_limit));
    MPQ_ASSIGN_OR_RETURN(arena_, AlignedMemory::Allocate(plan_.arena_bytes));
    MPQ_ASSIGN_OR_RETURN(scratch_, AlignedMemory::Allocate(scratch_stride_ * options_.threads));
    plan_.Bind(arena_.data());
    input_codes_.emplace(model_.data().preprocessing, graph().tensors[graph().input].scale, isa_);
    const size_t num_logits = size_t{options_.batch} * model_.num_classes();
    logits_.resize(num_logits);
    integer_logits_.resize(num_logits);
    for (const Stage& stage : plan_.stages) {
      if (stage.num_steps == 1) continue;
      chains_.emplace_back(options_.threads, StripeRunner(plan_.StepsOf(stage), stage.stripes));
    }
    DescribeSteps();
    MPQ_RETURN_IF_ERROR(FindLastStage());
    return pool_.Start(options_.threads);
  }

  // By nodes, not by what steps write: a Concat whose operands lie in it already has no step.
  Status FindLastStage() {
    num_stages_ = plan_.stages.size();
    if (!options_.keep_tensors || options_.wanted_tensors.empty()) return Status();
    const std::vector<Node>& nodes = graph().nodes;
    const Node* end = nodes.data();
    for (const uint32_t tensor : options_.wanted_tensors) {
      if (tensor >= plan_.views.size()) {
        return Error(ErrorCode::kInvalidArgument, "wanted tensor ", tensor, " of ",
                     plan_.views.size());
      }
      for (const Node& node : nodes) {
        if (node.output == tensor) end = std::max(end, &node + 1);
      }
    }
    num_stages_ = 0;
    while (num_stages_ < plan_.stages.size() &&
           plan_.steps[plan_.stages[num_stages_].first_step].node < end) {
      ++num_stages_;
    }
    return Status();
  }

  void DescribeSteps() {
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      const Step& step = plan_.steps[i];
      StepInfo info;
      info.node = step.node->name;
      info.op = OperatorName(*step.node);
      info.kernel = step.kernel->name;
      info.refusals = step.refusals;
      info.macs = plan_.macs[i];
      infos_.push_back(std::move(info));
    }
    for (const Stage& stage : plan_.stages) {
      for (uint32_t i = 0; stage.num_steps > 1 && i < stage.num_steps; ++i) {
        infos_[stage.first_step + i].fused = Message("step ", i + 1, " of ", stage.num_steps,
                                                     ", stripes of ", stage.stripes.rows, " rows");
      }
    }
  }

  // `pixels` may hold fewer images than the batch; the rest of the input keeps older codes.
  void ConvertPixels(std::span<const uint8_t> pixels) {
    struct Context {
      const InputCodes* input_codes;
      const uint8_t* pixels;
      uint8_t* codes;
      size_t row_pixels;
    };
    const TensorView& input = plan_.views[graph().input];
    Context context{&*input_codes_, pixels.data(), input.mutable_u8(), input.width};
    const auto loop = [](void* opaque, uint32_t first, uint32_t last, uint32_t) {
      const Context& c = *static_cast<const Context*>(opaque);
      const size_t start = first * c.row_pixels;
      c.input_codes->Convert(c.pixels + start * 3, last * c.row_pixels - start,
                             c.codes + start * 3);
    };
    const size_t rows = pixels.size() / (size_t{input.width} * 3);
    pool_.Run(static_cast<uint32_t>(rows), loop, &context);
  }

  void RunStep(const Stage& stage) {
    struct Context {
      const Stage* stage;
      const Step* step;
      std::byte* scratch;
      size_t scratch_stride;
    };
    Context context{&stage, &plan_.steps[stage.first_step], scratch_.data(), scratch_stride_};
    const auto loop = [](void* opaque, uint32_t first, uint32_t last, uint32_t thread) {
      const Context& c = *static_cast<const Context*>(opaque);
      std::byte* scratch = c.scratch == nullptr ? nullptr : c.scratch + thread * c.scratch_stride;
      for (uint32_t column = 0; column < c.stage->columns; ++column) {
        const uint32_t start = column * c.stage->work_items;
        c.step->kernel->run(*c.step, start + first, start + last, scratch);
      }
    };
    pool_.Run(stage.work_items, loop, &context);
  }

  // The times are those of the first thread: all have equal shares.
  void RunChain(const Stage& stage, std::vector<StripeRunner>& runners) {
    struct Context {
      std::vector<StripeRunner>* runners;
      std::byte* scratch;
      size_t scratch_stride;
      double* seconds;
    };
    std::fill_n(chain_seconds_, stage.num_steps, 0.0);
    Context context{&runners, scratch_.data(), scratch_stride_,
                    options_.profile ? chain_seconds_ : nullptr};
    const auto loop = [](void* opaque, uint32_t first, uint32_t last, uint32_t thread) {
      const Context& c = *static_cast<const Context*>(opaque);
      (*c.runners)[thread].Run(first, last, c.scratch + thread * c.scratch_stride,
                               thread == 0 ? c.seconds : nullptr);
    };
    pool_.Run(runners[0].work_items(), loop, &context);
    for (uint32_t i = 0; i < stage.num_steps; ++i) {
      infos_[stage.first_step + i].seconds = chain_seconds_[i];
    }
  }

  static float RealOf(const Tensor& tensor, int16_t code) {
    const int32_t steps = tensor.type == ElementType::kU8 ? code - tensor.zero_point : code;
    return tensor.scale * static_cast<float>(steps);
  }

  // Calls f(code) for every value of the first n images of a tensor, in packed order.
  template <typename F>
  void ForEachCode(uint32_t tensor, uint32_t n, F f) const {
    const TensorView& view = plan_.views[tensor];
    const bool wide = graph().tensors[tensor].type == ElementType::kS16;
    for (size_t pixel = 0; pixel < size_t{n} * view.height * view.width; ++pixel) {
      for (size_t c = 0; c < view.channels; ++c) {
        const size_t at = pixel * view.pixel_stride + c;
        f(wide ? view.mutable_s16()[at] : int16_t{view.u8()[at]});
      }
    }
  }

  void ConvertLogits(uint32_t n) {
    const Tensor& tensor = graph().tensors[graph().output];
    size_t i = 0;
    ForEachCode(graph().output, n, [&](int16_t code) {
      integer_logits_[i] = code;
      logits_[i] = RealOf(tensor, code);
      ++i;
    });
  }

  const Model model_;  // shares the contents
  const SessionOptions options_;
  Isa isa_ = Isa::kScalar;
  std::optional<InputCodes> input_codes_;
  Plan plan_;
  size_t num_stages_ = 0;  // that runs go through
  size_t scratch_stride_ = 0;
  AlignedMemory arena_;
  AlignedMemory scratch_;
  std::vector<float> logits_;
  std::vector<int16_t> integer_logits_;
  std::vector<StepInfo> infos_;
  std::vector<std::vector<StripeRunner>> chains_;  // of each chain, one per thread
  double chain_seconds_[kMaxChainSteps] = {};
  uint32_t images_ = 0;
  ThreadPool pool_;  // last: its threads end before what they use
};

}  // namespace

Result<std::unique_ptr<SessionImpl>> MakeIntegerSession(const Model& model,
                                                        const SessionOptions& options) {
  return IntegerSession::Create(model, options);
}

}  // namespace mpq
