// End-to-end self-distillation: weights, scales and biases of the quantised network are trained to
// give the float network's logits on random views of the calibration images. No labels are needed.
//
//   loss = T^2 KL(softmax(z_float / T) || softmax(z_quantised / T)), mean over a batch
//   (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015)
#ifndef MPQ_QUANTIZE_DISTILLATION_DISTILLATION_H_
#define MPQ_QUANTIZE_DISTILLATION_DISTILLATION_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/core/float_executor.h"
#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/cache/stage_cache.h"
#include "quantize/decisions.h"
#include "quantize/distillation/student.h"
#include "quantize/images.h"
#include "quantize/progress.h"

namespace mpq {

struct DistillationOptions {
  uint32_t epochs = 0;  // over the calibration images
  // The highest. Chosen on ResNet-18 at 2 bits after sequential rounding, by images that were not
  // trained on (docs/accuracy.md): for weights, nothing as well as 2.5 times as much are worse.
  LearningRates rates{2e-3f, 1e-3f, 2e-2f};
  float temperature = 1;
};

class Distillation {
 public:
  // References must outlive the object. kUnsupported without oneDNN and for equalised decisions.
  static Result<std::unique_ptr<Distillation>> Create(const ModelData& float_model,
                                                      const CalibrationImages& images,
                                                      const DistillationOptions& options,
                                                      uint64_t seed, uint32_t threads,
                                                      const Decisions& decisions);

  // Of all that the result depends on but the number of threads.
  uint64_t fingerprint() const { return fingerprint_; }
  uint32_t step() const { return student_->step(); }
  uint32_t num_steps() const { return student_->num_steps(); }
  // One batch; returns its loss. Only while step() < num_steps().
  Result<double> Step();
  // The trained layers in place of `layers`.
  void Decide(std::vector<LayerDecision>& layers) const;

  // All that Step changes. A Distillation of the same arguments (but for the number of threads)
  // that takes it goes on with the same bits.
  std::vector<uint8_t> SaveState();
  // Fails on states of other models, images or options.
  Status RestoreState(std::span<const uint8_t> state);

  // Bytes that it takes, beside the images.
  uint64_t memory_bytes() const { return student_->memory_bytes(); }

 private:
  Distillation(const ModelData& model, const CalibrationImages& images,
               const DistillationOptions& options, uint64_t seed)
      : model_(model), images_(images), options_(options), seed_(seed) {}

  Status Prepare(const Decisions& decisions, uint32_t threads);
  Status Fill(uint32_t part, uint32_t thread, std::span<float> src);
  double Judge(std::span<const float> teacher, std::span<const float> student,
               std::span<float> d_logits) const;

  const ModelData& model_;
  const CalibrationImages& images_;
  const DistillationOptions options_;
  const uint64_t seed_;
  uint32_t steps_per_epoch_ = 0;
  uint64_t fingerprint_ = 0;
  std::unique_ptr<Student> student_;
  std::vector<std::unique_ptr<FloatExecutor>> teachers_;  // per thread
  std::vector<uint32_t> order_;                           // of the images, this epoch
};

// All of it: epochs, progress, the state kept in `cache` once a minute. `decisions.layers` receive
// the result.
Status Distill(const ModelData& float_model, const CalibrationImages& images,
               const DistillationOptions& options, uint64_t seed, uint32_t threads,
               const StageCache& cache, const Progress& progress, Decisions& decisions);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_DISTILLATION_DISTILLATION_H_
