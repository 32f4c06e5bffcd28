#include "quantize/logit_gain.h"

#include <utility>
#include <vector>

#include "mpq/model.h"
#include "quantize/lower.h"
#include "quantize/model_run.h"
#include "quantize/passes/graph_view.h"

namespace mpq {

double BestLogitGain(std::span<const float> reference, std::span<const float> logits,
                     uint32_t num_images) {
  constexpr int kSteps = 24;  // of ternary search: (2 / 3)^24 of the interval
  double lo = 0.5;
  double hi = 2.0;
  std::vector<float> scaled(logits.size());
  const auto divergence = [&](double gain) {
    for (size_t i = 0; i < logits.size(); ++i) scaled[i] = static_cast<float>(gain * logits[i]);
    return CompareLogits(reference, scaled, num_images).mean_kl;
  };
  for (int step = 0; step < kSteps; ++step) {
    const double third = (hi - lo) / 3;
    if (divergence(lo + third) < divergence(hi - third)) {
      hi -= third;
    } else {
      lo += third;
    }
  }
  return (lo + hi) / 2;
}

Status FitLogitGain(const ModelData& float_model, const CalibrationImages& images,
                    std::span<const float> reference, uint32_t threads, const Progress& progress,
                    Decisions& decisions) {
  const Graph& graph = float_model.graph;
  const uint32_t last = GraphView(graph).producer(graph.output);
  if (decisions.layers[last].shifted) return Status();  // its scales are powers of two
  MPQ_ASSIGN_OR_RETURN(LoweredModel lowered, LowerModel(float_model, decisions));
  MPQ_ASSIGN_OR_RETURN(const Model model, Model::FromData(std::move(lowered.data)));
  MPQ_ASSIGN_OR_RETURN(const std::vector<float> logits,
                       ModelLogits(model, images, threads, progress));
  const double gain = BestLogitGain(reference, logits, images.count);
  for (double& scale : decisions.layers[last].scales) scale *= gain;
  for (double& bias : decisions.layers[last].bias) bias *= gain;
  return Status();
}

}  // namespace mpq
