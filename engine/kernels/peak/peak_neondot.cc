// sdot: 16 products.
#include <arm_neon.h>

#include "engine/kernels/peak/peak_loop-inl.h"
#include "engine/kernels/peak/peak_loops.h"

namespace mpq {

uint64_t PeakLoopNeonDot(uint64_t rounds) {
  const int8x16_t ones = vdupq_n_s8(1);
  PeakLoop(
      ones, ones,
      [](int8x16_t sum, int8x16_t a, int8x16_t b) {
        return vreinterpretq_s8_s32(vdotq_s32(vreinterpretq_s32_s8(sum), a, b));
      },
      rounds);
  return rounds * kPeakSums * 16;
}

}  // namespace mpq
