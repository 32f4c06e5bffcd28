// Convolution by bare loops: what every fast kernel must reproduce bit by bit.
#ifndef MPQ_ENGINE_REF_CONV_H_
#define MPQ_ENGINE_REF_CONV_H_

#include "engine/core/step.h"

namespace mpq::ref {

// Any kernel size, stride, padding, dilation, groups, level set and output type.
extern const Kernel kConv;

}  // namespace mpq::ref

#endif  // MPQ_ENGINE_REF_CONV_H_
