// The uniform method: levels at equal distances, one scale per output channel, nearest rounding.
#ifndef MPQ_QUANTIZE_UNIFORM_H_
#define MPQ_QUANTIZE_UNIFORM_H_

#include <memory>

#include "quantize/method.h"

namespace mpq {

// 2..8 bits: levels -2^(B-1)..2^(B-1)-1. 1 bit: a table of {0, 1} or {-1, 0}, whichever serves the
// layer better.
std::unique_ptr<Method> MakeUniformMethod();
Result<LayerDecision> DecideUniformLayer(const MethodInput& input, uint32_t node, int bits);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_UNIFORM_H_
