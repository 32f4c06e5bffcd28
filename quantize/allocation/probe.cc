#include "quantize/allocation/probe.h"

#include <utility>

#include "mpq/model.h"
#include "quantize/lower.h"
#include "quantize/model_run.h"

namespace mpq {

Probe::Probe(const ModelData& float_model, const CalibrationImages& images, uint32_t threads,
             Decisions base)
    : float_model_(float_model), images_(images), threads_(threads), base_(std::move(base)) {}

Status Probe::Start() {
  MPQ_ASSIGN_OR_RETURN(base_logits_, Logits());
  return Status();
}

Result<double> Probe::Divergence(uint32_t n, const LayerDecision& layer) {
  LayerDecision kept = std::exchange(base_.layers[n], layer);
  Result<double> divergence = DivergenceNow();
  base_.layers[n] = std::move(kept);
  return divergence;
}

Result<double> Probe::Divergence(const std::vector<ActivationDecision>& activations) {
  std::vector<ActivationDecision> kept = std::exchange(base_.activations, activations);
  Result<double> divergence = DivergenceNow();
  base_.activations = std::move(kept);
  return divergence;
}

Result<double> Probe::DivergenceNow() const {
  MPQ_ASSIGN_OR_RETURN(const std::vector<float> logits, Logits());
  return CompareLogits(base_logits_, logits, images_.count).mean_kl;
}

Result<std::vector<float>> Probe::Logits() const {
  MPQ_ASSIGN_OR_RETURN(LoweredModel lowered, LowerModel(float_model_, base_));
  MPQ_ASSIGN_OR_RETURN(const Model model, Model::FromData(std::move(lowered.data)));
  return ModelLogits(model, images_, threads_, Progress());
}

}  // namespace mpq
