// The way from a decoded image to a model's input pixels.
#ifndef MPQ_ENGINE_IMAGE_PREPROCESS_H_
#define MPQ_ENGINE_IMAGE_PREPROCESS_H_

#include <cstdint>

#include "engine/image/resample.h"
#include "format/model_data.h"
#include "mpq/image.h"

namespace mpq {

// Where the crop comes from: the image is resized to `resized`, `source` of it is kept and lies at
// (top, left) of the crop, the rest of which is black.
struct Framing {
  Size resized;
  Region source;
  uint32_t top = 0, left = 0;
};

// For an image of this size and a crop of this size (neither 0).
//   Resize: to the smallest size of the same proportions that covers resize_short_side in both
//   directions, each scaled by crop / nominal crop; the longer side is rounded down. With the
//   nominal crop this is torchvision's Resize(resize_short_side).
//   Crop: as torchvision's CenterCrop, which rounds half offsets to even and pads with zeros
//   where the resized image is smaller than the crop.
Result<Framing> FrameImage(const Preprocessing& preprocessing, Size image, Size crop);

// Preprocess of mpq/image.h for a model that is not loaded (yet): resize and crop only, the
// normalisation belongs to the model.
Result<Image> Preprocess(const Preprocessing& preprocessing, ImageView src, uint32_t height = 0,
                         uint32_t width = 0);

}  // namespace mpq

#endif  // MPQ_ENGINE_IMAGE_PREPROCESS_H_
