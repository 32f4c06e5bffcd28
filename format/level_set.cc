#include "format/level_set.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "format/message.h"

namespace mpq {

const char* LevelSetKindName(LevelSetKind kind) {
  switch (kind) {
    case LevelSetKind::kUniform:
      return "uniform";
    case LevelSetKind::kTwoRegion:
      return "two-region";
    case LevelSetKind::kTable:
      return "table";
  }
  return "unknown";
}

uint8_t TwoRegionShape::Pack() const {
  return static_cast<uint8_t>((step - 1) | dense << 2 | (spare_negative ? 0x80 : 0));
}

TwoRegionShape TwoRegionShape::Unpack(uint8_t byte) {
  TwoRegionShape shape;
  shape.step = static_cast<uint8_t>((byte & 3) + 1);
  shape.dense = static_cast<uint8_t>(byte >> 2 & 31);
  shape.spare_negative = (byte & 0x80) != 0;
  return shape;
}

uint8_t Levels::zero_code() const {
  const auto end = level.begin() + count;
  return static_cast<uint8_t>(std::lower_bound(level.begin(), end, int8_t{0}) - level.begin());
}

uint8_t Levels::max_magnitude() const {
  const int lo = level[0];
  const int hi = level[count - 1];
  return static_cast<uint8_t>(std::max(-lo, hi));
}

uint8_t Levels::NearestCode(float x) const {
  const auto end = level.begin() + count;
  const auto above = std::lower_bound(
      level.begin(), end, x, [](int8_t l, float value) { return static_cast<float>(l) < value; });
  if (above == level.begin()) return 0;
  if (above == end) return static_cast<uint8_t>(count - 1);
  const float to_above = static_cast<float>(*above) - x;
  const float to_below = x - static_cast<float>(*(above - 1));
  const auto code = above - level.begin();
  return static_cast<uint8_t>(to_above < to_below ? code : code - 1);
}

Result<Levels> UniformLevels(int bits) {
  if (bits < 2 || bits > kMaxBits) {
    return Error(ErrorCode::kCorrupt, "uniform level set of ", bits, " bits, expected 2..",
                 kMaxBits);
  }
  Levels levels;
  levels.count = 1u << bits;
  const int half = 1 << (bits - 1);
  for (uint32_t code = 0; code < levels.count; ++code) {
    levels.level[code] = static_cast<int8_t>(static_cast<int>(code) - half);
  }
  return levels;
}

Result<Levels> TwoRegionLevels(int bits, TwoRegionShape shape) {
  if (bits < 2 || bits > kMaxTableBits) {
    return Error(ErrorCode::kCorrupt, "two-region level set of ", bits, " bits, expected 2..",
                 kMaxTableBits);
  }
  const int positive = (1 << (bits - 1)) - 1;
  if (shape.dense < 1 || shape.dense > positive || shape.step < 1 || shape.step > 4) {
    return Error(ErrorCode::kCorrupt, "two-region level set of ", bits,
                 " bits: ", static_cast<int>(shape.dense), " dense levels in steps of ",
                 static_cast<int>(shape.step), ", expected 1..", positive, " and 1..4");
  }
  const int top = shape.dense + shape.step * (positive - shape.dense);
  if (top + shape.step > kMaxTwoRegionLevel) {
    return Error(ErrorCode::kCorrupt, "two-region level set reaches ", top + shape.step,
                 ", more than ", kMaxTwoRegionLevel);
  }
  Levels levels;
  levels.count = 1u << bits;
  const int zero_code = shape.spare_negative ? positive + 1 : positive;
  for (int code = 0; code < static_cast<int>(levels.count); ++code) {
    const int rank = std::abs(code - zero_code);
    const int magnitude =
        rank <= shape.dense ? rank : shape.dense + shape.step * (rank - shape.dense);
    levels.level[code] = static_cast<int8_t>(code < zero_code ? -magnitude : magnitude);
  }
  return levels;
}

Result<Levels> TableLevels(int bits, std::span<const int8_t> table) {
  if (bits < 1 || bits > kMaxTableBits || table.size() != size_t{1} << bits) {
    return Error(ErrorCode::kCorrupt, "table level set of ", bits, " bits with ", table.size(),
                 " levels");
  }
  Levels levels;
  levels.count = 1u << bits;
  bool has_zero = false;
  for (uint32_t code = 0; code < levels.count; ++code) {
    if (code > 0 && table[code] <= table[code - 1]) {
      return Error(ErrorCode::kCorrupt, "table level set is not ascending at code ", code);
    }
    levels.level[code] = table[code];
    has_zero |= table[code] == 0;
  }
  if (!has_zero) return Error(ErrorCode::kCorrupt, "table level set without level 0");
  return levels;
}

}  // namespace mpq
