// Depthwise micro-kernels of 32 lanes: 3x3 and 5x5 kernels of horizontal stride 1 and 2, for
// AVX-VNNI and AVX2. The same as depthwise_avx512vnni.cc, which explains it; with 16 registers a
// row is always done twice. Before including this, define
//   __m256i DotProduct(__m256i sums, __m256i values, __m256i weights)
// in an unnamed namespace in mpq: adds four products of u8 and int8 to each 32-bit sum.
#ifndef MPQ_ENGINE_KERNELS_DEPTHWISE_AVX2_INL_H_
#define MPQ_ENGINE_KERNELS_DEPTHWISE_AVX2_INL_H_

#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/depthwise_tile.h"

#define MPQ_INLINE inline __attribute__((always_inline))

namespace mpq {

namespace {

// Interleaving makes four vectors of 32 bits of the 64 lanes, with lanes 4j..4j+3 of every 16 in
// the j-th. The lower half of these are 0 and 1, the upper half 2 and 3.
enum class Part { kLower, kUpper };

// Half of the lanes: sums, weights, or quads of neighbouring values.
struct Half {
  __m256i a, b;
};

// Of one output.
struct Sums {
  Half lower, upper;
};

MPQ_INLINE __m256i Load(const void* memory) {
  return _mm256_load_si256(static_cast<const __m256i*>(memory));
}

MPQ_INLINE Half LoadHalf(const void* memory) {
  const char* bytes = static_cast<const char*>(memory);
  return {Load(bytes), Load(bytes + 32)};
}

MPQ_INLINE Half InterleaveLower(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i ab = _mm256_unpacklo_epi8(a, b);
  const __m256i cd = _mm256_unpacklo_epi8(c, d);
  return {_mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd)};
}

MPQ_INLINE Half InterleaveUpper(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i ab = _mm256_unpackhi_epi8(a, b);
  const __m256i cd = _mm256_unpackhi_epi8(c, d);
  return {_mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd)};
}

MPQ_INLINE void MultiplyAdd(Half& sums, const Half& values, const Half& weights) {
  sums.a = DotProduct(sums.a, values.a, weights.a);
  sums.b = DotProduct(sums.b, values.b, weights.b);
}

// ------------------------------ From sums to codes

// What a channel group needs. Narrow weights give small sums, which are shifted left.
enum class Shifts { kRight, kLeftAndRight, kUnusual };

template <Shifts kShifts>
MPQ_INLINE __m256i Shift(__m256i sum, const DepthwiseChannels& params, int i) {
  __m256i t = _mm256_srav_epi32(sum, Load(params.right + 8 * i));
  if constexpr (kShifts == Shifts::kRight) return t;
  if constexpr (kShifts == Shifts::kUnusual) {  // 16 bits after saturation: 15 more fit
    t = _mm256_max_epi32(_mm256_min_epi32(t, _mm256_set1_epi32(32767)), _mm256_set1_epi32(-32768));
  }
  return _mm256_sllv_epi32(t, Load(params.left + 8 * i));
}

// A half to 16-bit output steps including the zero point. Additions saturate where the code would
// saturate anyway.
template <Shifts kShifts>
MPQ_INLINE __m256i OutputSteps(const Half& sums, const DepthwiseTile& tile, int half) {
  const DepthwiseChannels& params = *tile.params;
  const __m256i t = _mm256_packs_epi32(Shift<kShifts>(sums.a, params, 2 * half),
                                       Shift<kShifts>(sums.b, params, 2 * half + 1));
  const __m256i multiplier = Load(params.multiplier + 16 * half);
  const __m256i u = _mm256_mulhrs_epi16(t, multiplier);
  const __m256i offset = _mm256_set1_epi16(static_cast<int16_t>(64 * tile.zero_point + 32));
  const __m256i scaled = _mm256_srai_epi16(_mm256_adds_epi16(u, offset), 6);
  if constexpr (kShifts != Shifts::kUnusual) return scaled;
  const __m256i shifted = _mm256_cmpeq_epi16(multiplier, _mm256_setzero_si256());
  return _mm256_blendv_epi8(scaled, _mm256_adds_epi16(t, _mm256_set1_epi16(tile.zero_point)),
                            shifted);
}

// Packing undoes the interleaving: the codes are in the order of the lanes.
MPQ_INLINE __m256i Codes(__m256i lower_steps, __m256i upper_steps, const DepthwiseTile& tile) {
  const __m256i codes = _mm256_packus_epi16(lower_steps, upper_steps);
  const __m256i code_lo = _mm256_set1_epi8(static_cast<char>(tile.code_lo));
  return _mm256_min_epu8(_mm256_max_epu8(codes, code_lo), Load(tile.params->code_hi));
}

MPQ_INLINE void Store(const DepthwiseTile& tile, uint8_t* dst, __m256i codes) {
  if (tile.channels == 32) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst), codes);
    return;
  }
  alignas(32) uint8_t lanes[32];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), codes);
  const uint8_t* src = lanes;
  if (tile.channels & 16) {
    __builtin_memcpy(dst, src, 16);
    dst += 16;
    src += 16;
  }
  if (tile.channels & 8) {
    __builtin_memcpy(dst, src, 8);
    dst += 8;
    src += 8;
  }
  for (uint32_t i = 0; i < (tile.channels & 7); ++i) dst[i] = src[i];
}

// ------------------------------ Along a row

// kKernel x kKernel taps.
template <int kKernel, int kStride, Part kPart, Shifts kShifts>
class Stream {
 public:
  explicit Stream(const DepthwiseTile& tile)
      : tile_(tile),
        weights_(tile.weights),
        x_(-int64_t{tile.pad_left}),
        offset_(static_cast<size_t>(x_) * tile.src_step) {
    for (size_t i = 0; i < kLines; ++i) line_[i] = tile.line[i];
    for (size_t i = 0; i < kHeld; ++i) held_[i] = LoadWeights(i);
  }

  MPQ_INLINE void Run() {
    if constexpr (kOpen == 2) {
      Sums s0, s1;
      Start<0>(s0, s1);
      while (Turns<kOpen>(s0, s1)) {
      }
    } else if constexpr (kOpen == 3) {
      Sums s0, s1, s2;
      Start<0>(s0, s1, s2);
      while (Turns<kOpen>(s0, s1, s2)) {
      }
    } else {
      Sums s0, s1, s2, s3, s4;
      Start<0>(s0, s1, s2, s3, s4);
      while (Turns<kOpen>(s0, s1, s2, s3, s4)) {
      }
    }
  }

 private:
  static constexpr size_t kLines = kKernel;
  static constexpr size_t kGroups = (kKernel + 3) / 4;
  static constexpr int kOpen = (kKernel - 1) / kStride + 1;  // outputs at a time
  static constexpr bool kLower = kPart != Part::kUpper;
  static constexpr bool kUpper = kPart != Part::kLower;
  // Halves of weights: all, and those that fit into registers beside the sums and six others.
  static constexpr size_t kWeights = kGroups * kKernel;
  static constexpr size_t kRoom = kOpen > 3 ? 1 : 5 - kOpen;
  static constexpr size_t kHeld = kWeights < kRoom ? kWeights : kRoom;

  // Columns up to the last but one of the first output. Outputs are passed from left to right.
  template <int kOutput, class... Outputs>
  MPQ_INLINE void Start(Outputs&... outputs) {
    if constexpr (kOutput < kOpen - 1) {
      NextColumn<kOutput, 0>(outputs...);
      if constexpr (kStride == 2) NextColumn<kOutput, 1>(outputs...);
      Start<kOutput + 1>(outputs...);
    }
  }

  // Each turn completes an output, whose sums become those of the output on the right of all.
  template <int kTurns, class... Outputs>
  MPQ_INLINE bool Turns(Sums& done, Outputs&... outputs) {
    NextColumn<kOpen - 1, 0>(done, outputs...);
    Finish(done);
    if (++output_ == tile_.outputs) return false;
    if constexpr (kStride == 2) NextColumn<kOpen - 1, 1>(done, outputs...);
    if constexpr (kTurns > 1) return Turns<kTurns - 1>(outputs..., done);
    return true;
  }

  // Adds a column to the outputs 0..kNewest: under tap kPhase of the newest.
  template <int kNewest, int kPhase, class... Outputs>
  MPQ_INLINE void NextColumn(Outputs&... outputs) {
    // Opaque, else the compiler loads all weights before the loop and spills them.
    asm("" : "+r"(weights_));
    __m256i line[kLines];
    if (x_ >= 0 && x_ < tile_.src_width) [[likely]] {
      for (size_t i = 0; i < kLines; ++i)
        line[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(line_[i] + offset_));
    } else {
      const __m256i padding = _mm256_set1_epi8(static_cast<char>(tile_.src_zero_point));
      for (__m256i& lanes : line) lanes = padding;
    }
    ++x_;
    offset_ += tile_.src_step;
    // Where a group has fewer than four taps, the others' weights are zero.
    AddGroup<0, kNewest, kPhase>(line[0], line[1], line[2], line[kLines == 3 ? 2 : 3], outputs...);
    if constexpr (kGroups == 2) {
      AddGroup<1, kNewest, kPhase>(line[4], line[4], line[4], line[4], outputs...);
    }
  }

  template <int kGroup, int kNewest, int kPhase, class... Outputs>
  MPQ_INLINE void AddGroup(__m256i a, __m256i b, __m256i c, __m256i d, Outputs&... outputs) {
    Half lower, upper;
    if constexpr (kLower) lower = InterleaveLower(a, b, c, d);
    if constexpr (kUpper) upper = InterleaveUpper(a, b, c, d);
    int output = 0;
    (AddToOutput(lower, upper, kGroup, kPhase + kStride * (kNewest - output++), outputs), ...);
  }

  // group and kx are constants after inlining.
  MPQ_INLINE void AddToOutput(const Half& lower, const Half& upper, int group, int kx, Sums& sums) {
    if (kx < 0 || kx >= kKernel) return;
    if (group == 0 && kx == 0) {
      if constexpr (kLower) sums.lower = LoadHalf(tile_.params->start);
      if constexpr (kUpper) sums.upper = LoadHalf(tile_.params->start + 16);
    }
    const size_t i = size_t{kKernel} * static_cast<size_t>(group) + static_cast<size_t>(kx);
    if constexpr (kLower) MultiplyAdd(sums.lower, lower, Weights(i));
    if constexpr (kUpper) MultiplyAdd(sums.upper, upper, Weights(i));
  }

  MPQ_INLINE Half Weights(size_t i) const { return i < kHeld ? held_[i] : LoadWeights(i); }

  MPQ_INLINE Half LoadWeights(size_t i) const {
    return LoadHalf(weights_ + i * 128 + (kUpper ? 64 : 0));
  }

  MPQ_INLINE void Finish(const Sums& sums) const {
    __m256i* kept = reinterpret_cast<__m256i*>(tile_.scratch) + output_;
    __m256i lower_steps;
    if constexpr (kLower) {
      lower_steps = OutputSteps<kShifts>(sums.lower, tile_, 0);
    } else {
      lower_steps = Load(kept);
    }
    if constexpr (kUpper) {
      const __m256i upper_steps = OutputSteps<kShifts>(sums.upper, tile_, 1);
      Store(tile_, tile_.dst + output_ * tile_.dst_stride, Codes(lower_steps, upper_steps, tile_));
    } else {
      _mm256_store_si256(kept, lower_steps);
    }
  }

  const DepthwiseTile tile_;
  const std::byte* weights_;
  int64_t x_;      // source column
  size_t offset_;  // of it, modulo 2^64
  uint32_t output_ = 0;
  const uint8_t* line_[kLines];
  Half held_[kHeld];
};

template <int kKernel, int kStride, Part kPart>
void Run(const DepthwiseTile& tile) {
  if (tile.params->unusual) {
    Stream<kKernel, kStride, kPart, Shifts::kUnusual>(tile).Run();
  } else if (tile.params->left_shifts) {
    Stream<kKernel, kStride, kPart, Shifts::kLeftAndRight>(tile).Run();
  } else {
    Stream<kKernel, kStride, kPart, Shifts::kRight>(tile).Run();
  }
}

template <int kKernel, int kStride>
void RunHalves(const DepthwiseTile& tile) {
  Run<kKernel, kStride, Part::kLower>(tile);
  Run<kKernel, kStride, Part::kUpper>(tile);
}

void ComputeRow(const DepthwiseTile& tile) {
  if (tile.kernel_w == 3) return tile.stride_w == 1 ? RunHalves<3, 1>(tile) : RunHalves<3, 2>(tile);
  return tile.stride_w == 1 ? RunHalves<5, 1>(tile) : RunHalves<5, 2>(tile);
}

}  // namespace

}  // namespace mpq

#undef MPQ_INLINE

#endif  // MPQ_ENGINE_KERNELS_DEPTHWISE_AVX2_INL_H_
