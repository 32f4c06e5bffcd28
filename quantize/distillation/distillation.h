// End-to-end self-distillation: weights, scales and biases of the quantised network are trained to
// give the float network's logits on random views of the calibration images. No labels are needed.
//
//   loss = T^2 KL(softmax(z_float / T) || softmax(z_quantised / T)), mean over a batch
//   (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015)
//
// The quantised network is a TrainingNetwork whose tensors are rounded like the integer model's and
// whose weights are LatentLayers. It differs from the integer engine in requantisation only: at
// most one code in few places. Adam, whose rates rise over the first tenth of the steps (its first
// steps are as long as later ones, but know less) and then fall to 0 along a cosine.
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
#include "quantize/distillation/latent_layer.h"
#include "quantize/gradient/training_network.h"
#include "quantize/images.h"
#include "quantize/progress.h"

namespace mpq {

struct DistillationOptions {
  uint32_t epochs = 0;  // over the calibration images
  // The highest. Chosen on MobileNetV2 at 4 bits, by images that were not trained on: three times
  // as much shakes loose what GPTQ rounded well, a third learns as little.
  LearningRates rates{1e-3f, 1e-4f, 2e-3f};
  float temperature = 1;
};

// How the integer model stores the tensors, for a TrainingNetwork. The logits, of 15 bits, stay
// real.
std::vector<TensorCodes> RoundedTensors(const Graph& graph, const Decisions& decisions);

// A batch is split into parts that do not depend on the number of threads, each differentiated by
// one thread, whose gradients are added in order: results are the same for any number of threads.
inline constexpr uint32_t kBatchParts = 8;
inline constexpr uint32_t kPartImages = 3;
inline constexpr uint32_t kBatchImages = kBatchParts * kPartImages;

class Distillation {
 public:
  // References must outlive the object. kUnsupported without oneDNN and for equalised decisions.
  static Result<std::unique_ptr<Distillation>> Create(const ModelData& float_model,
                                                      const CalibrationImages& images,
                                                      const DistillationOptions& options,
                                                      uint64_t seed, uint32_t threads,
                                                      const Decisions& decisions);
  ~Distillation();

  // Of all that the result depends on but the number of threads.
  uint64_t fingerprint() const { return fingerprint_; }
  uint32_t step() const { return step_; }
  uint32_t num_steps() const { return num_steps_; }
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
  uint64_t memory_bytes() const;

 private:
  struct Worker;

  Distillation(const ModelData& model, const CalibrationImages& images,
               const DistillationOptions& options, uint64_t seed, uint32_t threads);

  Status Prepare(const Decisions& decisions);
  void ShuffleEpoch(uint32_t epoch);
  Status RunPart(uint32_t part, uint32_t thread, double& loss);
  Status UpdateLayer(uint32_t node);

  const ModelData& model_;
  const CalibrationImages& images_;
  const DistillationOptions options_;
  const uint64_t seed_;
  const uint32_t threads_;
  uint32_t step_ = 0, num_steps_ = 0, steps_per_epoch_ = 0;
  uint64_t fingerprint_ = 0;
  std::unique_ptr<TrainingNetwork> network_;
  std::vector<LatentLayer> layers_;               // per node
  std::vector<WeightGradients> gradients_;        // per part
  std::vector<std::unique_ptr<Worker>> workers_;  // per thread
  std::vector<uint32_t> order_;                   // of the images, this epoch
};

// All of it: epochs, progress, the state kept in `cache` once a minute. `decisions.layers` receive
// the result.
Status Distill(const ModelData& float_model, const CalibrationImages& images,
               const DistillationOptions& options, uint64_t seed, uint32_t threads,
               const StageCache& cache, const Progress& progress, Decisions& decisions);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_DISTILLATION_DISTILLATION_H_
