// Moves every layer's biases so that its pre-activations keep their float means
// (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019).
#ifndef MPQ_QUANTIZE_BIAS_CORRECTION_H_
#define MPQ_QUANTIZE_BIAS_CORRECTION_H_

#include <cstdint>

#include "format/graph.h"
#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/calibration.h"
#include "quantize/decisions.h"
#include "quantize/images.h"
#include "quantize/progress.h"

namespace mpq {

// For weight rounding alone, as if all inputs were float: b' = b + (w - w_q) E[x]. Runs nothing.
Status CorrectBiasForWeights(const Graph& graph, const Calibration& calibration,
                             Decisions& decisions);

// Empirical and sequential: the lowered model runs on the first `num_images` images through the
// integer engine, and each bias becomes b' = E[z] - w_q E[x_q], x_q its real quantised inputs. One
// run for every depth of the network, since a correction changes what all later layers see.
// (Correcting all layers after one run overshoots: each would make up for the same drift again.)
// `float_model`: the float graph with its preprocessing.
Status CorrectBias(const ModelData& float_model, const Calibration& calibration,
                   const CalibrationImages& images, uint32_t num_images, uint32_t threads,
                   const Progress& progress, Decisions& decisions);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_BIAS_CORRECTION_H_
