#include "quantize/ptilmpq/selection.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mpq {

namespace {

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The smallest prefix of the layers by falling sensitivity that has kImportantShare of the sum.
std::vector<bool> ImportantLayers(std::span<const LayerImportance> layers) {
  std::vector<size_t> order(layers.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return layers[a].sensitivity > layers[b].sensitivity;
  });
  double sum = 0;
  for (const LayerImportance& layer : layers) sum += layer.sensitivity;
  std::vector<bool> important(layers.size(), false);
  double taken = 0;
  for (const size_t i : order) {
    if (taken >= kImportantShare * sum) break;
    important[i] = true;
    taken += layers[i].sensitivity;
  }
  return important;
}

// The most important blocks, about `channels` channels of them.
std::vector<bool> MostImportant(const LayerImportance& layer, double channels) {
  std::vector<size_t> order(layer.blocks.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return layer.blocks[a].importance > layer.blocks[b].importance;
  });
  std::vector<bool> high(layer.blocks.size(), false);
  for (const size_t b : order) {
    if (channels < 0.5 * layer.blocks[b].channels) break;
    high[b] = true;
    channels -= layer.blocks[b].channels;
  }
  return high;
}

std::vector<std::vector<bool>> SelectFraction(std::span<const LayerImportance> layers,
                                              double alpha) {
  std::vector<double> sensitivities;
  for (const LayerImportance& layer : layers) sensitivities.push_back(layer.sensitivity);
  const double median = Median(sensitivities);
  const std::vector<bool> important = ImportantLayers(layers);
  std::vector<std::vector<bool>> high;
  for (size_t i = 0; i < layers.size(); ++i) {
    double channels = 0;
    for (const BlockImportance& block : layers[i].blocks) channels += block.channels;
    const double share = median > 0 ? std::min(layers[i].sensitivity / median, 1.0) : 1.0;
    high.push_back(MostImportant(layers[i], important[i] ? alpha * channels * share : 0));
  }
  return high;
}

std::vector<std::vector<bool>> SelectLagrange(std::span<const LayerImportance> layers,
                                              double alpha) {
  double loss = 0;
  double bytes = 0;
  for (const LayerImportance& layer : layers) {
    loss += layer.sensitivity;
    for (const BlockImportance& block : layer.blocks)
      bytes += static_cast<double>(block.extra_bytes);
  }
  std::vector<std::vector<bool>> high;
  for (const LayerImportance& layer : layers) {
    double importance = 0;
    for (const BlockImportance& block : layer.blocks) importance += block.importance;
    std::vector<bool>& selected = high.emplace_back();
    for (const BlockImportance& block : layer.blocks) {
      const double share = importance > 0 ? block.importance / importance : 0;
      const double saved = loss > 0 ? layer.sensitivity * share / loss : 0;
      const double paid = bytes > 0 ? static_cast<double>(block.extra_bytes) / bytes : 0;
      selected.push_back(alpha * saved > (1 - alpha) * paid);
    }
  }
  return high;
}

}  // namespace

std::vector<std::vector<bool>> SelectHighBlocks(std::span<const LayerImportance> layers,
                                                double alpha, AlphaMode mode) {
  if (layers.empty()) return {};
  std::vector<std::vector<bool>> high =
      mode == AlphaMode::kFraction ? SelectFraction(layers, alpha) : SelectLagrange(layers, alpha);
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].always_high) high[i].assign(high[i].size(), true);
  }
  return high;
}

}  // namespace mpq
