// y = scale * x + bias per channel: batch norm, and arithmetic with constants.
#ifndef MPQ_QUANTIZE_IMPORT_CHANNEL_AFFINE_H_
#define MPQ_QUANTIZE_IMPORT_CHANNEL_AFFINE_H_

#include <vector>

#include "quantize/import/operator_context.h"

namespace mpq::onnx_import {

struct ChannelAffine {
  std::vector<float> scale, bias;  // one per channel
};

// Emits it as a 1x1 depthwise convolution, which a pass folds into the convolution before it.
Result<Value> EmitChannelAffine(OperatorContext& context, const Activation& x,
                                ChannelAffine affine);

}  // namespace mpq::onnx_import

#endif  // MPQ_QUANTIZE_IMPORT_CHANNEL_AFFINE_H_
