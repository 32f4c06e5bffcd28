// GEMM micro-kernel for Arm's base instruction set: s8 x s8 products added in 16 bits, then
// widened.
#include <arm_neon.h>

#include <cstdint>

#include "engine/kernels/conv_gemm_codes_neon-inl.h"
#include "engine/kernels/conv_gemm_lanes-inl.h"

namespace mpq {

namespace {

struct Neon {
  using Reg = int32x4_t;
  static constexpr int kLanes = 4;
  static Reg Zero() { return vdupq_n_s32(0); }
  static Reg Load(const int32_t* p) { return vld1q_s32(p); }
  static void Store(int32_t* p, Reg r) { vst1q_s32(p, r); }
  static Reg Add32(Reg a, Reg b) { return vaddq_s32(a, b); }
  static Reg Subtract32(Reg a, Reg b) { return vsubq_s32(a, b); }
  static Reg AddPairs(Reg a, Reg b) { return vpaddq_s32(a, b); }
};

// The activations less 128, twice.
inline int8x8_t SignedQuad(const uint8_t* quad) {
  uint32_t value;
  __builtin_memcpy(&value, quad, sizeof value);
  return vreinterpret_s8_u32(vdup_n_u32(value ^ 0x80808080u));
}

// Every 16-bit lane adds the products of one position in the quad over kQuads quads: the caller
// makes sure that kQuads * 128 * max_level <= 32767.
template <int kQuads>
struct NeonPolicy {
  using Level = int8_t;
  static constexpr int kLanesPerSum = 2;
  static constexpr bool kSigned = true;
  static constexpr uint32_t kGroup = kQuads;
  template <int kRegs>
  static inline void Multiply(int32x4_t (&sums)[kRegs], const uint8_t* src, const Level* panel,
                              size_t quad_levels) {
    int16x8_t products[kRegs];
    for (int q = 0; q < kQuads; ++q) {
      const int8x8_t quad = SignedQuad(src + 4 * q);
      for (int i = 0; i < kRegs; ++i) {
        const int8x8_t levels = vld1_s8(panel + 8 * i);
        products[i] = q == 0 ? vmull_s8(levels, quad) : vmlal_s8(products[i], levels, quad);
      }
      panel += quad_levels;
    }
    for (int i = 0; i < kRegs; ++i) sums[i] = vpadalq_s16(sums[i], products[i]);
  }
};

constexpr int kMaxRows = 2;

void Compute(const GemmTile& tile) {
  using Single = NeonPolicy<1>;
  static_assert(8 * 128 * 31 <= 32767 && 2 * 128 * 127 <= 32767 && 128 * 128 <= 32767);
  if (tile.max_level <= 31) {
    ComputeAny<Neon, NeonPolicy<8>, Single, kMaxRows, 1>(tile);
  } else if (tile.max_level <= 127) {
    ComputeAny<Neon, NeonPolicy<2>, Single, kMaxRows, 1>(tile);
  } else {
    ComputeAny<Neon, Single, Single, kMaxRows, 1>(tile);
  }
}

}  // namespace

const GemmMicroKernel kGemmNeon = {
    kMaxRows, 1, GemmPanel::kQuads8, kAnyLevel, DecodeTilesNeon, DescribeChannelsNeon, Compute};

}  // namespace mpq
