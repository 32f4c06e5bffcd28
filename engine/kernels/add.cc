#include "engine/kernels/add.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/add.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h:
#include "engine/kernels/store-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mpq {
namespace HWY_NAMESPACE {

#if MPQ_TARGET_HAS_VECTORS

namespace hn = hwy::HWY_NAMESPACE;

// AddCodes of format/requantize.h on vectors. a * ma + b * mb + the constant part fits 32 bits; the
// shifted sum saturates to 16 bits only where the code saturates anyway.
template <bool kTwo>
class Adder {
 public:
  using D16 = hn::ScalableTag<int16_t>;
  using D32 = hn::RepartitionToWide<D16>;
  using D8 = hn::Rebind<uint8_t, D16>;
  using V32 = hn::Vec<D32>;

  HWY_INLINE explicit Adder(const Step& step) {
    const Node& node = *step.node;
    const D16 d16;
    const D32 d32;
    const D8 d8;
    const int32_t ma = node.multiplier[0];
    const int32_t mb = kTwo ? node.multiplier[1] : 0;
    int32_t start = (1 << (node.shift - 1)) - step.src_tensors[0]->zero_point * ma;
    if (kTwo) start -= step.src_tensors[1]->zero_point * mb;
#if HWY_ARCH_X86
    const uint32_t pair = (static_cast<uint32_t>(mb) << 16) | (static_cast<uint32_t>(ma) & 0xffff);
    multiplier_ = hn::BitCast(d16, hn::Set(d32, static_cast<int32_t>(pair)));
#else
    multiplier_ = hn::Set(d16, static_cast<int16_t>(ma));
    multiplier_b_ = hn::Set(d16, static_cast<int16_t>(mb));
#endif
    start_ = hn::Set(d32, start);
    shift_ = node.shift;
    zero_point_ = hn::Set(d16, static_cast<int16_t>(step.dst_tensor->zero_point));
    code_lo_ = hn::Set(d8, node.code_lo);
    code_hi_ = hn::Set(d8, node.code_hi);
  }

  // `count` codes. Reads up to a vector beyond; b is not read if !kTwo.
  HWY_INLINE void Run(const uint8_t* a, const uint8_t* b, size_t count, uint8_t* dst) const {
    const D16 d16;
    const D32 d32;
    const D8 d8;
    for (size_t i = 0; i < count; i += hn::Lanes(d8)) {
      const auto va = hn::PromoteTo(d16, hn::LoadU(d8, a + i));
      const auto vb = kTwo ? hn::PromoteTo(d16, hn::LoadU(d8, b + i)) : hn::Zero(d16);
      V32 sum0 = start_;
      V32 sum1 = start_;
#if HWY_ARCH_X86
      V32 unused = hn::Zero(d32);  // pmaddwd adds neighbours: one sum is enough
      sum0 = hn::ReorderWidenMulAccumulate(d32, hn::InterleaveLower(d16, va, vb), multiplier_, sum0,
                                           unused);
      sum1 = hn::ReorderWidenMulAccumulate(d32, hn::InterleaveUpper(d16, va, vb), multiplier_, sum1,
                                           unused);
#else
      sum0 = hn::ReorderWidenMulAccumulate(d32, va, multiplier_, sum0, sum1);
      if (kTwo) sum0 = hn::ReorderWidenMulAccumulate(d32, vb, multiplier_b_, sum0, sum1);
#endif
      const auto steps = hn::ReorderDemote2To(d16, hn::ShiftRightSame(sum0, shift_),
                                              hn::ShiftRightSame(sum1, shift_));
      const auto codes = hn::DemoteTo(d8, hn::SaturatedAdd(steps, zero_point_));
      StoreFirst(hn::Min(hn::Max(codes, code_lo_), code_hi_), d8, count - i, dst + i);
    }
  }

 private:
  hn::Vec<D16> multiplier_;  // x86: pairs (ma, mb)
#if !HWY_ARCH_X86
  hn::Vec<D16> multiplier_b_;
#endif
  V32 start_;
  int shift_;
  hn::Vec<D16> zero_point_;
  hn::Vec<D8> code_lo_, code_hi_;
};

// Rows [first, last), counted through all images, are neighbours in memory.
template <bool kTwo>
void AddRows(const Step& step, uint32_t first, uint32_t last, std::byte*) {
  const Adder<kTwo> adder(step);
  const TensorView& dst = step.dst;
  const TensorView& a = step.src[0];
  const TensorView& b = step.src[kTwo ? 1 : 0];
  const size_t begin = size_t{first} * dst.width;
  const size_t end = size_t{last} * dst.width;
  const bool dense = dst.pixel_stride == dst.channels && a.pixel_stride == dst.channels &&
                     b.pixel_stride == dst.channels;
  if (dense) {
    const size_t offset = begin * dst.channels;
    adder.Run(a.u8() + offset, b.u8() + offset, (end - begin) * dst.channels,
              dst.mutable_u8() + offset);
    return;
  }
  for (size_t pixel = begin; pixel < end; ++pixel) {
    adder.Run(a.u8() + pixel * a.pixel_stride, b.u8() + pixel * b.pixel_stride, dst.channels,
              dst.mutable_u8() + pixel * dst.pixel_stride);
  }
}

#endif  // MPQ_TARGET_HAS_VECTORS

}  // namespace HWY_NAMESPACE
}  // namespace mpq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace mpq {

namespace {

std::string NeverRefuse(const Step&) { return {}; }
uint32_t RowsOfOutput(const Step& step) { return step.dst.batch * step.dst.height; }
size_t NoScratch(const Step&) { return 0; }

}  // namespace

#define MPQ_DEFINE(name, text, isa, target)                                        \
  const Kernel kAdd##name = {"add.pairs." text, isa,       NeverRefuse,            \
                             RowsOfOutput,      NoScratch, target::AddRows<true>}; \
  const Kernel kClip##name = {"clip.pairs." text, isa,       NeverRefuse,          \
                              RowsOfOutput,       NoScratch, target::AddRows<false>};
MPQ_FOR_EACH_TARGET(MPQ_DEFINE)
#undef MPQ_DEFINE

}  // namespace mpq

#endif  // HWY_ONCE
