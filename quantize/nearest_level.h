// Rounding to the nearest level of a set, for every method that rounds weights.
#ifndef MPQ_QUANTIZE_NEAREST_LEVEL_H_
#define MPQ_QUANTIZE_NEAREST_LEVEL_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "format/level_set.h"

namespace mpq {

// By arithmetic where the levels are consecutive integers, else by search. Ties go to the smaller
// level, as Levels::NearestCode has it. Keeps a reference to the levels.
class NearestLevel {
 public:
  explicit NearestLevel(const Levels& levels)
      : levels_(levels),
        lo_(levels.level[0]),
        hi_(levels.level[levels.count - 1]),
        consecutive_(hi_ - lo_ + 1 == static_cast<float>(levels.count)) {}

  // x in units of the scale.
  float operator()(float x) const {
    if (!consecutive_) return levels_.level[levels_.NearestCode(x)];
    return std::clamp(std::ceil(x - 0.5f), lo_, hi_);
  }

 private:
  const Levels& levels_;
  float lo_, hi_;
  bool consecutive_;
};

// The code of a level that belongs to the set.
class CodeOfLevel {
 public:
  explicit CodeOfLevel(const Levels& levels) {
    for (uint32_t code = 0; code < levels.count; ++code) {
      code_[static_cast<size_t>(levels.level[code] + 128)] = static_cast<uint8_t>(code);
    }
  }
  uint8_t operator()(float level) const {
    const int index = static_cast<int>(level) + 128;
    return code_[static_cast<size_t>(index)];
  }

 private:
  std::array<uint8_t, 256> code_{};  // by level + 128
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_NEAREST_LEVEL_H_
