// The float network in parts, each of which starts where another ended: layers late in the network
// need not run it from the images each time.
#ifndef MPQ_QUANTIZE_ROUNDING_FLOAT_CHECKPOINT_H_
#define MPQ_QUANTIZE_ROUNDING_FLOAT_CHECKPOINT_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/core/float_executor.h"
#include "format/graph.h"
#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/augmentation.h"

namespace mpq {

// Per node: whether its output is all that later nodes read of what was computed so far.
std::vector<bool> Bottlenecks(const Graph& graph);

// How many nodes run before a tensor is there; 0 for the graph's input.
uint32_t NodesUpTo(const Graph& graph, uint32_t tensor);

// The nodes after those up to `first`, a tensor, up to the last of `tensors`; its input is `first`.
// No nodes if `first` is all there is.
Graph GraphBetween(const Graph& graph, uint32_t first, std::span<const uint32_t> tensors);

// Runs a part of the float network, for one thread.
class FloatPart {
 public:
  // References must outlive the object.
  FloatPart(const Graph& part, const Preprocessing& preprocessing)
      : graph_(part), preprocessing_(preprocessing) {}

  // `values`: of the part's input; empty: the pixels are, normalised.
  Status Run(std::span<const uint8_t> pixels, std::span<const float> values);
  // After Run: a tensor of the part, packed NHWC. Valid until the next call.
  Result<std::span<const float>> Read(uint32_t tensor) const;

 private:
  const Graph& graph_;
  const Preprocessing& preprocessing_;
  std::unique_ptr<FloatExecutor> executor_;
  std::vector<float> src_;
};

// The float values of one tensor for every view, such that nothing before it need be run again.
// They are kept as they are: later tensors come out the same as from the images.
class FloatCheckpoint {
 public:
  // Tensors whose values, of all views, take more are not held.
  static constexpr uint64_t kMaxBytes = 2'500'000'000;

  // References must outlive the object.
  FloatCheckpoint(const ModelData& float_model, const Views& views)
      : model_(&float_model),
        views_(&views),
        tensor_(float_model.graph.input),
        values_(views.count()) {}

  // Where it stands; the graph's input at first, whose values it does not hold.
  uint32_t tensor() const { return tensor_; }
  // Of a view, packed NHWC; empty where it stands at the graph's input.
  std::span<const float> values(uint32_t view) const { return values_[view]; }

  // Runs a part that starts where the checkpoint stands on a view, whose pixels are made only if
  // that is the graph's input.
  Status Run(uint32_t view, FloatPart& part) const;

  // Moves on to the best place for what computes `tensors`: the last tensor before them, or of
  // them, on which alone all depends that comes after it, and whose values may be held. Stays where
  // it is if there is none.
  Status MoveFor(std::span<const uint32_t> tensors, uint32_t threads);

  // What it takes at most.
  static uint64_t EstimateBytes(const Graph& graph, uint32_t num_views);

 private:
  uint32_t BestFor(std::span<const uint32_t> tensors) const;

  const ModelData* model_;
  const Views* views_;
  uint32_t tensor_;
  std::vector<std::vector<float>> values_;  // per view
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ROUNDING_FLOAT_CHECKPOINT_H_
