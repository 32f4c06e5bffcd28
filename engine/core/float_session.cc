// Runs float models: the batch is split into one part per thread, each with an executor of its own,
// so results do not depend on the number of threads' timing, only on the parts' fixed size.
#include <algorithm>
#include <utility>

#include "engine/core/float_executor.h"
#include "engine/core/no_throw.h"
#include "engine/core/plan.h"
#include "engine/core/session_impl.h"
#include "engine/core/thread_pool.h"
#include "format/message.h"
#include "format/model_data.h"
#include "format/shape.h"

namespace mpq {

namespace {

class FloatSession final : public SessionImpl {
 public:
  static Result<std::unique_ptr<SessionImpl>> Create(const Model& model,
                                                     const SessionOptions& options) {
    std::unique_ptr<FloatSession> session(new FloatSession(model, options));
    MPQ_RETURN_IF_ERROR(session->Prepare());
    return std::unique_ptr<SessionImpl>(std::move(session));
  }

  Status Run(std::span<const uint8_t> pixels, uint32_t n) override {
    images_ = n;
    struct Context {
      FloatSession* session;
      std::span<const uint8_t> pixels;
    };
    Context context{this, pixels};
    const auto loop = [](void* opaque, uint32_t first, uint32_t last, uint32_t) {
      const Context& c = *static_cast<const Context*>(opaque);
      for (uint32_t part = first; part < last; ++part) {
        c.session->parts_[part].status =
            WithoutThrowing("float inference", [&] { return c.session->RunPart(part, c.pixels); });
      }
    };
    const uint32_t parts = (n + images_per_part_ - 1) / images_per_part_;
    pool_.Run(parts, loop, &context);
    for (uint32_t part = 0; part < parts; ++part) MPQ_RETURN_IF_ERROR(parts_[part].status);
    return Status();
  }

  std::span<const float> logits() const override { return logits_; }
  std::span<const int16_t> integer_logits() const override { return {}; }

  Result<std::vector<float>> ReadTensor(uint32_t tensor) const override {
    if (!options_.keep_tensors || tensor >= shapes_.size()) {
      return Error(ErrorCode::kInvalidArgument, "tensor ", tensor, " of ", shapes_.size(),
                   " was not kept (SessionOptions::keep_tensors)");
    }
    std::vector<float> values;
    const size_t total = images_ * shapes_[tensor].num_values();
    for (const Part& part : parts_) {
      if (values.size() >= total) break;
      MPQ_ASSIGN_OR_RETURN(const std::span<const float> read, part.executor->Read(tensor));
      const size_t count = std::min(read.size(), total - values.size());
      values.insert(values.end(), read.begin(), read.begin() + static_cast<ptrdiff_t>(count));
    }
    return values;
  }

  Result<std::vector<int16_t>> ReadTensorCodes(uint32_t) const override {
    return Error(ErrorCode::kInvalidArgument, "a float model has no codes");
  }

  // oneDNN's own memory is not in it.
  MemoryPlan memory_plan() const override { return {memory_bytes_, memory_bytes_, 0, 1}; }
  std::string isa() const override { return FloatBackendDescription(); }
  const std::vector<StepInfo>& steps() const override { return infos_; }

 private:
  struct Part {
    std::unique_ptr<FloatExecutor> executor;
    std::vector<float> src;
    Status status;
  };

  FloatSession(const Model& model, const SessionOptions& options)
      : model_(model), options_(options) {}

  const Graph& graph() const { return model_.data().graph; }

  Status Prepare() {
    MPQ_ASSIGN_OR_RETURN(shapes_, InferShapesToLogits(graph(), options_.height, options_.width));
    for (const Shape& shape : shapes_) memory_bytes_ += shape.num_values() * 4 * options_.batch;
    MPQ_RETURN_IF_ERROR(CheckMemoryLimit(memory_bytes_, options_.memory_limit));
    const uint32_t num_parts = std::min(options_.threads, options_.batch);
    images_per_part_ = (options_.batch + num_parts - 1) / num_parts;
    image_values_ = shapes_[graph().input].num_values();
    logits_.resize(size_t{options_.batch} * model_.num_classes());
    parts_.resize(num_parts);
    for (Part& part : parts_) {
      const FloatExecutorOptions executor_options{images_per_part_, options_.height, options_.width,
                                                  options_.keep_tensors};
      MPQ_ASSIGN_OR_RETURN(part.executor, MakeFloatExecutor(graph(), executor_options));
      part.src.resize(images_per_part_ * image_values_);
    }
    DescribeSteps();
    return pool_.Start(num_parts);
  }

  void DescribeSteps() {
    for (const Node& node : graph().nodes) {
      StepInfo info;
      info.node = node.name;
      info.op = OpKindName(node.kind);
      info.kernel = FloatBackendDescription();
      info.macs = NodeMacs(graph(), node, shapes_[node.output]);
      infos_.push_back(std::move(info));
    }
  }

  // The part's images of `pixels`; a part that is not full computes what is left from before.
  Status RunPart(uint32_t index, std::span<const uint8_t> pixels) {
    Part& part = parts_[index];
    const size_t first = size_t{index} * images_per_part_ * image_values_;
    const size_t count = std::min(part.src.size(), pixels.size() - first);
    Normalize(pixels.subspan(first, count), part.src.data());
    MPQ_RETURN_IF_ERROR(part.executor->Run(part.src));
    MPQ_ASSIGN_OR_RETURN(const std::span<const float> read, part.executor->Read(graph().output));
    const size_t at = size_t{index} * images_per_part_ * model_.num_classes();
    const size_t num_logits = std::min(read.size(), logits_.size() - at);
    std::copy_n(read.begin(), num_logits, logits_.begin() + static_cast<ptrdiff_t>(at));
    return Status();
  }

  void Normalize(std::span<const uint8_t> pixels, float* src) const {
    const Preprocessing& p = model_.data().preprocessing;
    for (size_t i = 0; i + 2 < pixels.size(); i += 3) {
      for (size_t c = 0; c < 3; ++c) {
        const float value = pixels[i + (p.bgr ? 2 - c : c)];
        src[i + c] = (value - p.mean[c]) / p.std[c];
      }
    }
  }

  const Model model_;  // shares the contents
  const SessionOptions options_;
  std::vector<Shape> shapes_;
  uint64_t memory_bytes_ = 0;
  uint32_t images_per_part_ = 1;
  size_t image_values_ = 0;
  std::vector<Part> parts_;
  std::vector<float> logits_;
  std::vector<StepInfo> infos_;
  uint32_t images_ = 0;
  ThreadPool pool_;  // last: its threads end before what they use
};

}  // namespace

Result<std::unique_ptr<SessionImpl>> MakeFloatSession(const Model& model,
                                                      const SessionOptions& options) {
  return FloatSession::Create(model, options);
}

}  // namespace mpq
