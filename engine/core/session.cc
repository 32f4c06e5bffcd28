#include "mpq/session.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "engine/core/no_throw.h"
#include "engine/core/session_impl.h"
#include "format/message.h"
#include "format/wire.h"

namespace mpq {

namespace {
constexpr uint32_t kMaxThreads = 256;
constexpr uint32_t kMaxBatch = 4096;

Status CheckRange(const char* what, uint32_t value, uint32_t max) {
  if (value >= 1 && value <= max) return Status();
  return Error(ErrorCode::kInvalidArgument, what, " ", value, ", expected 1..", max);
}

}  // namespace

struct Session::State {
  SessionOptions options;
  size_t image_bytes = 0;
  uint32_t num_classes = 0;
  uint32_t images = 0;  // of the last run
  std::unique_ptr<SessionImpl> impl;
};

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Result<Session> Session::Create(const Model& model, const SessionOptions& options) {
  return WithoutThrowing("session", [&]() -> Result<Session> {
    MPQ_RETURN_IF_ERROR(CheckRange("threads", options.threads, kMaxThreads));
    MPQ_RETURN_IF_ERROR(CheckRange("batch", options.batch, kMaxBatch));
    auto state = std::make_unique<State>();
    state->options = options;
    SessionOptions& complete = state->options;
    if (complete.height == 0) complete.height = model.input_height();
    if (complete.width == 0) complete.width = model.input_width();
    MPQ_RETURN_IF_ERROR(CheckRange("height", complete.height, wire::kMaxSide));
    MPQ_RETURN_IF_ERROR(CheckRange("width", complete.width, wire::kMaxSide));
    state->image_bytes = size_t{complete.height} * complete.width * model.input_channels();
    state->num_classes = model.num_classes();
    auto impl = model.is_integer() ? MakeIntegerSession(model, complete)
                                   : MakeFloatSession(model, complete);
    if (!impl.ok()) return impl.status();
    state->impl = std::move(impl).value();
    return Session(std::move(state));
  });
}

Status Session::Run(std::span<const uint8_t> pixels, uint32_t n) {
  return WithoutThrowing("run", [&]() -> Status {
    MPQ_RETURN_IF_ERROR(CheckRange("number of images", n, state_->options.batch));
    if (pixels.size() != n * state_->image_bytes) {
      return Error(ErrorCode::kInvalidArgument, pixels.size(), " bytes of pixels, expected ",
                   n * state_->image_bytes, " for ", n, " image(s) of ", height(), "x", width());
    }
    state_->images = n;
    return state_->impl->Run(pixels, n);
  });
}

std::span<const float> Session::logits() const {
  return state_->impl->logits().first(size_t{state_->images} * state_->num_classes);
}

std::span<const int16_t> Session::integer_logits() const {
  const std::span<const int16_t> all = state_->impl->integer_logits();
  return all.empty() ? all : all.first(size_t{state_->images} * state_->num_classes);
}

std::vector<float> Session::Probabilities(uint32_t image) const {
  const std::span<const float> all = logits();
  const size_t classes = state_->num_classes;
  if ((size_t{image} + 1) * classes > all.size()) return {};
  const std::span<const float> z = all.subspan(image * classes, classes);
  std::vector<float> p(z.begin(), z.end());
  const float max = *std::max_element(p.begin(), p.end());
  for (float& x : p) x = std::exp(x - max);
  const float sum = std::accumulate(p.begin(), p.end(), 0.0f);
  for (float& x : p) x /= sum;
  return p;
}

Result<std::vector<float>> Session::ReadTensor(uint32_t tensor) const {
  return WithoutThrowing("tensor", [&] { return state_->impl->ReadTensor(tensor); });
}

Result<std::vector<int16_t>> Session::ReadTensorCodes(uint32_t tensor) const {
  return WithoutThrowing("tensor", [&] { return state_->impl->ReadTensorCodes(tensor); });
}

uint32_t Session::height() const { return state_->options.height; }
uint32_t Session::width() const { return state_->options.width; }
uint32_t Session::batch() const { return state_->options.batch; }
MemoryPlan Session::memory_plan() const { return state_->impl->memory_plan(); }
uint64_t Session::memory_bytes() const { return memory_plan().total(); }
std::string Session::isa() const { return state_->impl->isa(); }
const std::vector<StepInfo>& Session::steps() const { return state_->impl->steps(); }

Status CheckMemoryLimit(uint64_t bytes, uint64_t limit) {
  if (limit == 0 || bytes <= limit) return Status();
  return Error(ErrorCode::kLimitExceeded, "activations and scratch take ", bytes,
               " bytes, the memory limit is ", limit);
}

std::vector<std::pair<uint32_t, float>> TopK(std::span<const float> values, uint32_t k) {
  std::vector<std::pair<uint32_t, float>> best(values.size());
  for (uint32_t i = 0; i < values.size(); ++i) best[i] = {i, values[i]};
  k = std::min<uint32_t>(k, static_cast<uint32_t>(values.size()));
  std::partial_sort(best.begin(), best.begin() + k, best.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  best.resize(k);
  return best;
}

}  // namespace mpq
