#include "quantize/model_run.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "quantize/calibration.h"
#include "quantize/parallel.h"

namespace mpq {

namespace {

// log(softmax(logits)).
std::vector<double> LogProbabilities(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  const double log_sum = largest + std::log(sum);
  std::vector<double> result;
  result.reserve(logits.size());
  for (const float logit : logits) result.push_back(logit - log_sum);
  return result;
}

double KlDivergence(std::span<const float> reference, std::span<const float> logits) {
  const std::vector<double> p = LogProbabilities(reference);
  const std::vector<double> q = LogProbabilities(logits);
  double kl = 0;
  for (size_t i = 0; i < p.size(); ++i) kl += std::exp(p[i]) * (p[i] - q[i]);
  return kl;
}

size_t BestClass(std::span<const float> logits) {
  return static_cast<size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

}  // namespace

Status RunModel(const Model& model, const CalibrationImages& images, uint32_t count,
                bool keep_tensors, uint32_t threads, ProgressStage* stage,
                const std::function<Status(uint32_t, uint32_t, const Session&)>& visit) {
  count = std::min(count, images.count);
  SessionOptions options;
  options.keep_tensors = keep_tensors;
  std::vector<std::optional<Session>> sessions(std::max(threads, 1u));
  return ParallelFor(threads, kCalibrationParts, [&](uint32_t part, uint32_t thread) -> Status {
    std::optional<Session>& session = sessions[thread];
    if (!session.has_value()) {
      MPQ_ASSIGN_OR_RETURN(session, Session::Create(model, options));
    }
    const uint32_t last = PartBegin(count, kCalibrationParts, part + 1);
    for (uint32_t i = PartBegin(count, kCalibrationParts, part); i < last; ++i) {
      MPQ_RETURN_IF_ERROR(session->Run(images.image(i)));
      MPQ_RETURN_IF_ERROR(visit(part, i, *session));
      if (stage != nullptr) stage->Step();
    }
    return Status();
  });
}

Agreement CompareLogits(std::span<const float> reference, std::span<const float> logits,
                        uint32_t num_images) {
  Agreement agreement;
  agreement.num_images = num_images;
  const size_t classes = num_images == 0 ? 0 : reference.size() / num_images;
  double signal = 0;
  double noise = 0;
  for (uint32_t i = 0; i < num_images; ++i) {
    const auto expected = reference.subspan(i * classes, classes);
    const auto actual = logits.subspan(i * classes, classes);
    agreement.num_agreeing += BestClass(expected) == BestClass(actual);
    agreement.mean_kl += KlDivergence(expected, actual) / num_images;
    for (size_t c = 0; c < classes; ++c) {
      const double difference = double{expected[c]} - actual[c];
      signal += double{expected[c]} * expected[c];
      noise += difference * difference;
    }
  }
  agreement.signal_to_noise_db =
      noise > 0 ? 10 * std::log10(signal / noise) : std::numeric_limits<double>::infinity();
  return agreement;
}

Result<std::vector<float>> ModelLogits(const Model& model, const CalibrationImages& images,
                                       uint32_t threads, const Progress& progress) {
  const size_t classes = model.num_classes();
  std::vector<float> logits(images.count * classes);
  ProgressStage stage(progress, "compare with float", images.count);
  MPQ_RETURN_IF_ERROR(RunModel(model, images, images.count, /*keep_tensors=*/false, threads, &stage,
                               [&](uint32_t, uint32_t image, const Session& session) {
                                 std::copy(session.logits().begin(), session.logits().end(),
                                           logits.begin() + image * classes);
                                 return Status();
                               }));
  return logits;
}

}  // namespace mpq
