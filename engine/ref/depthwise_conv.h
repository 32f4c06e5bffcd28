// Depthwise convolution by bare loops.
#ifndef MPQ_ENGINE_REF_DEPTHWISE_CONV_H_
#define MPQ_ENGINE_REF_DEPTHWISE_CONV_H_

#include "engine/core/step.h"

namespace mpq::ref {

// Any kernel size, stride, padding, dilation, level set and output type.
extern const Kernel kDepthwiseConv;

}  // namespace mpq::ref

#endif  // MPQ_ENGINE_REF_DEPTHWISE_CONV_H_
