// What quantising saw and what it chose, condensed for reports: weights beside their levels,
// activations beside their ranges.
#ifndef MPQ_QUANTIZE_OBSERVATIONS_H_
#define MPQ_QUANTIZE_OBSERVATIONS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "format/graph.h"
#include "mpq/status.h"
#include "quantize/allocation/sensitivity.h"
#include "quantize/calibration.h"
#include "quantize/decisions.h"
#include "quantize/ptilmpq/paper_layout.h"

namespace mpq {

// Bars of equal width: bar i covers [first + i * width, first + (i + 1) * width).
struct Bars {
  static constexpr uint32_t kCount = 96;

  double first = 0, width = 1;
  std::vector<uint64_t> counts;

  Bars() = default;
  Bars(double lowest, double highest);
  void Add(double value, uint64_t count);
};

struct WeightObservation {
  std::string layer;
  int bits = 0;           // the width of most channels: `weights` and `levels` are of those
  uint32_t channels = 0;  // so many
  Bars weights;           // in units of the channel's scale
  std::vector<std::pair<int, uint64_t>> levels;  // those in use, ascending, and how often
  double signal_to_noise_db = 0;                 // of all the layer's weights
  uint32_t zero_channels = 0;                    // output channels whose levels are all 0
};

struct ActivationObservation {
  std::string tensor;
  int bits = 0;
  double lowest = 0, highest = 0;  // that have a code
  double min = 0, max = 0;         // seen
  double zeros = 0;                // share of the values
  double saturated = 0;            // share beyond the codes, by more than half a step
  uint32_t silent_channels = 0;    // 0 in every image, but for padding
  Bars values;                     // without the zeros
};

// Predicted KL divergence of the network with only this layer at few bits.
struct SensitivityObservation {
  std::string layer;
  std::vector<std::pair<int, double>> kl_by_bits;  // ascending bits
};

struct Observations {
  std::vector<WeightObservation> weights;           // of the convolutions, in the graph's order
  std::vector<ActivationObservation> activations;   // of the tensors that are stored, but logits
  std::vector<SensitivityObservation> sensitivity;  // where bits were allocated by it; else empty
  std::vector<PaperLayout> paper_layouts;           // where asked for; else empty
};

std::vector<SensitivityObservation> Observe(const Graph& graph,
                                            const std::vector<LayerSensitivity>& table);

// All but the sensitivity. `stored_tensors`: LoweredModel::tensors.
Result<Observations> Observe(const Graph& graph, const Calibration& calibration,
                             const Decisions& decisions,
                             const std::vector<uint32_t>& stored_tensors);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_OBSERVATIONS_H_
