// GEMM micro-kernel for AMX: 16 positions x 32 channels, with AVX-512 around the tiles.
#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/conv_gemm_amx-inl.h"
#include "engine/kernels/conv_gemm_codes_avx512-inl.h"

namespace mpq {

namespace {

// In assembler because the intrinsics of g++ 12 need literal tile numbers, and its _tile_loadd does
// not say that it reads memory: stores to what it reads could move behind it.
struct AmxTiles {
  // The operand of LDTILECFG (SDM volume 1, 18.2.1).
  struct alignas(64) Config {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  };
  static_assert(sizeof(Config) == 64);

  static void Begin() {
    Config config;
    for (int i = 0; i < 8; ++i) {
      config.row_bytes[i] = kAmxRowBytes;
      config.rows[i] = kAmxRows;
    }
    __asm__ volatile("ldtilecfg %0" ::"m"(config));
  }
  static void End() { __asm__ volatile("tilerelease"); }

  template <int kTile>
  void Zero() {
    __asm__ volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  template <int kTile>
  void Load(const void* from, ptrdiff_t stride) {
    __asm__ volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(kTile), "r"(from), "r"(stride)
                     : "memory");
  }
  template <int kTile>
  void Store(void* to, ptrdiff_t stride) {
    __asm__ volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(kTile), "r"(to), "r"(stride)
                     : "memory");
  }
  template <int kSums, int kActivations, int kLevels>
  void MultiplyAdd() {
    __asm__ volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSums), "i"(kActivations),
                     "i"(kLevels));
  }
};

struct Avx512Vectors {
  static void CopyBytes(uint8_t* dst, const uint8_t* src, size_t n) {
    const __mmask64 bytes = ~uint64_t{0} >> (64 - n);
    _mm512_mask_storeu_epi8(dst, bytes, _mm512_maskz_loadu_epi8(bytes, src));
  }

  static void Finish(const GemmTile& tile, int32_t* sums) {
    // Row beyond row: the sums of both blocks, or of one, with what they start from.
    const uint32_t blocks = tile.num_blocks;
    for (uint32_t row = 0; row < tile.num_rows; ++row) {
      for (uint32_t block = 0; block < blocks; ++block) {
        int32_t* kept = tile.sums + (row * blocks + block) * kGemmBlockChannels;
        int32_t* even = sums + block * kAmxTileSums + row * kGemmBlockChannels;
        const __m512i start = _mm512_load_si512(tile.first ? tile.channels[block].start : kept);
        const __m512i products =
            _mm512_add_epi32(_mm512_load_si512(even), _mm512_load_si512(even + 2 * kAmxTileSums));
        _mm512_store_si512(tile.last ? even : kept, _mm512_add_epi32(start, products));
      }
    }
    if (!tile.last) return;
    if (blocks == 2) {
      StorePairs(tile, sums);
    } else {
      StoreQuads(tile, sums);
    }
  }

 private:
  static __m512i Sums(const int32_t* sums, uint32_t row) {
    return _mm512_load_si512(sums + row * kGemmBlockChannels);
  }

  // Two positions of two blocks at a time. Rows beyond num_rows are computed but not stored.
  static void StorePairs(const GemmTile& tile, const int32_t* sums) {
    const Requantise r = LoadRequantise(tile);
    const int32_t* odd = sums + kAmxTileSums;
    for (uint32_t row = 0; row < tile.num_rows; row += 2) {
      const __m512i codes =
          Codes(Sums(sums, row), Sums(odd, row), Sums(sums, row + 1), Sums(odd, row + 1),
                PairAddends(tile.residual, row, tile.num_rows, r), r);
      uint8_t* dst = tile.dst + row * tile.dst_stride;
      StoreCodes(dst, _mm512_castsi512_si256(codes), tile.dst_channels);
      if (row + 1 == tile.num_rows) return;
      StoreCodes(dst + tile.dst_stride, _mm512_extracti64x4_epi64(codes, 1), tile.dst_channels);
    }
  }

  // Four positions of one block at a time.
  static void StoreQuads(const GemmTile& tile, const int32_t* sums) {
    const Requantise r = LoadRequantise(tile);
    for (uint32_t row = 0; row < tile.num_rows; row += 4) {
      alignas(64) uint8_t codes[4 * kGemmBlockChannels];
      _mm512_store_si512(
          codes, Codes(Sums(sums, row), Sums(sums, row + 1), Sums(sums, row + 2),
                       Sums(sums, row + 3), QuadAddends(tile.residual, row, tile.num_rows, r), r));
      for (uint32_t i = 0; i < 4 && row + i < tile.num_rows; ++i) {
        const __m128i part =
            _mm_load_si128(reinterpret_cast<const __m128i*>(codes + i * kGemmBlockChannels));
        StoreCodes(tile.dst + (row + i) * tile.dst_stride, part, tile.dst_channels);
      }
    }
  }
};

template <class Tiles>
constexpr GemmMicroKernel MakeMicroKernel() {
  return {kAmxRows,
          2,
          GemmPanel::kQuads8,
          kAnyLevel,
          DecodeTilesAvx512,
          DescribeChannelsAvx512,
          AmxCompute<Tiles, Avx512Vectors>,
          kAmxStepQuads,
          Tiles::Begin,
          Tiles::End};
}

}  // namespace

const GemmMicroKernel kGemmAmx = MakeMicroKernel<AmxTiles>();
const GemmMicroKernel kGemmAmxEmulatedTiles = MakeMicroKernel<EmulatedTiles>();

}  // namespace mpq
