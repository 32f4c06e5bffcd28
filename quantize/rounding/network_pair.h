// The float network and the quantised one side by side: what layers should see, and what they do.
#ifndef MPQ_QUANTIZE_ROUNDING_NETWORK_PAIR_H_
#define MPQ_QUANTIZE_ROUNDING_NETWORK_PAIR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/core/float_executor.h"
#include "format/graph.h"
#include "format/model_data.h"
#include "mpq/model.h"
#include "mpq/session.h"
#include "mpq/status.h"
#include "quantize/decisions.h"

namespace mpq {

// The nodes after `first`, a tensor, up to the last of `tensors`; its input is `first`. No nodes if
// `first` is all there is.
Graph GraphBetween(const Graph& graph, uint32_t first, std::span<const uint32_t> tensors);

// The float values of one tensor for every view, such that nothing before it need be run again.
// They are kept as they are: later tensors come out the same as from the images.
class FloatCheckpoint {
 public:
  // Views of tensors that are larger than this are not held.
  static constexpr uint64_t kMaxBytes = 2'500'000'000;

  FloatCheckpoint(const Graph& graph, uint32_t num_views)
      : graph_(&graph), tensor_(graph.input), values_(num_views) {}

  // Where it stands; the graph's input at first, whose values it does not hold.
  uint32_t tensor() const { return tensor_; }
  // The best place for what computes `tensors`: the last tensor before them on which alone all that
  // comes after it depends, and whose values may be held. The current one if there is none.
  uint32_t BestFor(std::span<const uint32_t> tensors) const;
  // Of a view, packed NHWC; empty where it stands at the graph's input.
  std::span<const float> values(uint32_t view) const { return values_[view]; }

  // Moving on: the values of all views at `tensor`, each from the old ones of that view, in any
  // order, from several threads at a time; then the tensor.
  void Replace(uint32_t view, std::span<const float> values) {
    values_[view].assign(values.begin(), values.end());
  }
  void MoveTo(uint32_t tensor) { tensor_ = tensor; }

  // What it takes at most.
  static uint64_t EstimateBytes(const Graph& graph, uint32_t num_views);

 private:
  const Graph* graph_;
  uint32_t tensor_;
  std::vector<std::vector<float>> values_;  // per view
};

// For one thread. The float network is a part (GraphBetween) that starts at a checkpoint.
class NetworkPair {
 public:
  // References must outlive the object. `tensors`: the quantised model's tensor of each of the
  // graph's.
  NetworkPair(const Graph& part, const Preprocessing& preprocessing, const Decisions& decisions,
              std::span<const uint32_t> tensors)
      : graph_(part), preprocessing_(preprocessing), decisions_(decisions), tensors_(tensors) {}

  // `values`: of the part's input; empty: the pixels are, normalised.
  Status RunFloat(std::span<const uint8_t> pixels, std::span<const float> values);
  Status RunQuantized(const Model& quantized, std::span<const uint8_t> pixels);

  // As computed. Valid until the next call.
  Result<std::span<const float>> Float(uint32_t tensor) const;
  // Equalised values, clamped to what the stored tensor can hold.
  Result<std::vector<float>> Storable(uint32_t tensor) const;
  Result<std::vector<float>> Quantized(uint32_t tensor) const;

 private:
  const Graph& graph_;
  const Preprocessing& preprocessing_;
  const Decisions& decisions_;
  std::span<const uint32_t> tensors_;
  std::unique_ptr<FloatExecutor> executor_;
  std::optional<Session> session_;
  std::vector<float> src_;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ROUNDING_NETWORK_PAIR_H_
