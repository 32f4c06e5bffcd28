#include "quantize/images.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "format/message.h"

namespace mpq {

void NormalizePixels(const Preprocessing& preprocessing, std::span<const uint8_t> pixels,
                     std::span<float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t channel = i % 3;
    const uint8_t pixel = pixels[preprocessing.bgr ? i - channel + (2 - channel) : i];
    values[i] =
        (static_cast<float>(pixel) - preprocessing.mean[channel]) / preprocessing.std[channel];
  }
}

// Fisher and Yates by hand: what std::shuffle does with a generator is not specified.
std::vector<uint32_t> ShuffledIndices(uint32_t count, uint64_t seed) {
  std::vector<uint32_t> indices(count);
  std::iota(indices.begin(), indices.end(), 0u);
  std::mt19937_64 random(seed);
  for (uint32_t i = count; i > 1; --i) std::swap(indices[i - 1], indices[random() % i]);
  return indices;
}

// The beginning of such a shuffle.
std::vector<uint32_t> SampleIndices(uint32_t available, uint32_t count, uint64_t seed) {
  std::vector<uint32_t> indices(available);
  std::iota(indices.begin(), indices.end(), 0u);
  if (count == 0 || count >= available) return indices;
  std::mt19937_64 random(seed);
  for (uint32_t i = 0; i < count; ++i) {
    std::swap(indices[i], indices[i + random() % (available - i)]);
  }
  indices.resize(count);
  std::sort(indices.begin(), indices.end());
  return indices;
}

Status CheckImages(const CalibrationImages& images, const Graph& graph) {
  if (images.count == 0) {
    return Error(ErrorCode::kInvalidArgument, "no calibration images");
  }
  const Tensor& input = graph.tensors[graph.input];
  if (input.channels != 3) {
    return Error(ErrorCode::kUnsupported, "the model's input has ", input.channels,
                 " channels; only images of 3 channels are supported");
  }
  if (images.height != input.height || images.width != input.width) {
    return Error(ErrorCode::kInvalidArgument, "calibration images of ", images.height, "x",
                 images.width, " pixels, the model's input has ", input.height, "x", input.width);
  }
  if (images.pixels.size() != images.count * images.image_bytes()) {
    return Error(ErrorCode::kInvalidArgument, images.pixels.size(), " bytes of pixels for ",
                 images.count, " calibration images of ", images.image_bytes());
  }
  return Status();
}

}  // namespace mpq
