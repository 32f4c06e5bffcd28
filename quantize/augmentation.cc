#include "quantize/augmentation.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "engine/image/resample.h"

namespace mpq {

namespace {

// Small enough that the views of an image differ.
constexpr double kLeastArea = 0.35;

double Uniform(std::mt19937_64& random, double lo, double hi) {
  return lo + (hi - lo) * static_cast<double>(random() >> 11) * 0x1p-53;
}

Region RandomRegion(std::mt19937_64& random, Size image) {
  const double area = Uniform(random, kLeastArea, 1) * image.height * image.width;
  const double ratio = std::exp(Uniform(random, std::log(3.0 / 4), std::log(4.0 / 3)));
  const auto side = [](double length, uint32_t limit) {
    return std::clamp(static_cast<uint32_t>(std::lround(length)), 1u, limit);
  };
  Region region;
  region.size.height = side(std::sqrt(area / ratio), image.height);
  region.size.width = side(std::sqrt(area * ratio), image.width);
  region.top = static_cast<uint32_t>(random() % (image.height - region.size.height + 1));
  region.left = static_cast<uint32_t>(random() % (image.width - region.size.width + 1));
  return region;
}

void Mirror(Size size, std::span<uint8_t> rgb) {
  for (uint32_t y = 0; y < size.height; ++y) {
    uint8_t* row = rgb.data() + size_t{y} * size.width * 3;
    for (uint32_t a = 0, b = size.width - 1; a < b; ++a, --b) {
      std::swap_ranges(row + size_t{a} * 3, row + size_t{a} * 3 + 3, row + size_t{b} * 3);
    }
  }
}

}  // namespace

uint64_t MixSeed(uint64_t seed, uint64_t a, uint64_t b) {
  uint64_t x = seed;
  for (const uint64_t next : {a, b}) {
    x += 0x9e3779b97f4a7c15u + next;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
  }
  return x;
}

void RandomView(const CalibrationImages& images, uint32_t index, Interpolation interpolation,
                uint64_t seed, std::span<uint8_t> view) {
  std::mt19937_64 random(seed);
  const Size size{images.height, images.width};
  const Region region = RandomRegion(random, size);
  const std::span<const uint8_t> image = images.image(index);
  std::vector<uint8_t> part;
  part.reserve(size_t{region.size.height} * region.size.width * 3);
  for (uint32_t y = 0; y < region.size.height; ++y) {
    const auto row = image.begin() + static_cast<ptrdiff_t>(
                                         ((size_t{region.top} + y) * size.width + region.left) * 3);
    part.insert(part.end(), row, row + static_cast<ptrdiff_t>(size_t{region.size.width} * 3));
  }
  ResampleRegion(ImageView(region.size.height, region.size.width, part), size, {0, 0, size},
                 interpolation, view.data(), size_t{size.width} * 3);
  if (random() >> 63 != 0) Mirror(size, view);
}

std::vector<uint8_t> Views::Pixels(uint32_t view) const {
  const uint32_t index = image(view);
  const std::span<const uint8_t> pixels = images_.image(index);
  std::vector<uint8_t> result(pixels.begin(), pixels.end());
  if (view % each_ != 0) {
    RandomView(images_, index, interpolation_, MixSeed(seed_, index, view % each_), result);
  }
  return result;
}

}  // namespace mpq
