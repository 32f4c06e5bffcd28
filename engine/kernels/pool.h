// Pooling with SIMD, one kernel per Highway target: "max_pool.taps.avx2", "avg_pool.taps.avx2",
// "global_avg_pool.sums.avx2".
#ifndef MPQ_ENGINE_KERNELS_POOL_H_
#define MPQ_ENGINE_KERNELS_POOL_H_

#include "engine/core/step.h"
#include "engine/kernels/highway_targets.h"

namespace mpq {

#define MPQ_DECLARE(name, text, isa, target) \
  extern const Kernel kMaxPool##name;        \
  extern const Kernel kAvgPool##name;        \
  extern const Kernel kGlobalAvgPool##name;
MPQ_FOR_EACH_TARGET(MPQ_DECLARE)
#undef MPQ_DECLARE

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_POOL_H_
