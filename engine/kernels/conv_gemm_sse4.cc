// GEMM micro-kernels for SSSE3 + SSE4.1.
#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/conv_gemm_lanes-inl.h"

namespace mpq {

namespace {

struct Sse4 {
  using Reg = __m128i;
  static constexpr int kLanes = 4;
  static Reg Zero() { return _mm_setzero_si128(); }
  static Reg Load(const void* p) { return _mm_load_si128(static_cast<const Reg*>(p)); }
  static void Store(void* p, Reg r) { _mm_store_si128(static_cast<Reg*>(p), r); }
  static Reg Add16(Reg a, Reg b) { return _mm_add_epi16(a, b); }
  static Reg Add32(Reg a, Reg b) { return _mm_add_epi32(a, b); }
  static Reg Broadcast(const uint8_t* quad) {
    int32_t value;
    __builtin_memcpy(&value, quad, sizeof value);
    return _mm_set1_epi32(value);
  }
  static Reg BroadcastWide(const uint8_t* quad) { return _mm_cvtepu8_epi16(Broadcast(quad)); }
  static Reg PairSums(Reg activations, Reg levels) {
    return _mm_maddubs_epi16(activations, levels);
  }
  static Reg WidenPairs(Reg pairs) { return _mm_madd_epi16(pairs, _mm_set1_epi16(1)); }
  static Reg Multiply16(Reg a, Reg b) { return _mm_madd_epi16(a, b); }
};

}  // namespace

const GemmMicroKernel kGemmSse4 = {
    2, 1, GemmPanel::kQuads8, kMaxPairLevel, DecodeTilesSse4, ComputePairs<Sse4, 2, 1>};
const GemmMicroKernel kGemmWideSse4 = {
    1, 1, GemmPanel::kQuads16, kAnyLevel, DecodeTilesSse4, ComputeWide<Sse4, 1, 1>};

}  // namespace mpq
