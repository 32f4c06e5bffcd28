// Moves every layer's biases so that its pre-activations keep their float means
// (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019).
#ifndef MPQ_QUANTIZE_BIAS_CORRECTION_H_
#define MPQ_QUANTIZE_BIAS_CORRECTION_H_

#include "format/graph.h"
#include "mpq/status.h"
#include "quantize/calibration.h"
#include "quantize/decisions.h"

namespace mpq {

// For weight rounding alone, as if all inputs were float: b' = b + (w - w_q) E[x]. Runs nothing.
Status CorrectBiasForWeights(const Graph& graph, const Calibration& calibration,
                             Decisions& decisions);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_BIAS_CORRECTION_H_
