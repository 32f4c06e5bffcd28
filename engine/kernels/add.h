// kAdd and kClip with SIMD, one kernel per Highway target: "add.pairs.avx2", "clip.pairs.avx2".
#ifndef MPQ_ENGINE_KERNELS_ADD_H_
#define MPQ_ENGINE_KERNELS_ADD_H_

#include "engine/core/step.h"
#include "engine/kernels/highway_targets.h"

namespace mpq {

#define MPQ_DECLARE(name, text, isa, target) \
  extern const Kernel kAdd##name;            \
  extern const Kernel kClip##name;
MPQ_FOR_EACH_TARGET(MPQ_DECLARE)
#undef MPQ_DECLARE

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_ADD_H_
