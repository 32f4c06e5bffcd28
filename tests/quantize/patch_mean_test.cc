#include "quantize/patch_mean.h"

#include <doctest/doctest.h>

#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

// The mean of a convolution's outputs follows from its mean patch.
void CheckMeanOutput(const Graph& graph) {
  const Node& node = graph.nodes[0];
  PatchSum sum(graph, node);
  PatchSum other(graph, node);
  const uint32_t channels = graph.tensors[node.output].channels;
  std::vector<double> expected(channels);
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const std::vector<float> src = RandomInput(graph, seed);
    (seed < 3 ? sum : other).Add(src);
    const std::vector<float> dst = RunReference(graph, src);
    for (size_t i = 0; i < dst.size(); ++i) {
      expected[i % channels] += dst[i] / (4.0 * static_cast<double>(dst.size()) / channels);
    }
  }
  sum.Merge(other);
  const Weights& weights = graph.weights[0];
  const std::vector<double> values(weights.values.begin(), weights.values.end());
  const std::vector<double> mean = MeanOutput(graph, node, values, sum.Mean());
  for (uint32_t c = 0; c < channels; ++c) {
    CHECK(mean[c] + weights.bias[c] == doctest::Approx(expected[c]).epsilon(1e-4));
  }
}

TEST_CASE("mean patches give mean outputs") {
  Window odd;
  odd.kernel_h = 3;
  odd.kernel_w = 2;
  odd.stride_h = 2;
  odd.stride_w = 3;
  odd.dilation_h = 2;
  odd.pad_top = 1;
  odd.pad_left = 1;
  odd.pad_right = 2;
  for (const Window& window :
       {SquareWindow(1), SquareWindow(3, 1, 1), SquareWindow(5, 2, 2), odd}) {
    for (const uint32_t groups : {1u, 2u}) {
      GraphBuilder b(9, 8, 4);
      CheckMeanOutput(b.Finish(b.Conv(b.input(), 6, window, groups)));
    }
    GraphBuilder b(9, 8, 4);
    CheckMeanOutput(b.Finish(b.Depthwise(b.input(), window)));
  }
}

}  // namespace
}  // namespace mpq
