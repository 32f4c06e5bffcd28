// Depthwise micro-kernel for AVX-512 VNNI: 3x3 and 5x5 kernels of horizontal stride 1 and 2.
//
// It goes along x with the sums of all outputs in registers whose windows contain the column at
// hand. Every column is loaded and interleaved once, multiplied by the weights for each of these
// outputs, and completes at most one, whose requantisation overlaps with the next multiplications.
// Loads are the bottleneck, so as many weights as possible stay in registers; where that pays, the
// row is done twice, for one half of the sums each. Sums are named variables: g++ 12 keeps arrays
// of them on the stack.
#include <immintrin.h>

#include <cstdint>

#include "engine/kernels/depthwise_tile.h"

#define MPQ_INLINE inline __attribute__((always_inline))

namespace mpq {

namespace {

// Interleaving makes four vectors of 32 bits of the 64 lanes, with lanes 4j..4j+3 of every 16 in
// the j-th. The lower half of these are 0 and 1, the upper half 2 and 3.
enum class Part { kLower, kUpper, kBoth };

// Half of the lanes: sums, weights, or quads of neighbouring values.
struct Half {
  __m512i a, b;
};

// Of one output.
struct Sums {
  Half lower, upper;
};

MPQ_INLINE Half LoadHalf(const void* memory) {
  const char* bytes = static_cast<const char*>(memory);
  return {_mm512_load_si512(bytes), _mm512_load_si512(bytes + 64)};
}

MPQ_INLINE Half InterleaveLower(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i ab = _mm512_unpacklo_epi8(a, b);
  const __m512i cd = _mm512_unpacklo_epi8(c, d);
  return {_mm512_unpacklo_epi16(ab, cd), _mm512_unpackhi_epi16(ab, cd)};
}

MPQ_INLINE Half InterleaveUpper(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i ab = _mm512_unpackhi_epi8(a, b);
  const __m512i cd = _mm512_unpackhi_epi8(c, d);
  return {_mm512_unpacklo_epi16(ab, cd), _mm512_unpackhi_epi16(ab, cd)};
}

MPQ_INLINE void MultiplyAdd(Half& sums, const Half& values, const Half& weights) {
  sums.a = _mm512_dpbusd_epi32(sums.a, values.a, weights.a);
  sums.b = _mm512_dpbusd_epi32(sums.b, values.b, weights.b);
}

// ------------------------------ From sums to codes

// What a channel group needs. Nearly all have zero point 0 and no clamps; narrow weights give small
// sums, which are shifted left.
enum class Finish { kReluLeft, kRelu, kUsual, kUnusual };

constexpr bool IsRelu(Finish finish) {
  return finish == Finish::kReluLeft || finish == Finish::kRelu;
}

template <Finish kFinish>
MPQ_INLINE __m512i Shift(__m512i sum, const DepthwiseChannels& params, int i) {
  const __m512i left = _mm512_load_si512(params.left + 16 * i);
  if constexpr (kFinish == Finish::kReluLeft) return _mm512_sllv_epi32(sum, left);
  __m512i t = _mm512_srav_epi32(sum, _mm512_load_si512(params.right + 16 * i));
  if constexpr (kFinish == Finish::kUnusual) {  // 16 bits after saturation: 15 more fit
    t = _mm512_max_epi32(_mm512_min_epi32(t, _mm512_set1_epi32(32767)), _mm512_set1_epi32(-32768));
  }
  return _mm512_sllv_epi32(t, left);
}

// A half to 16-bit output steps including the zero point. Additions saturate where the code would
// saturate anyway.
template <Finish kFinish>
MPQ_INLINE __m512i OutputSteps(const Half& sums, const DepthwiseTile& tile, int half) {
  const DepthwiseChannels& params = *tile.params;
  const __m512i t = _mm512_packs_epi32(Shift<kFinish>(sums.a, params, 2 * half),
                                       Shift<kFinish>(sums.b, params, 2 * half + 1));
  const __m512i multiplier = _mm512_load_si512(params.multiplier + 32 * half);
  const __m512i u = _mm512_mulhrs_epi16(t, multiplier);
  // (u * 2^9 + 2^14) >> 15 = (u + 32) >> 6
  if constexpr (IsRelu(kFinish)) return _mm512_mulhrs_epi16(u, _mm512_set1_epi16(1 << 9));
  const __m512i offset = _mm512_set1_epi16(static_cast<int16_t>(64 * tile.zero_point + 32));
  const __m512i scaled = _mm512_srai_epi16(_mm512_adds_epi16(u, offset), 6);
  if constexpr (kFinish != Finish::kUnusual) return scaled;
  const __mmask32 shifted = _mm512_cmpeq_epi16_mask(multiplier, _mm512_setzero_si512());
  return _mm512_mask_adds_epi16(scaled, shifted, t, _mm512_set1_epi16(tile.zero_point));
}

// Packing undoes the interleaving: the codes are in the order of the lanes.
template <Finish kFinish>
MPQ_INLINE __m512i Codes(__m512i lower_steps, __m512i upper_steps, const DepthwiseTile& tile) {
  const __m512i codes = _mm512_packus_epi16(lower_steps, upper_steps);
  if constexpr (IsRelu(kFinish)) return codes;
  const __m512i code_lo = _mm512_set1_epi8(static_cast<char>(tile.code_lo));
  return _mm512_min_epu8(_mm512_max_epu8(codes, code_lo), _mm512_load_si512(tile.params->code_hi));
}

MPQ_INLINE void Store(uint8_t* dst, __m256i codes, uint32_t channels) {
  if (channels == 32) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst), codes);
  } else {
    _mm256_mask_storeu_epi8(dst, (uint32_t{1} << channels) - 1, codes);
  }
}

MPQ_INLINE void Store(uint8_t* dst, __m128i codes, uint32_t channels) {
  if (channels == 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(dst), codes);
  } else {
    _mm_mask_storeu_epi8(dst, static_cast<__mmask16>((uint32_t{1} << channels) - 1), codes);
  }
}

MPQ_INLINE void StoreSegments(const DepthwiseTile& tile, uint8_t* dst, __m512i codes) {
  const auto segment = [&](int i) { return dst + tile.first[i] * tile.dst_stride; };
  if (tile.segments == 2) {
    Store(segment(0), _mm512_castsi512_si256(codes), tile.channels);
    Store(segment(1), _mm512_extracti64x4_epi64(codes, 1), tile.channels);
  } else {
    Store(segment(0), _mm512_castsi512_si128(codes), tile.channels);
    Store(segment(1), _mm512_extracti32x4_epi32(codes, 1), tile.channels);
    Store(segment(2), _mm512_extracti32x4_epi32(codes, 2), tile.channels);
    Store(segment(3), _mm512_extracti32x4_epi32(codes, 3), tile.channels);
  }
}

// Whole vectors are stored without a mask: masked stores are slower.
MPQ_INLINE void Store(const DepthwiseTile& tile, uint8_t* dst, __m512i codes) {
  if (tile.channels == 64) {
    _mm512_storeu_si512(dst, codes);
  } else if (tile.segments == 1) {
    _mm512_mask_storeu_epi8(dst, ~uint64_t{0} >> (64 - tile.channels), codes);
  } else {
    StoreSegments(tile, dst, codes);
  }
}

// ------------------------------ Along a row

// kKernel x kKernel taps.
template <int kKernel, int kStride, Part kPart, Finish kFinish>
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
  static constexpr size_t kHalves = kPart == Part::kBoth ? 2 : 1;
  // Halves of weights: all, and those that fit into registers beside the sums and six others.
  static constexpr size_t kWeights = kGroups * kKernel * kHalves;
  static constexpr size_t kRoom = 13 - kOpen * kHalves;
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
    __m512i line[kLines];
    if (x_ >= 0 && x_ < tile_.src_width) [[likely]] {
      for (size_t i = 0; i < kLines; ++i) line[i] = _mm512_loadu_si512(line_[i] + offset_);
    } else {
      const __m512i padding = _mm512_set1_epi8(static_cast<char>(tile_.src_zero_point));
      for (__m512i& lanes : line) lanes = padding;
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
  MPQ_INLINE void AddGroup(__m512i a, __m512i b, __m512i c, __m512i d, Outputs&... outputs) {
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
      if constexpr (kUpper) sums.upper = LoadHalf(tile_.params->start + 32);
    }
    const size_t i = static_cast<size_t>(group * kKernel + kx) * kHalves;
    if constexpr (kLower) MultiplyAdd(sums.lower, lower, Weights(i));
    if constexpr (kUpper) MultiplyAdd(sums.upper, upper, Weights(i + kHalves - 1));
  }

  MPQ_INLINE Half Weights(size_t i) const { return i < kHeld ? held_[i] : LoadWeights(i); }

  MPQ_INLINE Half LoadWeights(size_t i) const {
    if constexpr (kPart == Part::kBoth) return LoadHalf(weights_ + i * 128);
    return LoadHalf(weights_ + i * 256 + (kUpper ? 128 : 0));
  }

  MPQ_INLINE void Finish(const Sums& sums) const {
    __m512i* kept = reinterpret_cast<__m512i*>(tile_.scratch) + output_;
    __m512i lower_steps;
    if constexpr (kLower) {
      lower_steps = OutputSteps<kFinish>(sums.lower, tile_, 0);
    } else {
      lower_steps = _mm512_load_si512(kept);
    }
    if constexpr (kUpper) {
      const __m512i upper_steps = OutputSteps<kFinish>(sums.upper, tile_, 1);
      Store(tile_, tile_.dst + output_ * tile_.dst_stride,
            Codes<kFinish>(lower_steps, upper_steps, tile_));
    } else {
      _mm512_store_si512(kept, lower_steps);
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
  const DepthwiseChannels& params = *tile.params;
  if (params.unusual) {
    Stream<kKernel, kStride, kPart, Finish::kUnusual>(tile).Run();
  } else if (params.clamps || tile.zero_point > 0 || tile.code_lo > 0) {
    Stream<kKernel, kStride, kPart, Finish::kUsual>(tile).Run();
  } else if (params.right_shifts) {
    Stream<kKernel, kStride, kPart, Finish::kRelu>(tile).Run();
  } else {
    Stream<kKernel, kStride, kPart, Finish::kReluLeft>(tile).Run();
  }
}

}  // namespace

void ComputeDepthwiseAvx512Vnni(const DepthwiseTile& tile) {
  if (tile.kernel_w == 3) {
    return tile.stride_w == 1 ? Run<3, 1, Part::kBoth>(tile) : Run<3, 2, Part::kBoth>(tile);
  }
  if (tile.stride_w == 1) {
    Run<5, 1, Part::kLower>(tile);
    Run<5, 1, Part::kUpper>(tile);
  } else {
    Run<5, 2, Part::kLower>(tile);
    Run<5, 2, Part::kUpper>(tile);
  }
}

}  // namespace mpq
