// Tile decoding with AVX-512 F and BW: a tile is one register.
#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/tile_decode.h"

namespace mpq {

namespace {

// The plane of `kBits` bits at `packed`: one copy of its bytes per run, shifted down and masked.
template <int kBits>
inline __m512i LoadPlane(const uint8_t* packed) {
  if constexpr (kBits == 8) {
    return _mm512_loadu_si512(packed);
  } else if constexpr (kBits == 4) {
    const __m512i bytes =
        _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(packed)));
    const __m512i shifted = _mm512_srlv_epi64(bytes, _mm512_setr_epi64(0, 0, 0, 0, 4, 4, 4, 4));
    return _mm512_and_si512(shifted, _mm512_set1_epi8(0x0f));
  } else if constexpr (kBits == 2) {
    const __m512i bytes =
        _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packed)));
    const __m512i shifted = _mm512_srlv_epi64(bytes, _mm512_setr_epi64(0, 0, 2, 2, 4, 4, 6, 6));
    return _mm512_and_si512(shifted, _mm512_set1_epi8(0x03));
  } else {
    const __m512i bytes =
        _mm512_broadcastq_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(packed)));
    const __m512i shifted = _mm512_srlv_epi64(bytes, _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
    return _mm512_and_si512(shifted, _mm512_set1_epi8(0x01));
  }
}

// Planes hold masked bits, so shifting 16-bit lanes moves nothing into a neighbouring byte.
template <int kBits>
inline __m512i LoadCodes(const uint8_t* packed) {
  constexpr int kWidest = kBits == 8 ? 8 : kBits >= 4 ? 4 : kBits >= 2 ? 2 : 1;
  if constexpr (kBits == kWidest) {
    return LoadPlane<kBits>(packed);
  } else {
    const __m512i high = _mm512_slli_epi16(LoadPlane<kWidest>(packed), kBits - kWidest);
    return _mm512_or_si512(high, LoadCodes<kBits - kWidest>(packed + 8 * kWidest));
  }
}

// The byte shuffle looks up 16 levels; wider codes choose among its results by their upper bits.
template <int kBits>
inline __m512i LookUp(__m512i codes, const __m512i table[4]) {
  const __m512i low = _mm512_shuffle_epi8(table[0], codes);
  if constexpr (kBits <= 4) {
    return low;
  } else {
    const __mmask64 bit4 = _mm512_test_epi8_mask(codes, _mm512_set1_epi8(16));
    const __m512i levels = _mm512_mask_shuffle_epi8(low, bit4, table[1], codes);
    if constexpr (kBits == 5) {
      return levels;
    } else {
      const __mmask64 bit5 = _mm512_test_epi8_mask(codes, _mm512_set1_epi8(32));
      const __m512i upper =
          _mm512_mask_shuffle_epi8(_mm512_shuffle_epi8(table[2], codes), bit4, table[3], codes);
      return _mm512_mask_mov_epi8(levels, bit5, upper);
    }
  }
}

// Weights come from L3 or memory, once a run of the model: the processor's own prefetching restarts
// at every page, and two blocks are two streams.
inline void Prefetch(const uint8_t* packed) {
  constexpr size_t kAheadBytes = 2048;
  _mm_prefetch(packed + kAheadBytes, _MM_HINT_T0);
}

template <int kBits>
void DecodeUniform(const uint8_t* packed, size_t tiles, int8_t* dst, size_t dst_stride) {
  const __m512i half = _mm512_set1_epi8(static_cast<char>(1 << (kBits - 1)));
  for (size_t i = 0; i < tiles; ++i) {
    Prefetch(packed);
    _mm512_store_si512(dst, _mm512_sub_epi8(LoadCodes<kBits>(packed), half));
    packed += 8 * kBits;
    dst += dst_stride;
  }
}

template <int kBits>
void DecodeTable(const uint8_t* packed, size_t tiles, const int8_t* levels, int8_t* dst,
                 size_t dst_stride) {
  __m512i table[4];
  for (int i = 0; i < 4; ++i) {
    table[i] =
        _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(levels + 16 * i)));
  }
  for (size_t i = 0; i < tiles; ++i) {
    Prefetch(packed);
    _mm512_store_si512(dst, LookUp<kBits>(LoadCodes<kBits>(packed), table));
    packed += 8 * kBits;
    dst += dst_stride;
  }
}

template <int kBits>
void Decode(const uint8_t* packed, size_t tiles, const TileLevels& levels, int8_t* dst,
            size_t dst_stride) {
  if constexpr (kBits <= 6) {
    if (!levels.uniform) return DecodeTable<kBits>(packed, tiles, levels.table, dst, dst_stride);
  }
  DecodeUniform<kBits>(packed, tiles, dst, dst_stride);
}

}  // namespace

void DecodeTilesAvx512(const uint8_t* packed, size_t tiles, const TileLevels& levels, int8_t* dst,
                       size_t dst_stride) {
  constexpr DecodeTilesFunction kByBits[] = {Decode<1>, Decode<2>, Decode<3>, Decode<4>,
                                             Decode<5>, Decode<6>, Decode<7>, Decode<8>};
  kByBits[levels.bits - 1](packed, tiles, levels, dst, dst_stride);
}

}  // namespace mpq
