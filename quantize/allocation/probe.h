// Measures, with the integer engine, how much the network's output changes when single layers or
// tensors do.
#ifndef MPQ_QUANTIZE_ALLOCATION_PROBE_H_
#define MPQ_QUANTIZE_ALLOCATION_PROBE_H_

#include <cstdint>
#include <vector>

#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/decisions.h"
#include "quantize/images.h"

namespace mpq {

class Probe {
 public:
  // References must outlive the object. `base`: complete; what changes are measured against.
  Probe(const ModelData& float_model, const CalibrationImages& images, uint32_t threads,
        Decisions base);

  // Before the first measurement.
  Status Start();

  // Mean KL divergence of the output from the base's when `layer` replaces that of node n.
  Result<double> Divergence(uint32_t n, const LayerDecision& layer);
  // The same when other activations replace the base's.
  Result<double> Divergence(const std::vector<ActivationDecision>& activations);

 private:
  Result<std::vector<float>> Logits() const;
  Result<double> DivergenceNow() const;

  const ModelData& float_model_;
  const CalibrationImages& images_;
  const uint32_t threads_;
  Decisions base_;
  std::vector<float> base_logits_;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ALLOCATION_PROBE_H_
