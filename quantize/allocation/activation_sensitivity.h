// What each activation costs the network's output at each width: the counterpart of sensitivity.h.
#ifndef MPQ_QUANTIZE_ALLOCATION_ACTIVATION_SENSITIVITY_H_
#define MPQ_QUANTIZE_ALLOCATION_ACTIVATION_SENSITIVITY_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/allocation/sensitivity.h"
#include "quantize/decisions.h"
#include "quantize/images.h"
#include "quantize/progress.h"

namespace mpq {

// A group of tensors (SharingGroups) at one width.
struct ActivationOption {
  ActivationDecision decision;
  double loss = 0;  // KL divergence of the output with only this group at this width
};

struct ActivationSensitivity {
  std::vector<uint32_t> tensors;
  std::vector<ActivationOption> options;  // ascending widths; the last is the decided one, loss 0
};

// All activations with so many bits.
using DecideAtWidth = std::function<std::vector<ActivationDecision>(int bits)>;

// One entry for every group of tensors that convolutions read, but for the graph's input, with
// widths from `least_bits` to those of `decisions`. Layers are those of `table` at about 8 bits.
// `probes`: as for sensitivity.h.
Result<std::vector<ActivationSensitivity>> MeasureActivationSensitivity(
    const ModelData& float_model, const CalibrationImages& probes,
    std::span<const LayerSensitivity> table, const DecideAtWidth& decide, int least_bits,
    uint32_t threads, const Progress& progress, const Decisions& decisions);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ALLOCATION_ACTIVATION_SENSITIVITY_H_
