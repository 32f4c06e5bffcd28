// GEMM micro-kernels for AVX2.
#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/conv_gemm_codes_avx2-inl.h"
#include "engine/kernels/conv_gemm_lanes-inl.h"

namespace mpq {

namespace {

struct Avx2 {
  using Reg = __m256i;
  static constexpr int kLanes = 8;
  static Reg Zero() { return _mm256_setzero_si256(); }
  static Reg Load(const void* p) { return _mm256_load_si256(static_cast<const Reg*>(p)); }
  static void Store(void* p, Reg r) { _mm256_store_si256(static_cast<Reg*>(p), r); }
  static Reg Add16(Reg a, Reg b) { return _mm256_add_epi16(a, b); }
  static Reg Add32(Reg a, Reg b) { return _mm256_add_epi32(a, b); }
  static Reg Broadcast(const uint8_t* quad) {
    int32_t value;
    __builtin_memcpy(&value, quad, sizeof value);
    return _mm256_set1_epi32(value);
  }
  static Reg BroadcastWide(const uint8_t* quad) {
    const Reg zero_extend = _mm256_set1_epi64x(static_cast<int64_t>(0x8003800280018000));
    return _mm256_shuffle_epi8(Broadcast(quad), zero_extend);
  }
  static Reg PairSums(Reg activations, Reg levels) {
    return _mm256_maddubs_epi16(activations, levels);
  }
  static Reg WidenPairs(Reg pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }
  // a0+a1, a2+a3, ..., b0+b1, ...
  static Reg AddPairs(Reg a, Reg b) {
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xd8);
  }
  static Reg Multiply16(Reg a, Reg b) { return _mm256_madd_epi16(a, b); }
};

}  // namespace

const GemmMicroKernel kGemmAvx2 = {6,
                                   1,
                                   GemmPanel::kQuads8,
                                   kMaxPairLevel,
                                   DecodeTilesSse4,
                                   DescribeChannelsAvx2,
                                   ComputePairs<Avx2, 6, 1>};
const GemmMicroKernel kGemmWideAvx2 = {3,
                                       1,
                                       GemmPanel::kQuads16,
                                       kAnyLevel,
                                       DecodeTilesSse4,
                                       DescribeChannelsAvx2,
                                       ComputeWide<Avx2, 3, 1>};

}  // namespace mpq
