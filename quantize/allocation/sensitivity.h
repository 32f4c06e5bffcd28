// What each layer costs the network's output at each width, after the final rounding.
#ifndef MPQ_QUANTIZE_ALLOCATION_SENSITIVITY_H_
#define MPQ_QUANTIZE_ALLOCATION_SENSITIVITY_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/decisions.h"
#include "quantize/images.h"
#include "quantize/method.h"

namespace mpq {

// A layer at one width.
struct WidthOption {
  int bits = 0;
  LayerDecision layer;         // rounded
  double error = 0;            // mean squared error of the outputs, summed over channels
  std::vector<double> errors;  // the same per output channel
};

struct LayerSensitivity {
  uint32_t node = 0;
  // KL divergence that a unit of error in this layer causes at the network's output: measured, with
  // the integer engine, by giving only this layer kProbeBits.
  double importance = 0;
  std::vector<WidthOption> options;  // ascending widths

  // Predicted KL divergence of the network with only this layer at an option's width. For small
  // errors it is quadratic in them, so it is a layer's error times its importance.
  double Loss(const WidthOption& option) const { return importance * option.error; }
};

inline constexpr int kProbeBits = 3;
inline constexpr uint32_t kProbeImages = 128;  // about, see ShareImages

// `decisions` with the layers of a table, each at 8 bits or what is nearest.
Decisions WithWideLayers(std::span<const LayerSensitivity> table, const Decisions& decisions);

// Probes must be images that rounding has not seen: a layer that was fitted to few samples (the
// last one sees one an image) does much worse on others than on its own, and would get too few
// bits. Every few images one is a probe; sets of less than 8 are both.
struct ImageShares {
  CalibrationImages rounding, probes;
};
ImageShares ShareImages(const CalibrationImages& images);

// One entry per convolution, with the widths in `widths` (those at least kProbeBits and 8 among
// them); a layer whose width the user fixed (BitWidths' layers, first, last) has that one only.
// `input.moments` must be there: rounding is RoundLayers. `decisions`: activations and
// equalisation. `images`: the probes. With `input.cache` the table is kept for other target sizes
// and for --pareto.
Result<std::vector<LayerSensitivity>> MeasureSensitivity(
    const ModelData& float_model, const CalibrationImages& images, const Method& method,
    const MethodInput& input, const Decisions& decisions, std::span<const int> widths);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ALLOCATION_SENSITIVITY_H_
