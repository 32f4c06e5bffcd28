// GEMM micro-kernel for AMX, written over a thin interface so that it also runs where there are no
// tiles (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18).
//
// Tiles has
//   Zero<t>()                      tile t = 0
//   Load<t>(p, stride)             16 rows of 64 bytes
//   MultiplyAdd<sums, u8, s8>()    TDPBUSD: sums[m][n] += u8[m][4k + j] * s8[k][4n + j]
//   Store<t>(p, stride)
// all tiles being 16 x 64 bytes: Begin() configures a thread so, End() releases the tiles. Vectors
// has
//   CopyBytes(dst, src, n)         n <= 64
//   Finish(tile, sums)             adds the products [odd][block][16][16] up, to tile.sums or codes
#include <cstddef>
#include <cstdint>

#include "engine/kernels/conv_gemm_micro.h"

namespace mpq {

namespace {

constexpr uint32_t kAmxRows = 16;
constexpr size_t kAmxRowBytes = 64;
constexpr uint32_t kAmxStepQuads = kAmxRowBytes / 4;
constexpr size_t kAmxTileBytes = kAmxRows * kAmxRowBytes;
constexpr size_t kAmxTileSums = kAmxTileBytes / sizeof(int32_t);
static_assert(kAmxRows <= kGemmMaxRows);

// Activations of the tile's positions, 64 bytes of k at a time, across the borders of runs: the
// panel of levels has none, so only the very last step may lack quads. There zeros meet whatever
// lies behind the panel. Rows beyond num_rows compute sums that nobody reads.
template <class Vectors>
class AmxActivations {
 public:
  explicit AmxActivations(const GemmTile& tile)
      : tile_(tile), rows_(tile.rows), run_bytes_(size_t{tile.quads_per_run} * 4) {}

  // The next step's rows, `stride` bytes apart: in place where they are equidistant, else copied.
  const uint8_t* Next(size_t step_bytes, ptrdiff_t& stride) {
    if (at_ == 0) stride_ = Distance();
    if (stride_ != 0 && step_bytes == kAmxRowBytes && at_ + step_bytes <= run_bytes_) {
      const uint8_t* in_place = rows_[0] + at_;
      stride = stride_;
      Advance(step_bytes);
      return in_place;
    }
    if (step_bytes < kAmxRowBytes) __builtin_memset(copy_, 0, sizeof copy_);
    for (size_t done = 0; done < step_bytes;) {
      const size_t rest = step_bytes - done;
      const size_t bytes = rest < run_bytes_ - at_ ? rest : run_bytes_ - at_;
      for (uint32_t row = 0; row < tile_.num_rows; ++row) {
        Vectors::CopyBytes(copy_ + row * kAmxRowBytes + done, rows_[row] + at_, bytes);
      }
      done += bytes;
      Advance(bytes);
    }
    stride = kAmxRowBytes;
    return copy_;
  }

 private:
  // Between neighbouring rows of this run if it is constant and the tile full, else 0.
  ptrdiff_t Distance() const {
    if (tile_.num_rows < kAmxRows) return 0;
    const ptrdiff_t distance = rows_[1] - rows_[0];
    bool equal = true;
    for (uint32_t i = 2; i < kAmxRows; ++i) equal &= rows_[i] - rows_[i - 1] == distance;
    return equal ? distance : 0;
  }

  void Advance(size_t bytes) {
    at_ += bytes;
    if (at_ == run_bytes_) {
      at_ = 0;
      rows_ += kGemmMaxRows;
    }
  }

  const GemmTile& tile_;
  const uint8_t* const* rows_;  // of the current run
  const size_t run_bytes_;
  size_t at_ = 0;         // bytes of the run that are done
  ptrdiff_t stride_ = 0;  // of the current run, 0: copy
  alignas(64) uint8_t copy_[kAmxTileBytes] = {};
};

// Tiles 0 and 1: sums of the two blocks over even steps, 2 and 3: over odd steps, so that a step
// need not wait for the one before (TDPBUSD: a result after 52 cycles, a new one every 16; Intel 64
// and IA-32 Architectures Optimization Reference Manual, chapter "Intel AMX").
template <class Tiles, int kBlocks, int kSums>
inline void AmxStep(Tiles& tiles, const uint8_t* rows, ptrdiff_t stride, const int8_t* levels) {
  constexpr ptrdiff_t kLevelStride = kBlocks * kAmxRowBytes;
  tiles.template Load<4>(rows, stride);
  tiles.template Load<5>(levels, kLevelStride);
  tiles.template MultiplyAdd<kSums, 4, 5>();
  if constexpr (kBlocks == 2) {
    tiles.template Load<6>(levels + kAmxRowBytes, kLevelStride);
    tiles.template MultiplyAdd<kSums + 1, 4, 6>();
  }
}

template <class Tiles, class Vectors, int kBlocks>
inline void AmxComputeBlocks(const GemmTile& tile) {
  Tiles tiles;
  tiles.template Zero<0>();
  tiles.template Zero<1>();
  tiles.template Zero<2>();
  tiles.template Zero<3>();
  AmxActivations<Vectors> activations(tile);
  const int8_t* levels = static_cast<const int8_t*>(tile.panel);
  size_t rest = size_t{tile.num_runs} * tile.quads_per_run * 4;
  for (bool odd = false; rest > 0; odd = !odd) {
    const size_t bytes = rest < kAmxRowBytes ? rest : kAmxRowBytes;
    ptrdiff_t stride;
    const uint8_t* rows = activations.Next(bytes, stride);
    if (odd) {
      AmxStep<Tiles, kBlocks, 2>(tiles, rows, stride, levels);
    } else {
      AmxStep<Tiles, kBlocks, 0>(tiles, rows, stride, levels);
    }
    levels += kBlocks * kAmxTileBytes;
    rest -= bytes;
  }
  alignas(64) int32_t sums[4 * kAmxTileSums];
  tiles.template Store<0>(sums, kAmxRowBytes);
  tiles.template Store<1>(sums + kAmxTileSums, kAmxRowBytes);
  tiles.template Store<2>(sums + 2 * kAmxTileSums, kAmxRowBytes);
  tiles.template Store<3>(sums + 3 * kAmxTileSums, kAmxRowBytes);
  Vectors::Finish(tile, sums);
}

template <class Tiles, class Vectors>
void AmxCompute(const GemmTile& tile) {
  if (tile.num_blocks == 2) {
    AmxComputeBlocks<Tiles, Vectors, 2>(tile);
  } else {
    AmxComputeBlocks<Tiles, Vectors, 1>(tile);
  }
}

// What the instructions do, for one thread.
class EmulatedTiles {
 public:
  static void Begin() { configured = true; }
  static void End() { configured = false; }

  template <int kTile>
  void Zero() {
    __builtin_memset(bytes_[kTile], 0, kAmxTileBytes);
  }
  template <int kTile>
  void Load(const void* from, ptrdiff_t stride) {
    for (uint32_t row = 0; row < kAmxRows; ++row) {
      __builtin_memcpy(bytes_[kTile] + row * kAmxRowBytes,
                       static_cast<const uint8_t*>(from) + row * stride, kAmxRowBytes);
    }
  }
  template <int kTile>
  void Store(void* to, ptrdiff_t stride) const {
    for (uint32_t row = 0; row < kAmxRows; ++row) {
      __builtin_memcpy(static_cast<uint8_t*>(to) + row * stride, bytes_[kTile] + row * kAmxRowBytes,
                       kAmxRowBytes);
    }
  }
  template <int kSums, int kActivations, int kLevels>
  void MultiplyAdd() {
    if (!configured) return;  // an invalid instruction on a real CPU; here, wrong results
    for (uint32_t m = 0; m < kAmxRows; ++m) {
      int32_t sums[kAmxRows];
      uint8_t* const row = bytes_[kSums] + m * kAmxRowBytes;
      __builtin_memcpy(sums, row, sizeof sums);
      for (uint32_t k = 0; k < kAmxRows; ++k) {
        const uint8_t* activations = bytes_[kActivations] + m * kAmxRowBytes + 4 * k;
        const uint8_t* levels = bytes_[kLevels] + k * kAmxRowBytes;
        for (uint32_t i = 0; i < kAmxRowBytes; ++i) {
          sums[i / 4] += activations[i % 4] * static_cast<int8_t>(levels[i]);
        }
      }
      __builtin_memcpy(row, sums, sizeof sums);
    }
  }

 private:
  static inline thread_local bool configured = false;
  alignas(64) uint8_t bytes_[8][kAmxTileBytes];
};

}  // namespace

}  // namespace mpq
