// Accuracy of a model on a data set, and how close it stays to a reference model.
#ifndef MPQ_APPS_EVALUATION_H_
#define MPQ_APPS_EVALUATION_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apps/dataset.h"
#include "mpq/model.h"
#include "mpq/session.h"
#include "mpq/status.h"

namespace mpq {

// What is measured on one image.
struct ImageScore {
  bool top1 = false, top5 = false;                      // with classes only
  bool reference_top1 = false, reference_top5 = false;  // the same of the reference
  bool agrees = false;  // the rest with a reference only: both have the same best class
  double signal = 0;    // sum of the reference's squared logits
  double noise = 0;     // sum of the squared differences to them
  double kl = 0;        // KL(softmax(reference) || softmax(model)), in nats
};

// Compares the logits of one image. class_index may be kNoClass, `reference` empty.
ImageScore ScoreImage(std::span<const float> logits, std::span<const float> reference,
                      uint32_t class_index);

// A mean or a share of images with its standard error.
struct Estimate {
  double value = 0, standard_error = 0;
};

struct ReferenceScores {
  std::optional<Estimate> top1, top5;
  Estimate agreement, mean_kl, logit_snr_db;
  // With classes: images that only the reference has right, that only the model has right, and
  // their difference as a share of all images, with the paired standard error
  // sqrt(lost + won) / images (McNemar).
  uint32_t lost = 0, won = 0;
  std::optional<Estimate> top1_change;
};

struct Evaluation {
  uint32_t images = 0;
  std::optional<Estimate> top1, top5;  // without classes: none
  std::optional<ReferenceScores> reference;
};

Evaluation Summarize(std::span<const ImageScore> scores, bool has_classes, bool has_reference);

struct EvaluationOptions {
  uint32_t threads = 1;    // sessions of one thread each, which share the images
  SessionOptions session;  // threads and batch are set to 1
};

// Runs `model`, and `reference` if not null, on every image of the set. The result does not depend
// on the number of threads. `progress` is told the number of images done, from any thread but one
// at a time.
Result<Evaluation> Evaluate(const Model& model, const Model* reference, const Dataset& dataset,
                            const EvaluationOptions& options,
                            const std::function<void(size_t done)>& progress);

}  // namespace mpq

#endif  // MPQ_APPS_EVALUATION_H_
