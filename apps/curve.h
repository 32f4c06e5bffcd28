// The curve of accuracy against size as a file:
//   {"points": [{"bytes": 1968640, "predicted_kl": 0.05, "agreement": 0.94, "mean_kl": 0.06,
//                "bits": {"stem": 8, ...}}, ...]}
#ifndef MPQ_APPS_CURVE_H_
#define MPQ_APPS_CURVE_H_

#include <string>

#include "mpq/status.h"
#include "quantize/quantize.h"

namespace mpq {

// `quantized` with a curve, and so with the sensitivity of its layers.
Status WriteCurve(const Quantized& quantized, const std::string& path);

}  // namespace mpq

#endif  // MPQ_APPS_CURVE_H_
