// GEMM micro-kernel for AVX-VNNI: 256-bit vpdpbusd with AVX2's 16 registers.
#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/conv_gemm_codes_avx2-inl.h"
#include "engine/kernels/conv_gemm_lanes-inl.h"

namespace mpq {

namespace {

struct AvxVnni {
  using Reg = __m256i;
  static constexpr int kLanes = 8;
  static constexpr bool kSigned = false;
  static Reg Zero() { return _mm256_setzero_si256(); }
  static Reg Load(const void* p) { return _mm256_load_si256(static_cast<const Reg*>(p)); }
  static void Store(void* p, Reg r) { _mm256_store_si256(static_cast<Reg*>(p), r); }
  static Reg Broadcast(const uint8_t* quad) {
    int32_t value;
    __builtin_memcpy(&value, quad, sizeof value);
    return _mm256_set1_epi32(value);
  }
  static Reg Dot(Reg sum, Reg activations, Reg levels) {
    return _mm256_dpbusd_avx_epi32(sum, activations, levels);
  }
};

}  // namespace

const GemmMicroKernel kGemmAvxVnni = {6,
                                      1,
                                      GemmPanel::kQuads8,
                                      kAnyLevel,
                                      DecodeTilesSse4,
                                      DescribeChannelsAvx2,
                                      ComputeDots<AvxVnni, 6, 1>};

}  // namespace mpq
