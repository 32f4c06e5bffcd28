#include "quantize/observations.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>

#include "format/code_layout.h"
#include "quantize/passes/graph_view.h"

namespace mpq {

namespace {

// The bits of every output channel.
std::vector<int> ChannelBits(const Graph& graph, const Node& node, const LayerDecision& layer) {
  const CodeLayout layout = MakeCodeLayout(graph, node);
  std::vector<int> bits(graph.weights[node.weights].out_channels);
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    const auto first = bits.begin() + layout.FirstChannel(block);
    std::fill(first, first + layout.BlockChannels(block), layer.block_bits[block]);
  }
  return bits;
}

// The narrower one of two that are as frequent.
int MostFrequent(const std::vector<int>& bits) {
  std::map<int, uint32_t> channels;
  for (const int b : bits) ++channels[b];
  return std::max_element(channels.begin(), channels.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

double Decibels(double signal, double noise) {
  return noise > 0 ? 10 * std::log10(signal / noise) : std::numeric_limits<double>::infinity();
}

// One layer's weights by rows.
class LayerRows {
 public:
  LayerRows(std::vector<float> weights, std::vector<int8_t> levels, const LayerDecision& layer)
      : weights_(std::move(weights)), levels_(std::move(levels)), layer_(layer) {}

  uint32_t count() const { return static_cast<uint32_t>(layer_.scales.size()); }
  std::span<const float> weights(uint32_t channel) const { return Row(weights_, channel); }
  std::span<const int8_t> levels(uint32_t channel) const { return Row(levels_, channel); }
  double scale(uint32_t channel) const { return layer_.scales[channel]; }

 private:
  template <typename T>
  std::span<const T> Row(const std::vector<T>& all, uint32_t channel) const {
    const size_t length = all.size() / layer_.scales.size();
    return std::span(all).subspan(channel * length, length);
  }

  std::vector<float> weights_;
  std::vector<int8_t> levels_;
  const LayerDecision& layer_;
};

double WeightSignalToNoise(const LayerRows& rows) {
  double signal = 0, noise = 0;
  for (uint32_t c = 0; c < rows.count(); ++c) {
    for (size_t i = 0; i < rows.weights(c).size(); ++i) {
      const double weight = rows.weights(c)[i];
      const double error = weight - rows.scale(c) * rows.levels(c)[i];
      signal += weight * weight;
      noise += error * error;
    }
  }
  return Decibels(signal, noise);
}

void ObserveHistograms(const LayerRows& rows, const std::vector<int>& bits,
                       WeightObservation& result) {
  double lowest = 0, highest = 0;
  std::map<int, uint64_t> levels;
  const auto for_each_row = [&](auto visit) {
    for (uint32_t c = 0; c < rows.count(); ++c) {
      if (bits[c] == result.bits) visit(c);
    }
  };
  for_each_row([&](uint32_t c) {
    ++result.channels;
    const auto [least, most] = std::minmax_element(rows.weights(c).begin(), rows.weights(c).end());
    lowest = std::min(lowest, *least / rows.scale(c));
    highest = std::max(highest, *most / rows.scale(c));
    for (const int8_t level : rows.levels(c)) ++levels[level];
  });
  result.levels.assign(levels.begin(), levels.end());
  result.weights = Bars(lowest, highest);
  for_each_row([&](uint32_t c) {
    for (const float weight : rows.weights(c)) result.weights.Add(weight / rows.scale(c), 1);
  });
}

Result<WeightObservation> ObserveWeights(const Graph& graph, const Node& node,
                                         const Equalization& equalization,
                                         const LayerDecision& layer) {
  MPQ_ASSIGN_OR_RETURN(std::vector<int8_t> levels, LayerLevels(graph, node, layer));
  const LayerRows rows(EffectiveWeights(graph, node, equalization), std::move(levels), layer);
  const std::vector<int> bits = ChannelBits(graph, node, layer);
  WeightObservation result;
  result.layer = node.name;
  result.bits = MostFrequent(bits);
  result.signal_to_noise_db = WeightSignalToNoise(rows);
  for (uint32_t c = 0; c < rows.count(); ++c) {
    const std::span<const int8_t> row = rows.levels(c);
    result.zero_channels += std::all_of(row.begin(), row.end(), [](int8_t x) { return x == 0; });
  }
  ObserveHistograms(rows, bits, result);
  return result;
}

ActivationObservation ObserveActivation(const Tensor& tensor, const Histogram& histogram,
                                        std::span<const float> channel_magnitudes,
                                        const ActivationDecision& decision) {
  ActivationObservation result;
  result.tensor = tensor.name;
  result.bits = decision.bits;
  const double scale = decision.scale;
  result.lowest = -scale * decision.zero_point;
  result.highest = scale * ((1 << decision.bits) - 1 - decision.zero_point);
  result.silent_channels =
      static_cast<uint32_t>(std::count(channel_magnitudes.begin(), channel_magnitudes.end(), 0.0f));
  if (histogram.empty()) return result;
  result.min = histogram.min();
  result.max = histogram.max();
  result.values = Bars(std::min(0.0, result.min), std::max(0.0, result.max));
  uint64_t saturated = 0;
  histogram.ForEachBin([&](double centre, uint64_t count) {
    result.values.Add(centre, count);
    if (centre < result.lowest - scale / 2 || centre > result.highest + scale / 2) {
      saturated += count;
    }
  });
  const auto num_values = static_cast<double>(histogram.num_values());
  result.saturated = static_cast<double>(saturated) / num_values;
  result.zeros = static_cast<double>(histogram.num_zeros()) / num_values;
  return result;
}

}  // namespace

Bars::Bars(double lowest, double highest)
    : first(lowest), width(highest > lowest ? (highest - lowest) / kCount : 1), counts(kCount) {}

void Bars::Add(double value, uint64_t count) {
  const double bar = std::floor((value - first) / width);
  counts[static_cast<size_t>(std::clamp(bar, 0.0, kCount - 1.0))] += count;
}

std::vector<SensitivityObservation> Observe(const Graph& graph,
                                            const std::vector<LayerSensitivity>& table) {
  std::vector<SensitivityObservation> result;
  for (const LayerSensitivity& layer : table) {
    SensitivityObservation observation{graph.nodes[layer.node].name, {}};
    for (const WidthOption& option : layer.options) {
      observation.kl_by_bits.emplace_back(option.bits, layer.Loss(option));
    }
    result.push_back(std::move(observation));
  }
  return result;
}

Result<Observations> Observe(const Graph& graph, const Calibration& calibration,
                             const Decisions& decisions,
                             const std::vector<uint32_t>& stored_tensors) {
  Observations result;
  for (uint32_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (!IsConvolution(node)) continue;
    MPQ_ASSIGN_OR_RETURN(WeightObservation weights,
                         ObserveWeights(graph, node, decisions.equalization, decisions.layers[i]));
    result.weights.push_back(std::move(weights));
  }
  // Padding makes channels that are 0 on purpose.
  std::vector<bool> padded(graph.tensors.size());
  for (const Node& node : graph.nodes) padded[node.output] = node.kind == OpKind::kSlicePad;
  for (uint32_t i = 0; i < graph.tensors.size(); ++i) {
    if (i == graph.output || stored_tensors[i] == kNone) continue;
    result.activations.push_back(ObserveActivation(graph.tensors[i], calibration.histograms[i],
                                                   calibration.channel_magnitudes[i],
                                                   decisions.activations[i]));
    if (padded[i]) result.activations.back().silent_channels = 0;
  }
  return result;
}

}  // namespace mpq
