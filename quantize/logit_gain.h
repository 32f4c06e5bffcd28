// Makes up for what reconstruction takes from the logits. A layer that is fitted to bring its
// output back from noisy inputs gives less than the whole of it (regression dilution), layer after
// layer; at the end the order of the classes is right, but the logits are too small and the
// probabilities too even.
#ifndef MPQ_QUANTIZE_LOGIT_GAIN_H_
#define MPQ_QUANTIZE_LOGIT_GAIN_H_

#include <cstdint>
#include <span>

#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/decisions.h"
#include "quantize/images.h"
#include "quantize/progress.h"

namespace mpq {

// The factor on `logits`, in [0.5, 2], that brings the mean of KL(softmax(reference) ||
// softmax(factor * logits)) to its minimum; both [images][classes]. The divergence is convex in it.
double BestLogitGain(std::span<const float> reference, std::span<const float> logits,
                     uint32_t num_images);

// Multiplies scales and biases of the last layer by the best gain for the calibration images;
// `reference`: their float logits.
Status FitLogitGain(const ModelData& float_model, const CalibrationImages& images,
                    std::span<const float> reference, uint32_t threads, const Progress& progress,
                    Decisions& decisions);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_LOGIT_GAIN_H_
