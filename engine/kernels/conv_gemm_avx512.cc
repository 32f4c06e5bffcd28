// GEMM micro-kernels for AVX-512 F and BW, without VNNI.
#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/conv_gemm_codes_avx2-inl.h"
#include "engine/kernels/conv_gemm_lanes-inl.h"

namespace mpq {

namespace {

struct Avx512 {
  using Reg = __m512i;
  static constexpr int kLanes = 16;
  static Reg Zero() { return _mm512_setzero_si512(); }
  static Reg Load(const void* p) { return _mm512_load_si512(p); }
  static void Store(void* p, Reg r) { _mm512_store_si512(p, r); }
  static Reg Add16(Reg a, Reg b) { return _mm512_add_epi16(a, b); }
  static Reg Add32(Reg a, Reg b) { return _mm512_add_epi32(a, b); }
  static Reg Broadcast(const uint8_t* quad) {
    int32_t value;
    __builtin_memcpy(&value, quad, sizeof value);
    return _mm512_set1_epi32(value);
  }
  static Reg BroadcastWide(const uint8_t* quad) {
    const Reg zero_extend = _mm512_set1_epi64(static_cast<int64_t>(0x8003800280018000));
    return _mm512_shuffle_epi8(Broadcast(quad), zero_extend);
  }
  static Reg PairSums(Reg activations, Reg levels) {
    return _mm512_maddubs_epi16(activations, levels);
  }
  static Reg WidenPairs(Reg pairs) { return _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)); }
  // a0+a1, a2+a3, ..., b0+b1, ...
  static Reg AddPairs(Reg a, Reg b) {
    const Reg even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const Reg odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    return _mm512_add_epi32(_mm512_permutex2var_epi32(a, even, b),
                            _mm512_permutex2var_epi32(a, odd, b));
  }
  static Reg Multiply16(Reg a, Reg b) { return _mm512_madd_epi16(a, b); }
};

}  // namespace

const GemmMicroKernel kGemmAvx512 = {12,
                                     2,
                                     GemmPanel::kQuads8,
                                     kMaxPairLevel,
                                     DecodeTilesAvx512,
                                     DescribeChannelsAvx512,
                                     ComputePairs<Avx512, 12, 2>};
const GemmMicroKernel kGemmWideAvx512 = {6,
                                         2,
                                         GemmPanel::kQuads16,
                                         kAnyLevel,
                                         DecodeTilesAvx512,
                                         DescribeChannelsAvx512,
                                         ComputeWide<Avx512, 6, 2>};

}  // namespace mpq
