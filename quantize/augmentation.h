// Random views of calibration images, so that few images teach more.
#ifndef MPQ_QUANTIZE_AUGMENTATION_H_
#define MPQ_QUANTIZE_AUGMENTATION_H_

#include <cstdint>
#include <span>

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

}  // namespace mpq

#endif  // MPQ_QUANTIZE_AUGMENTATION_H_
