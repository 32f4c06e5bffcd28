// Random views of calibration images, so that few images teach more.
#ifndef MPQ_QUANTIZE_AUGMENTATION_H_
#define MPQ_QUANTIZE_AUGMENTATION_H_

#include <cstdint>
#include <span>
#include <vector>

#include "mpq/interpolation.h"
#include "quantize/images.h"

namespace mpq {

// A number for every (seed, a, b), to seed generators with: SplitMix64 (Steele, Lea and Flood,
// "Fast Splittable Pseudorandom Number Generators", 2014).
uint64_t MixSeed(uint64_t seed, uint64_t a, uint64_t b);

// Inception's augmentation (Szegedy et al., "Going Deeper with Convolutions", 2015; torchvision's
// RandomResizedCrop): a part of the image, of 35 to 100 % of its area and proportions between 3:4
// and 4:3, resized to the image's size; half of the views are mirrored. `view` has image_bytes().
// The same for the same seed.
void RandomView(const CalibrationImages& images, uint32_t index, Interpolation interpolation,
                uint64_t seed, std::span<uint8_t> view);

// The same number of views of every image: view 0 of each is the image itself, the others are
// random ones.
class Views {
 public:
  // `images` must outlive the object. each: >= 1
  Views(const CalibrationImages& images, uint32_t each, Interpolation interpolation, uint64_t seed)
      : images_(images), each_(each), interpolation_(interpolation), seed_(seed) {}

  uint32_t count() const { return images_.count * each_; }
  uint32_t image(uint32_t view) const { return view / each_; }
  std::vector<uint8_t> Pixels(uint32_t view) const;

 private:
  const CalibrationImages& images_;
  const uint32_t each_;
  const Interpolation interpolation_;
  const uint64_t seed_;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_AUGMENTATION_H_
