#include "apps/evaluation.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <thread>
#include <utility>

#include "format/message.h"
#include "format/model_data.h"
#include "mpq/image.h"

namespace mpq {
namespace {

constexpr uint32_t kTop = 5;

struct Hits {
  bool top1 = false, top5 = false;
};

Hits FindClass(std::span<const float> logits, uint32_t class_index) {
  const auto best = TopK(logits, kTop);
  return {!best.empty() && best[0].first == class_index,
          std::any_of(best.begin(), best.end(),
                      [&](const auto& entry) { return entry.first == class_index; })};
}

// log(softmax(logits)) in double.
std::vector<double> LogSoftmax(std::span<const float> logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float z : logits) sum += std::exp(z - max);
  std::vector<double> result;
  for (float z : logits) result.push_back(z - max - std::log(sum));
  return result;
}

double KlDivergence(std::span<const float> reference, std::span<const float> logits) {
  const std::vector<double> p = LogSoftmax(reference), q = LogSoftmax(logits);
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
  return sum;
}

template <typename F>
Estimate Mean(std::span<const ImageScore> scores, F f) {
  const double n = static_cast<double>(scores.size());
  double sum = 0, squares = 0;
  for (const ImageScore& score : scores) sum += f(score);
  const double mean = sum / n;
  for (const ImageScore& score : scores) squares += (f(score) - mean) * (f(score) - mean);
  return {mean, std::sqrt(squares / n / n)};
}

// 10 log10(sum of signal / sum of noise); its error by the delta method.
Estimate SignalToNoise(std::span<const ImageScore> scores) {
  const double signal = Mean(scores, [](const ImageScore& s) { return s.signal; }).value;
  const double noise = Mean(scores, [](const ImageScore& s) { return s.noise; }).value;
  const double decibel = 10 * std::log10(signal / noise);
  if (!std::isfinite(decibel)) return {decibel, 0};
  const Estimate relative =
      Mean(scores, [&](const ImageScore& s) { return s.signal / signal - s.noise / noise; });
  return {decibel, 10 / std::log(10.0) * relative.standard_error};
}

ReferenceScores CompareWithReference(std::span<const ImageScore> scores, bool has_classes) {
  ReferenceScores result;
  result.agreement = Mean(scores, [](const ImageScore& s) { return s.agrees; });
  result.mean_kl = Mean(scores, [](const ImageScore& s) { return s.kl; });
  result.logit_snr_db = SignalToNoise(scores);
  if (!has_classes) return result;
  result.top1 = Mean(scores, [](const ImageScore& s) { return s.reference_top1; });
  result.top5 = Mean(scores, [](const ImageScore& s) { return s.reference_top5; });
  for (const ImageScore& s : scores) {
    result.lost += s.reference_top1 && !s.top1;
    result.won += s.top1 && !s.reference_top1;
  }
  const double n = static_cast<double>(scores.size());
  result.top1_change = {(double{1} * result.won - result.lost) / n,
                        std::sqrt(double{1} * result.won + result.lost) / n};
  return result;
}

// One model with the session of one thread.
class Runner {
 public:
  static Result<Runner> Create(const Model& model, const SessionOptions& options) {
    MPQ_ASSIGN_OR_RETURN(Session session, Session::Create(model, options));
    return Runner(model, std::move(session));
  }

  Result<std::span<const float>> Logits(const Image& input) {
    MPQ_RETURN_IF_ERROR(session_.Run(input.rgb));
    return session_.logits();
  }
  Result<Image> Load(const Dataset& dataset, size_t i) const {
    return dataset.Load(i, model_.data().preprocessing, session_.height(), session_.width());
  }
  // Whether both see the same pixels.
  bool SameInput(const Runner& other) const {
    const Preprocessing& a = model_.data().preprocessing;
    const Preprocessing& b = other.model_.data().preprocessing;
    return a.resize_short_side == b.resize_short_side && a.crop_height == b.crop_height &&
           a.crop_width == b.crop_width && a.interpolation == b.interpolation &&
           session_.height() == other.session_.height() &&
           session_.width() == other.session_.width();
  }

 private:
  Runner(const Model& model, Session session) : model_(model), session_(std::move(session)) {}

  Model model_;
  Session session_;
};

// Takes images from a shared counter until there are none or somebody failed.
class Evaluator {
 public:
  Evaluator(const Model& model, const Model* reference, const Dataset& dataset,
            const SessionOptions& session, const std::function<void(size_t)>& progress)
      : model_(model),
        reference_(reference),
        dataset_(dataset),
        session_(session),
        progress_(progress),
        scores_(dataset.size()) {}

  void Work() {
    Status status = WorkOrFail();
    if (status.ok()) return;
    const std::lock_guard lock(mutex_);
    if (first_error_.ok()) first_error_ = std::move(status);
    next_ = dataset_.size();
  }
  const Status& first_error() const { return first_error_; }
  std::span<const ImageScore> scores() const { return scores_; }

 private:
  Status WorkOrFail() {
    MPQ_ASSIGN_OR_RETURN(Runner runner, Runner::Create(model_, session_));
    std::optional<Runner> reference;
    if (reference_ != nullptr) {
      MPQ_ASSIGN_OR_RETURN(reference, Runner::Create(*reference_, session_));
    }
    for (size_t i = next_++; i < dataset_.size(); i = next_++) {
      MPQ_ASSIGN_OR_RETURN(scores_[i], Score(i, runner, reference));
      const std::lock_guard lock(mutex_);
      if (progress_) progress_(++done_);
    }
    return Status();
  }

  Result<ImageScore> Score(size_t i, Runner& runner, std::optional<Runner>& reference) const {
    MPQ_ASSIGN_OR_RETURN(Image input, runner.Load(dataset_, i));
    MPQ_ASSIGN_OR_RETURN(const std::span<const float> logits, runner.Logits(input));
    if (!reference) return ScoreImage(logits, {}, dataset_.class_of(i));
    if (!runner.SameInput(*reference)) {
      MPQ_ASSIGN_OR_RETURN(input, reference->Load(dataset_, i));
    }
    MPQ_ASSIGN_OR_RETURN(const std::span<const float> expected, reference->Logits(input));
    return ScoreImage(logits, expected, dataset_.class_of(i));
  }

  const Model& model_;
  const Model* reference_;
  const Dataset& dataset_;
  const SessionOptions& session_;
  const std::function<void(size_t)>& progress_;
  std::vector<ImageScore> scores_;
  std::atomic<size_t> next_ = 0;
  std::mutex mutex_;
  size_t done_ = 0;
  Status first_error_;
};

}  // namespace

ImageScore ScoreImage(std::span<const float> logits, std::span<const float> reference,
                      uint32_t class_index) {
  ImageScore score;
  const Hits hits = FindClass(logits, class_index);
  score.top1 = hits.top1;
  score.top5 = hits.top5;
  if (reference.empty()) return score;
  const Hits reference_hits = FindClass(reference, class_index);
  score.reference_top1 = reference_hits.top1;
  score.reference_top5 = reference_hits.top5;
  score.agrees = TopK(logits, 1)[0].first == TopK(reference, 1)[0].first;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double difference = double{logits[i]} - reference[i];
    score.signal += double{reference[i]} * reference[i];
    score.noise += difference * difference;
  }
  score.kl = KlDivergence(reference, logits);
  return score;
}

Evaluation Summarize(std::span<const ImageScore> scores, bool has_classes, bool has_reference) {
  Evaluation evaluation;
  evaluation.images = static_cast<uint32_t>(scores.size());
  if (has_classes) {
    evaluation.top1 = Mean(scores, [](const ImageScore& s) { return s.top1; });
    evaluation.top5 = Mean(scores, [](const ImageScore& s) { return s.top5; });
  }
  if (has_reference) evaluation.reference = CompareWithReference(scores, has_classes);
  return evaluation;
}

Result<Evaluation> Evaluate(const Model& model, const Model* reference, const Dataset& dataset,
                            const EvaluationOptions& options,
                            const std::function<void(size_t done)>& progress) {
  if (dataset.size() == 0) return Error(ErrorCode::kInvalidArgument, "no images");
  MPQ_RETURN_IF_ERROR(dataset.CheckClasses(model.num_classes()));
  if (reference != nullptr && reference->num_classes() != model.num_classes()) {
    return Error(ErrorCode::kInvalidArgument, "the reference has ", reference->num_classes(),
                 " classes, the model ", model.num_classes());
  }
  SessionOptions session = options.session;
  session.threads = session.batch = 1;
  Evaluator evaluator(model, reference, dataset, session, progress);
  std::vector<std::thread> threads;
  const size_t workers = std::min<size_t>(options.threads, dataset.size());
  for (size_t i = 1; i < workers; ++i) threads.emplace_back([&] { evaluator.Work(); });
  evaluator.Work();
  for (std::thread& thread : threads) thread.join();
  MPQ_RETURN_IF_ERROR(evaluator.first_error());
  return Summarize(evaluator.scores(), dataset.has_classes(), reference != nullptr);
}

}  // namespace mpq
