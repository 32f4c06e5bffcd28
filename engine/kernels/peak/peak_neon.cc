// smull, smlal2 and sadalp: 16 products in pairs that wait in 16 bits.
#include <arm_neon.h>

#include "engine/kernels/peak/peak_loop-inl.h"
#include "engine/kernels/peak/peak_loops.h"

namespace mpq {

uint64_t PeakLoopNeon(uint64_t rounds) {
  const int8x16_t ones = vdupq_n_s8(1);
  PeakLoop(
      ones, ones,
      [](int8x16_t sum, int8x16_t a, int8x16_t b) {
        const int16x8_t pairs = vmlal_high_s8(vmull_s8(vget_low_s8(a), vget_low_s8(b)), a, b);
        return vreinterpretq_s8_s32(vpadalq_s16(vreinterpretq_s32_s8(sum), pairs));
      },
      rounds);
  return rounds * kPeakSums * 16;
}

}  // namespace mpq
