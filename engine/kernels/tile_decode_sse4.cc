// Tile decoding with SSSE3: a tile is four registers of 16 codes.
#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/tile_decode.h"

namespace mpq {

namespace {

inline __m128i Load16(const uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}

// Codes 16 * kPart .. 16 * kPart + 15 of the plane of kBits bits at `packed`.
template <int kBits, int kPart>
inline __m128i LoadPlane(const uint8_t* packed) {
  if constexpr (kBits == 8) {
    return Load16(packed + 16 * kPart);
  } else if constexpr (kBits == 4) {
    const __m128i bytes = _mm_srli_epi16(Load16(packed + kPart % 2 * 16), kPart / 2 * 4);
    return _mm_and_si128(bytes, _mm_set1_epi8(0x0f));
  } else if constexpr (kBits == 2) {
    return _mm_and_si128(_mm_srli_epi16(Load16(packed), 2 * kPart), _mm_set1_epi8(0x03));
  } else {
    // Runs of 8 codes: bit 2 * kPart of the eight bytes, then bit 2 * kPart + 1.
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(packed));
    const __m128i both =
        _mm_unpacklo_epi64(_mm_srli_epi16(bytes, 2 * kPart), _mm_srli_epi16(bytes, 2 * kPart + 1));
    return _mm_and_si128(both, _mm_set1_epi8(0x01));
  }
}

// Planes hold masked bits, so shifting 16-bit lanes moves nothing into a neighbouring byte.
template <int kBits, int kPart>
inline __m128i LoadCodes(const uint8_t* packed) {
  constexpr int kWidest = kBits == 8 ? 8 : kBits >= 4 ? 4 : kBits >= 2 ? 2 : 1;
  if constexpr (kBits == kWidest) {
    return LoadPlane<kBits, kPart>(packed);
  } else {
    const __m128i high = _mm_slli_epi16(LoadPlane<kWidest, kPart>(packed), kBits - kWidest);
    return _mm_or_si128(high, LoadCodes<kBits - kWidest, kPart>(packed + 8 * kWidest));
  }
}

// The shuffle gives 0 for an index with its top bit set, and takes the low four bits of others:
// code - 16 * i + 0x70 saturates so that only the i-th sixteen codes pick from table i.
template <int kBits>
inline __m128i LookUp(__m128i codes, const __m128i table[4]) {
  if constexpr (kBits <= 4) {
    return _mm_shuffle_epi8(table[0], codes);
  } else {
    __m128i levels = _mm_setzero_si128();
    for (int i = 0; i < 1 << (kBits - 4); ++i) {
      const __m128i from_start = _mm_sub_epi8(codes, _mm_set1_epi8(static_cast<char>(16 * i)));
      const __m128i index = _mm_adds_epu8(from_start, _mm_set1_epi8(0x70));
      levels = _mm_or_si128(levels, _mm_shuffle_epi8(table[i], index));
    }
    return levels;
  }
}

template <int kBits, int kPart>
inline void DecodePart(const uint8_t* packed, bool uniform, const __m128i table[4], int8_t* dst) {
  const __m128i codes = LoadCodes<kBits, kPart>(packed);
  __m128i levels;
  if constexpr (kBits <= 6) {
    levels = uniform ? _mm_sub_epi8(codes, _mm_set1_epi8(1 << (kBits - 1)))
                     : LookUp<kBits>(codes, table);
  } else {
    levels = _mm_sub_epi8(codes, _mm_set1_epi8(static_cast<char>(1 << (kBits - 1))));
  }
  _mm_store_si128(reinterpret_cast<__m128i*>(dst + 16 * kPart), levels);
}

template <int kBits>
void Decode(const uint8_t* packed, size_t tiles, const TileLevels& levels, int8_t* dst,
            size_t dst_stride) {
  const bool uniform = levels.uniform;
  __m128i table[4];
  for (int i = 0; i < 4; ++i) {
    table[i] = _mm_load_si128(reinterpret_cast<const __m128i*>(levels.table + 16 * i));
  }
  for (size_t i = 0; i < tiles; ++i) {
    DecodePart<kBits, 0>(packed, uniform, table, dst);
    DecodePart<kBits, 1>(packed, uniform, table, dst);
    DecodePart<kBits, 2>(packed, uniform, table, dst);
    DecodePart<kBits, 3>(packed, uniform, table, dst);
    packed += 8 * kBits;
    dst += dst_stride;
  }
}

}  // namespace

void DecodeTilesSse4(const uint8_t* packed, size_t tiles, const TileLevels& levels, int8_t* dst,
                     size_t dst_stride) {
  constexpr DecodeTilesFunction kByBits[] = {Decode<1>, Decode<2>, Decode<3>, Decode<4>,
                                             Decode<5>, Decode<6>, Decode<7>, Decode<8>};
  kByBits[levels.bits - 1](packed, tiles, levels, dst, dst_stride);
}

}  // namespace mpq
