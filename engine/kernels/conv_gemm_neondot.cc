// GEMM micro-kernel for Arm's dot product: s8 x s8, four products into 32 bits.
#include <arm_neon.h>

#include <cstdint>

#include "engine/kernels/conv_gemm_codes_neon-inl.h"
#include "engine/kernels/conv_gemm_lanes-inl.h"

namespace mpq {

namespace {

struct NeonDot {
  using Reg = int32x4_t;
  static constexpr int kLanes = 4;
  static constexpr bool kSigned = true;
  static Reg Zero() { return vdupq_n_s32(0); }
  static Reg Load(const int32_t* p) { return vld1q_s32(p); }
  static int8x16_t Load(const int8_t* p) { return vld1q_s8(p); }
  static void Store(int32_t* p, Reg r) { vst1q_s32(p, r); }
  static Reg Subtract32(Reg a, Reg b) { return vsubq_s32(a, b); }
  // The activations less 128.
  static int8x16_t Broadcast(const uint8_t* quad) {
    uint32_t value;
    __builtin_memcpy(&value, quad, sizeof value);
    return vreinterpretq_s8_u32(vdupq_n_u32(value ^ 0x80808080u));
  }
  static Reg Dot(Reg sum, int8x16_t activations, int8x16_t levels) {
    return vdotq_s32(sum, activations, levels);
  }
};

}  // namespace

const GemmMicroKernel kGemmNeonDot = {4,
                                      1,
                                      GemmPanel::kQuads8,
                                      kAnyLevel,
                                      DecodeTilesNeon,
                                      DescribeChannelsNeon,
                                      ComputeDots<NeonDot, 4, 1>};

}  // namespace mpq
