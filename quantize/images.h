// The images that guide the quantiser, as packed pixels: [count][height][width][3] RGB bytes,
// resized and cropped like the model's input. Decoding files is the tools' business.
#ifndef MPQ_QUANTIZE_IMAGES_H_
#define MPQ_QUANTIZE_IMAGES_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/model_data.h"
#include "mpq/status.h"

namespace mpq {

struct CalibrationImages {
  uint32_t count = 0;
  uint32_t height = 0, width = 0;
  std::vector<uint8_t> pixels;

  size_t image_bytes() const { return size_t{height} * width * 3; }
  std::span<const uint8_t> image(uint32_t i) const {
    return std::span(pixels).subspan(i * image_bytes(), image_bytes());
  }
};

// The input of a float graph for one image: channel order, mean and standard deviation applied.
// `values` has 3 floats a pixel.
void NormalizePixels(const Preprocessing& preprocessing, std::span<const uint8_t> pixels,
                     std::span<float> values);

// `count` of `available` indices, ascending, the same for the same seed. All if count is 0 or no
// smaller than available.
std::vector<uint32_t> SampleIndices(uint32_t available, uint32_t count, uint64_t seed);

// 0..count-1 in a random order, the same for the same seed.
std::vector<uint32_t> ShuffledIndices(uint32_t count, uint64_t seed);

// The images fit the graph's nominal input, and there is at least one.
Status CheckImages(const CalibrationImages& images, const Graph& graph);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_IMAGES_H_
