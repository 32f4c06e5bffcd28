// The requantisation of format/requantize.h in SIMD, for Highway kernels.
#if defined(MPQ_ENGINE_KERNELS_REQUANTIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MPQ_ENGINE_KERNELS_REQUANTIZE_INL_H_
#undef MPQ_ENGINE_KERNELS_REQUANTIZE_INL_H_
#else
#define MPQ_ENGINE_KERNELS_REQUANTIZE_INL_H_
#endif

#include <cstdint>

#include "engine/kernels/highway_targets.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mpq {
namespace HWY_NAMESPACE {

#if MPQ_TARGET_HAS_VECTORS

// Two vectors of accumulators become one of output codes in 16 bits. Both vectors hold the channels
// in the order that makes ReorderDemote2To give them in sequence. The accumulators already contain
// the bias and half a step of the right shift.
template <class D16>
class Requantization {
 public:
  using D32 = hwy::HWY_NAMESPACE::RepartitionToWide<D16>;
  using V32 = hwy::HWY_NAMESPACE::VFromD<D32>;
  using V16 = hwy::HWY_NAMESPACE::VFromD<D16>;

  // right, left: of the accumulators, two vectors; multiplier: in channel order, 0 in the shifted
  // form. One of right and left is 0 in every channel.
  HWY_INLINE Requantization(const int32_t* right, const int32_t* left, const int16_t* multiplier,
                            int32_t zero_point, bool left_shifts)
      : left_shifts_(left_shifts) {
    namespace hn = hwy::HWY_NAMESPACE;
    const D32 d32;
    const D16 d16;
    right0_ = hn::LoadU(d32, right);
    right1_ = hn::LoadU(d32, right + hn::Lanes(d32));
    left0_ = hn::LoadU(d32, left);
    left1_ = hn::LoadU(d32, left + hn::Lanes(d32));
    multiplier_ = hn::LoadU(d16, multiplier);
    zero_point_ = hn::Set(d16, static_cast<int16_t>(zero_point));
  }

  // Not yet clamped to 0..255. Additions saturate only where the code would saturate anyway.
  HWY_INLINE V16 Codes(V32 sum0, V32 sum1) const {
    namespace hn = hwy::HWY_NAMESPACE;
    const D16 d16;
    const V16 t =
        hn::ReorderDemote2To(d16, Shift(sum0, right0_, left0_), Shift(sum1, right1_, left1_));
    const V16 u = hn::MulFixedPoint15(t, multiplier_);
    const V16 scaled = hn::ShiftRight<6>(hn::SaturatedAdd(u, hn::Set(d16, 32)));
    const V16 steps = hn::IfThenElse(hn::Eq(multiplier_, hn::Zero(d16)), t, scaled);
    return hn::SaturatedAdd(steps, zero_point_);
  }

 private:
  HWY_INLINE V32 Shift(V32 sum, V32 right, V32 left) const {
    namespace hn = hwy::HWY_NAMESPACE;
    const D32 d32;
    V32 t = sum >> right;
    if (left_shifts_) {  // 16 bits after saturation: 15 more fit
      t = hn::Min(hn::Max(t, hn::Set(d32, -32768)), hn::Set(d32, 32767));
      t = t << left;
    }
    return t;
  }

  V32 right0_, right1_, left0_, left1_;
  V16 multiplier_, zero_point_;
  bool left_shifts_;
};

#endif  // MPQ_TARGET_HAS_VECTORS

}  // namespace HWY_NAMESPACE
}  // namespace mpq
HWY_AFTER_NAMESPACE();

#endif  // MPQ_ENGINE_KERNELS_REQUANTIZE_INL_H_
