// Level sets: what a weight code means. A level set of B bits maps the codes 0..2^B-1 to integers
// that fit int8, in ascending order, one of them 0. The real weight is scale[channel] * level.
// How codes lie in memory is a different question: code_layout.h.
#ifndef MPQ_FORMAT_LEVEL_SET_H_
#define MPQ_FORMAT_LEVEL_SET_H_

#include <array>
#include <cstdint>
#include <span>

#include "mpq/status.h"

namespace mpq {

enum class LevelSetKind : uint8_t {
  kUniform = 0,    // level = code - 2^(B-1), B = 2..8 (a symmetric quantiser leaves code 0 unused)
  kTwoRegion = 1,  // dense centre and sparse tails on one grid, B = 2..6, shape per block
  kTable = 2,      // any ascending levels, B = 1..6, one table per width in the layer
};
const char* LevelSetKindName(LevelSetKind kind);

inline constexpr int kMaxBits = 8;
inline constexpr int kMaxTableBits = 6;  // kTable and kTwoRegion: what shuffles can look up
inline constexpr int kMaxTwoRegionLevel = 127;

// The shape of a two-region set (PTILMPQ, arXiv 2404.02947, on one integer grid): levels 0,
// +-1..+-dense, then tails in steps of `step`, and the spare 2^B-th code one step further on one
// side. With H = 2^(B-1) - 1 positive codes: top = dense + step * (H - dense).
struct TwoRegionShape {
  uint8_t step = 1;             // k = 1..4
  uint8_t dense = 1;            // Nd = 1..H
  bool spare_negative = false;  // the spare code is -(top + step) rather than top + step

  // bits 0-1: step - 1; bits 2-6: dense; bit 7: spare_negative
  uint8_t Pack() const;
  static TwoRegionShape Unpack(uint8_t byte);
};

// The levels of one block: count = 2^bits entries are valid, in ascending order of code.
struct Levels {
  std::array<int8_t, 256> level{};
  uint32_t count = 0;

  uint8_t zero_code() const;      // the code of level 0
  uint8_t max_magnitude() const;  // largest |level|, 1..128
  // The code whose level is nearest to x (x in units of the scale); ties go to the smaller level.
  uint8_t NearestCode(float x) const;
};

Result<Levels> UniformLevels(int bits);
Result<Levels> TwoRegionLevels(int bits, TwoRegionShape shape);
Result<Levels> TableLevels(int bits, std::span<const int8_t> table);

}  // namespace mpq

#endif  // MPQ_FORMAT_LEVEL_SET_H_
