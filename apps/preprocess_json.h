// Preprocessing as JSON:
//   {"resize_short_side": 256, "crop": 224, "interpolation": "bilinear", "channel_order": "RGB",
//    "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
// mean and std are on 0..255 in the order that channel_order says. `crop` is one number or [height,
// width]; resize_short_side 0 resizes straight to the crop. Unknown keys are left alone.
#ifndef MPQ_APPS_PREPROCESS_JSON_H_
#define MPQ_APPS_PREPROCESS_JSON_H_

#include <string>

#include "format/model_data.h"
#include "mpq/status.h"

namespace mpq {

Result<Preprocessing> ReadPreprocessJson(const std::string& path);

}  // namespace mpq

#endif  // MPQ_APPS_PREPROCESS_JSON_H_
