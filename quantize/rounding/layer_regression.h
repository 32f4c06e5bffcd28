// What a layer's weights should be for the inputs that quantised layers give: linear regression
// from samples of both networks, then rounding. sequential.h has the formula.
#ifndef MPQ_QUANTIZE_ROUNDING_LAYER_REGRESSION_H_
#define MPQ_QUANTIZE_ROUNDING_LAYER_REGRESSION_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/graph.h"
#include "mpq/status.h"
#include "quantize/decisions.h"
#include "quantize/rounding/input_moments.h"
#include "quantize/rounding/patch_sampler.h"

namespace mpq {

// What one view says about one layer.
struct LayerSamples {
  std::vector<float> inputs;     // x, [groups][samples][size]
  std::vector<float> quantized;  // x'
  std::vector<float> residuals;  // r - r', [samples][output channels]; empty: no residual
};

// Sums over samples, and the means and covariances they become.
struct RegressionMoments {
  InputMoments inputs;               // of x'
  std::vector<float> cross;          // E[(w x + r - r') x'], shaped as the weights
  std::vector<double> input_means;   // [groups][size]
  std::vector<double> output_means;  // [groups][rows]
  double count = 0;
  uint32_t rows = 0;  // of a group

  RegressionMoments(uint32_t groups, uint32_t size, uint32_t group_rows);

  void Add(const RegressionMoments& other);
  // From sums to means and covariances.
  void Finish();
};

// A layer's samples of two halves of the images, and the weights that follow. What one half
// teaches is tested on the other: the ridge is the one that serves there best. Layers that see few
// samples (the last one: an image is one) would learn the calibration images by heart otherwise.
class LayerRegression {
 public:
  static constexpr uint32_t kHalves = 2;

  // `addition`: the node that becomes the layer's residual, or kNone. `num_images` decides how many
  // samples an image or a view of one gives (patch_sampler.h). References must outlive the object.
  LayerRegression(const Graph& graph, uint32_t node, uint32_t num_images,
                  const Decisions& decisions, uint32_t addition);

  // The tensors that samples are taken from: the input, and the residual if there is one.
  std::vector<uint32_t> tensors() const;
  uint32_t input() const { return node_.inputs[0]; }
  uint32_t residual() const;  // a tensor, or kNone

  void Sample(std::span<const float> float_src, std::span<const float> quantized_src, double offset,
              LayerSamples& samples) const;
  // difference: r - r'
  void SampleResidual(std::span<const float> difference, double offset,
                      LayerSamples& samples) const;

  // The halves may be added to at the same time. Views are summed in their order.
  void Add(uint32_t half, std::span<const LayerSamples* const> views);

  // Rounds the layer and sets its bias.
  Status Round(uint32_t threads, LayerDecision& layer);

 private:
  // 0: no regression, the weights as they are.
  std::vector<float> Targets(const RegressionMoments& moments, float ridge) const;
  Result<float> ChooseRidge(uint32_t threads);

  const Graph& graph_;
  const Node& node_;
  PatchSampler sampler_;
  uint32_t addition_;
  std::vector<float> weights_;  // effective
  std::vector<double> bias_;    // effective
  uint32_t rows_;               // of a group
  std::vector<RegressionMoments> halves_;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ROUNDING_LAYER_REGRESSION_H_
