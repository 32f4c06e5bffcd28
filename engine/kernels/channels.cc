#include "engine/kernels/channels.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "engine/kernels/highway_targets.h"
#include "format/requantize.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/channels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h:
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mpq {
namespace HWY_NAMESPACE {

#if MPQ_TARGET_HAS_VECTORS

namespace hn = hwy::HWY_NAMESPACE;

void DescribeChannels(const ChannelParams* params, uint32_t count, int64_t max_product_sum,
                      GemmChannels& out, ChannelFlags& flags) {
  const hn::CappedTag<int32_t, kGemmBlockChannels> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<int16_t, decltype(d)> d16;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  ChannelParams block[kGemmBlockChannels];
  if (count < kGemmBlockChannels) {
    std::copy_n(params, count, block);
    std::fill(block + count, block + kGemmBlockChannels, ChannelParams{0, Requantizer().Pack()});
    params = block;
  }
  const auto zero = hn::Zero(d), one = hn::Set(d, 1);
  // |bias| stays below 2^30 (kMaxAccumulator), so this bound of a sum fits 32 bits.
  const auto max_products =
      hn::Set(d, static_cast<int32_t>(std::min(max_product_sum, int64_t{1} << 30)));
  const auto int32_max = hn::Set(d, std::numeric_limits<int32_t>::max());
  auto any_left = zero, any_right = zero, any_shifted = zero, any_clamp = zero;
  auto least_room = int32_max;
  for (uint32_t i = 0; i < kGemmBlockChannels; i += static_cast<uint32_t>(hn::Lanes(d))) {
    hn::Vec<decltype(d)> bias, word;
    hn::LoadInterleaved2(d, &params[i].bias, bias, word);
    const auto unsigned_word = hn::BitCast(du, word);
    const auto bits = [&](auto shifted_word, int32_t mask) {
      return hn::And(hn::BitCast(d, shifted_word), hn::Set(d, mask));
    };
    const auto m = bits(unsigned_word, 0x7fff);
    const auto pre = hn::Sub(bits(hn::ShiftRight<15>(unsigned_word), 63), hn::Set(d, 15));
    const auto shifted = bits(hn::ShiftRight<21>(unsigned_word), 1);
    const auto code_hi = hn::BitCast(d, hn::ShiftRight<24>(unsigned_word));
    const auto right = hn::Max(pre, zero);
    const auto left = hn::Max(hn::Neg(pre), zero);
    // Half a step: the accumulation is modulo 2^32.
    const auto step = hn::Shl(hn::BitCast(du, one), hn::BitCast(du, right));
    hn::Store(hn::Add(bias, hn::BitCast(d, hn::ShiftRight<1>(step))), d, out.start + i);
    hn::Store(right, d, out.right + i);
    hn::Store(left, d, out.left + i);
    hn::Store(hn::DemoteTo(d16, hn::And(m, hn::Sub(shifted, one))), d16, out.multiplier + i);
    hn::Store(hn::DemoteTo(d8, code_hi), d8, out.code_hi + i);
    any_left = hn::Or(any_left, left);
    any_right = hn::Or(any_right, right);
    any_clamp = hn::Or(any_clamp, hn::Xor(code_hi, hn::Set(d, 255)));
    any_shifted = hn::Or(any_shifted, shifted);
    const auto largest = hn::Add(hn::Abs(bias), max_products);
    least_room = hn::Min(least_room, hn::Sub(hn::Shr(int32_max, left), largest));
  }
  flags.left_shifts |= !hn::AllTrue(d, hn::Eq(any_left, zero));
  flags.right_shifts |= !hn::AllTrue(d, hn::Eq(any_right, zero));
  flags.clamps |= !hn::AllTrue(d, hn::Eq(any_clamp, zero));
  flags.shifted |= !hn::AllTrue(d, hn::Eq(any_shifted, zero));
  flags.saturate_first |= !hn::AllFalse(d, hn::Lt(least_room, zero));
}

#endif  // MPQ_TARGET_HAS_VECTORS

}  // namespace HWY_NAMESPACE
}  // namespace mpq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace mpq {

void DescribeChannelsScalar(const ChannelParams* params, uint32_t count, int64_t max_product_sum,
                            GemmChannels& out, ChannelFlags& flags) {
  for (uint32_t i = 0; i < kGemmBlockChannels; ++i) {
    const ChannelParams channel = i < count ? params[i] : ChannelParams{0, Requantizer().Pack()};
    const Requantizer r = Requantizer::Unpack(channel.requant);
    out.right[i] = std::max(r.pre, 0);
    out.left[i] = std::max(-r.pre, 0);
    // Half a step, modulo 2^32 as accumulation is; the whole sum fits (kMaxAccumulator).
    const uint32_t half = (uint32_t{1} << out.right[i]) >> 1;
    out.start[i] = static_cast<int32_t>(static_cast<uint32_t>(channel.bias) + half);
    out.multiplier[i] = static_cast<int16_t>(r.shifted ? 0 : r.m);
    out.code_hi[i] = r.code_hi;
    const int64_t largest = std::abs(int64_t{channel.bias}) + max_product_sum;
    flags.left_shifts |= out.left[i] > 0;
    flags.right_shifts |= out.right[i] > 0;
    flags.clamps |= out.code_hi[i] < 255;
    flags.shifted |= r.shifted;
    flags.saturate_first |= largest << out.left[i] > std::numeric_limits<int32_t>::max();
  }
}

#define MPQ_DESCRIBE(name, text, isa, TARGET)                                                    \
  void DescribeChannels##name(const ChannelParams* params, uint32_t count,                       \
                              int64_t max_product_sum, GemmChannels& out, ChannelFlags& flags) { \
    TARGET::DescribeChannels(params, count, max_product_sum, out, flags);                        \
  }
MPQ_FOR_EACH_TARGET(MPQ_DESCRIBE)
#undef MPQ_DESCRIBE

}  // namespace mpq

#endif  // HWY_ONCE
