// Storing the first bytes of a vector: outputs may be slices of a Concat's, so nothing beyond a
// pixel's channels may be written (engine/core/step.h).
#if defined(MPQ_ENGINE_KERNELS_STORE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MPQ_ENGINE_KERNELS_STORE_INL_H_
#undef MPQ_ENGINE_KERNELS_STORE_INL_H_
#else
#define MPQ_ENGINE_KERNELS_STORE_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/kernels/highway_targets.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mpq {
namespace HWY_NAMESPACE {

// Stores min(count, Lanes(d)) bytes.
template <class D>
HWY_INLINE void StoreFirst(hwy::HWY_NAMESPACE::Vec<D> codes, D d, size_t count, uint8_t* dst) {
  namespace hn = hwy::HWY_NAMESPACE;
  if (count >= hn::Lanes(d)) {
    hn::StoreU(codes, d, dst);
    return;
  }
  HWY_ALIGN uint8_t lanes[hn::MaxLanes(D())];
  hn::Store(codes, d, lanes);
  const uint8_t* src = lanes;
  for (; count >= 8; count -= 8, src += 8, dst += 8) std::memcpy(dst, src, 8);
  for (size_t i = 0; i < count; ++i) dst[i] = src[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace mpq
HWY_AFTER_NAMESPACE();

#endif  // MPQ_ENGINE_KERNELS_STORE_INL_H_
