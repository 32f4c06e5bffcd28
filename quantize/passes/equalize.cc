#include "quantize/passes/equalize.h"

#include <algorithm>
#include <cmath>

#include "quantize/passes/graph_view.h"

namespace mpq {

namespace {

// Scales are kept within these bounds: a channel that calibration hardly saw must not vanish.
constexpr float kMinScale = 1.0f / 32;
constexpr float kMaxScale = 32.0f;

bool KeepsScaling(const Node& node) {
  const bool lo_free = node.clip_lo == 0.0f || std::isinf(node.clip_lo);
  const bool hi_free = node.clip_hi > 0.0f;
  return lo_free && hi_free;
}

// The largest |weight| that reads each input channel.
std::vector<float> InputMagnitudes(const Graph& graph, const Node& node, uint32_t channels) {
  std::vector<float> magnitudes(channels, 0.0f);
  const std::span<const float> values = graph.weights[node.weights].values.span();
  const InputChannelIndex input_channel(graph, node);
  for (size_t i = 0; i < values.size(); ++i) {
    float& m = magnitudes[input_channel(i)];
    m = std::max(m, std::abs(values[i]));
  }
  return magnitudes;
}

std::vector<float> BalanceScales(const Graph& graph, uint32_t tensor,
                                 const std::vector<float>& activation,
                                 std::span<const uint32_t> consumers) {
  const uint32_t channels = graph.tensors[tensor].channels;
  bool mixes = false;
  std::vector<float> following(channels, 0.0f);
  for (const uint32_t n : consumers) {
    const Node& node = graph.nodes[n];
    if (node.kind == OpKind::kDepthwiseConv) continue;
    mixes = true;
    const std::vector<float> magnitudes = InputMagnitudes(graph, node, channels);
    for (uint32_t c = 0; c < channels; ++c) following[c] = std::max(following[c], magnitudes[c]);
  }
  std::vector<float> scales(channels);
  double log_sum = 0;
  for (uint32_t c = 0; c < channels; ++c) {
    float ratio = activation[c];
    if (mixes) ratio = following[c] > 0 ? std::sqrt(activation[c] / following[c]) : 0.0f;
    scales[c] = ratio;
  }
  // Normalised to a geometric mean of 1 over the channels in use: only ratios matter.
  uint32_t used = 0;
  for (const float s : scales) {
    if (s <= 0) continue;
    log_sum += std::log(static_cast<double>(s));
    ++used;
  }
  const float mean = used == 0 ? 1.0f : static_cast<float>(std::exp(log_sum / used));
  for (float& s : scales) s = s <= 0 ? 1.0f : std::clamp(s / mean, kMinScale, kMaxScale);
  return scales;
}

}  // namespace

uint32_t Equalization::count() const {
  return static_cast<uint32_t>(std::count_if(channel_scales_.begin(), channel_scales_.end(),
                                             [](const auto& s) { return !s.empty(); }));
}

std::vector<uint32_t> EqualizableTensors(const Graph& graph) {
  const GraphView view(graph);
  std::vector<uint32_t> tensors;
  for (const Node& node : graph.nodes) {
    if (!IsConvolution(node) || !KeepsScaling(node) || node.output == graph.output) continue;
    const std::span<const uint32_t> consumers = view.consumers(node.output);
    const bool only_convolutions = std::all_of(consumers.begin(), consumers.end(), [&](uint32_t n) {
      return IsConvolution(graph.nodes[n]);
    });
    if (!consumers.empty() && only_convolutions) tensors.push_back(node.output);
  }
  return tensors;
}

Equalization Equalize(const Graph& graph, std::span<const std::vector<float>> channel_magnitudes) {
  const GraphView view(graph);
  Equalization equalization(graph.tensors.size());
  for (const uint32_t tensor : EqualizableTensors(graph)) {
    equalization.Set(
        tensor, BalanceScales(graph, tensor, channel_magnitudes[tensor], view.consumers(tensor)));
  }
  return equalization;
}

std::vector<float> EffectiveWeights(const Graph& graph, const Node& node,
                                    const Equalization& equalization) {
  const Weights& weights = graph.weights[node.weights];
  std::vector<float> values = weights.values.ToVector();
  const InputChannelIndex input_channel(graph, node);
  const size_t row = values.size() / weights.out_channels;
  for (size_t i = 0; i < values.size(); ++i) {
    const uint32_t out = static_cast<uint32_t>(i / row);
    values[i] *=
        equalization.scale(node.inputs[0], input_channel(i)) / equalization.scale(node.output, out);
  }
  return values;
}

std::vector<double> EffectiveBias(const Graph& graph, const Node& node,
                                  const Equalization& equalization) {
  const Buffer<float>& bias = graph.weights[node.weights].bias;
  std::vector<double> effective(bias.begin(), bias.end());
  for (uint32_t c = 0; c < effective.size(); ++c) {
    effective[c] /= equalization.scale(node.output, c);
  }
  return effective;
}

}  // namespace mpq
