// Pooling by bare loops.
#ifndef MPQ_ENGINE_REF_POOL_H_
#define MPQ_ENGINE_REF_POOL_H_

#include "engine/core/step.h"

namespace mpq::ref {

// The padding is code 0, the smallest.
extern const Kernel kMaxPool;
// Codes in the padding count as the zero point where the node counts them; the part of a window
// that ceil_mode pushes beyond the padding never counts.
extern const Kernel kAvgPool;
extern const Kernel kGlobalAvgPool;

}  // namespace mpq::ref

#endif  // MPQ_ENGINE_REF_POOL_H_
