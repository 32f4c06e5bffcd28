// A quantised network, or a part of one, in training: a TrainingNetwork whose tensors are rounded
// like the integer model's and whose weights are LatentLayers. It differs from the integer engine
// in requantisation only: at most one code in few places.
//
// Adam, whose rates rise over the first tenth of the steps (its first steps are as long as later
// ones, but know less) and then fall to 0 along a cosine.
#ifndef MPQ_QUANTIZE_DISTILLATION_STUDENT_H_
#define MPQ_QUANTIZE_DISTILLATION_STUDENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "format/graph.h"
#include "mpq/status.h"
#include "quantize/decisions.h"
#include "quantize/distillation/latent_layer.h"
#include "quantize/gradient/training_network.h"

namespace mpq {

// How the integer model stores the tensors, for a TrainingNetwork. The logits, of 15 bits, stay
// real.
std::vector<TensorCodes> RoundedTensors(const Graph& graph, const Decisions& decisions);

// The scale of a tensor's code; of the logits, what it would be if they had 8 bits.
float TensorStep(const Graph& graph, uint32_t tensor, const Decisions& decisions);

// A batch is split into parts that do not depend on the number of threads, each differentiated by
// one thread, whose gradients are added in order: results are the same for any number of threads.
inline constexpr uint32_t kBatchParts = 8;
inline constexpr uint32_t kPartImages = 3;
inline constexpr uint32_t kBatchImages = kBatchParts * kPartImages;

struct StudentOptions {
  LearningRates rates;
  uint32_t num_steps = 0;
  uint32_t threads = 1;
};

class Student {
 public:
  // What a part of a batch is and what is asked of it.
  struct Task {
    // `src`: [kPartImages] of the network's input, packed NHWC.
    std::function<Status(uint32_t part, uint32_t thread, std::span<float> src)> fill;
    // The loss, and its gradient: of the mean over the batch.
    std::function<Result<double>(uint32_t part, uint32_t thread, std::span<const float> output,
                                 std::span<float> d_output)>
        judge;
  };

  // `graph`: the whole or a part (GraphBetween), whose node 0 is node `first_node` of the whole;
  // must outlive the student. `decisions`: of the whole network `whole`. kUnsupported without
  // oneDNN, and for equalised decisions.
  static Result<std::unique_ptr<Student>> Create(const Graph& graph, uint32_t first_node,
                                                 const Graph& whole, const Decisions& decisions,
                                                 const StudentOptions& options);

  uint32_t threads() const { return options_.threads; }
  uint32_t step() const { return step_; }
  uint32_t num_steps() const { return options_.num_steps; }
  // One batch; returns its mean loss. Only while step() < num_steps().
  Result<double> Step(const Task& task);
  // The trained layers in place of `layers`, those of the whole network.
  void Decide(std::vector<LayerDecision>& layers) const;

  // All that Step changes but for the step itself: f(array) for each.
  template <typename F>
  void ForEachState(F f) {
    for (LatentLayer& layer : layers_) layer.ForEachState(f);
  }
  // After the state was changed from outside.
  Status Resume(uint32_t step);

  uint64_t memory_bytes() const;

 private:
  struct Worker {
    Tape tape;
    std::vector<float> src, d_output;
  };

  Student(const Graph& graph, uint32_t first_node, const StudentOptions& options)
      : graph_(graph), first_node_(first_node), options_(options) {}

  Status Prepare(const Graph& whole, const Decisions& decisions);
  Status RunPart(const Task& task, uint32_t part, uint32_t thread, double& loss);
  Status UpdateLayer(uint32_t node);

  const Graph& graph_;
  const uint32_t first_node_;
  const StudentOptions options_;
  uint32_t step_ = 0;
  std::unique_ptr<TrainingNetwork> network_;
  std::vector<LatentLayer> layers_;         // per node
  std::vector<WeightGradients> gradients_;  // per part
  std::vector<Worker> workers_;             // per thread
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_DISTILLATION_STUDENT_H_
