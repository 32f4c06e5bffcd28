// A layer by itself, for tests of level sets.
#ifndef MPQ_TESTS_QUANTIZE_ONE_LAYER_H_
#define MPQ_TESTS_QUANTIZE_ONE_LAYER_H_

#include <cmath>
#include <random>
#include <utility>

#include "quantize/decisions.h"
#include "quantize/method.h"
#include "tests/quantize/graph_builder.h"

namespace mpq {

// A dense layer whose weights follow Laplace's distribution, as those of real layers nearly do.
inline Graph LaplaceLayer(uint32_t inputs, uint32_t outputs) {
  GraphBuilder builder(1, 1, inputs);
  const uint32_t output = builder.Conv(builder.input(), outputs);
  std::exponential_distribution<float> size(1);
  std::vector<float> values(size_t{inputs} * outputs);
  for (float& v : values) v = size(builder.random()) * (builder.random()() % 2 == 0 ? 1.0f : -1.0f);
  builder.last_weights().values = std::move(values);
  return builder.Finish(output);
}

// What a method sees of a graph of one layer.
struct LayerInput {
  explicit LayerInput(Graph layer) : graph(std::move(layer)) {}
  Graph graph;
  Equalization equalization;
  BitWidths widths;
  Progress progress;

  MethodInput Get() { return {graph, equalization, nullptr, {}, widths, 1, 1, progress}; }
};

inline double SquaredError(LayerInput& layer, const LayerDecision& decision) {
  const Node& node = layer.graph.nodes[0];
  const std::vector<int8_t> levels = *LayerLevels(layer.graph, node, decision);
  const Weights& weights = layer.graph.weights[node.weights];
  double error = 0;
  for (size_t i = 0; i < levels.size(); ++i) {
    const double scale = decision.scales[i / (levels.size() / weights.out_channels)];
    error += std::pow(weights.values[i] - scale * levels[i], 2);
  }
  return error;
}

}  // namespace mpq

#endif  // MPQ_TESTS_QUANTIZE_ONE_LAYER_H_
