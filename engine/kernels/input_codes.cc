#include "engine/kernels/input_codes.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/kernels/highway_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/input_codes.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h:
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mpq {
namespace HWY_NAMESPACE {

#if MPQ_TARGET_HAS_VECTORS

namespace hn = hwy::HWY_NAMESPACE;

// Three vectors at a time: the channels have the same places in all such groups.
size_t ConvertInput(const std::array<InputLine, 3>& lines, const uint8_t* rgb, size_t bytes,
                    uint8_t* codes) {
  const hn::ScalableTag<int32_t> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  constexpr size_t kLanes = hn::MaxLanes(d);
  HWY_ALIGN int32_t factors[3 * kLanes];
  HWY_ALIGN int32_t offsets[3 * kLanes];
  for (size_t i = 0; i < 3 * kLanes; ++i) {
    factors[i] = lines[i % 3].factor;
    offsets[i] = lines[i % 3].offset;
  }
  size_t done = 0;
  for (; done + 3 * kLanes <= bytes; done += 3 * kLanes) {
    for (size_t i = 0; i < 3 * kLanes; i += kLanes) {
      const auto values = hn::PromoteTo(d, hn::LoadU(d8, rgb + done + i));
      const auto line =
          hn::Add(hn::Mul(values, hn::Load(d, factors + i)), hn::Load(d, offsets + i));
      hn::StoreU(hn::DemoteTo(d8, hn::ShiftRight<InputLine::kShift>(line)), d8, codes + done + i);
    }
  }
  return done;
}

#endif  // MPQ_TARGET_HAS_VECTORS

}  // namespace HWY_NAMESPACE
}  // namespace mpq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace mpq {

namespace {

constexpr int64_t kOne = int64_t{1} << InputLine::kShift;

// A line with this factor that gives all codes of the table.
std::optional<InputLine> FindLine(const uint8_t table[256], int64_t factor) {
  int64_t least = -(int64_t{1} << 30), largest = int64_t{1} << 30;
  for (int64_t v = 0; v < 256; ++v) {
    const int64_t code = table[v];
    if (code > 0) least = std::max(least, code * kOne - v * factor);
    if (code < 255) largest = std::min(largest, (code + 1) * kOne - 1 - v * factor);
  }
  if (least > largest) return std::nullopt;
  return InputLine{static_cast<int32_t>(factor), static_cast<int32_t>(least)};
}

// A line that rises by `slope` codes a pixel value.
std::optional<InputLine> FindLine(const uint8_t table[256], double slope) {
  if (!(slope > 0 && slope < 1.99)) return std::nullopt;  // sums of two 2^30 fit 32 bits
  const int64_t factor = std::llround(slope * kOne);
  // Ties were rounded away from zero, as lines do that are a little steeper or flatter.
  for (const int64_t difference : {0, 1, -1, 2, -2}) {
    if (const auto line = FindLine(table, factor + difference)) return line;
  }
  return std::nullopt;
}

}  // namespace

InputCodes::InputCodes(const Preprocessing& preprocessing, double input_scale, Isa isa)
    : preprocessing_(&preprocessing) {
  if (preprocessing.bgr) return;
  for (int c = 0; c < 3; ++c) {
    const double slope = 1 / (double{preprocessing.std[c]} * input_scale);
    const std::optional<InputLine> line =
        FindLine(preprocessing.input_codes.data() + 256 * c, slope);
    if (!line) return;
    lines_[c] = *line;
  }
#define MPQ_CHOOSE(name, text, needed, TARGET) \
  if (convert_ == nullptr && IsaIncludes(isa, needed)) convert_ = TARGET::ConvertInput;
  MPQ_FOR_EACH_TARGET(MPQ_CHOOSE)
#undef MPQ_CHOOSE
}

void InputCodes::Convert(const uint8_t* rgb, size_t pixels, uint8_t* codes) const {
  const uint8_t* tables = preprocessing_->input_codes.data();
  const size_t red = preprocessing_->bgr ? 2 : 0, blue = 2 - red;
  // Groups of vectors end between pixels.
  const size_t done = convert_ == nullptr ? 0 : convert_(lines_, rgb, 3 * pixels, codes);
  for (size_t i = done; i < 3 * pixels; i += 3) {
    codes[i] = tables[rgb[i + red]];
    codes[i + 1] = tables[256 + rgb[i + 1]];
    codes[i + 2] = tables[512 + rgb[i + blue]];
  }
}

}  // namespace mpq

#endif  // HWY_ONCE
