// From decoded pixels to what Session::Run takes, in integers only: Pillow's antialiased resampling
// in fixed point (Pillow, src/libImaging/Resample.c, 8 bits a channel), then a centre crop.
#ifndef MPQ_IMAGE_H_
#define MPQ_IMAGE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "mpq/interpolation.h"
#include "mpq/model.h"
#include "mpq/status.h"

namespace mpq {

// Packed RGB bytes, [height][width][3].
struct Image {
  uint32_t height = 0, width = 0;
  std::vector<uint8_t> rgb;
};

// A view of someone else's packed RGB bytes.
struct ImageView {
  uint32_t height = 0, width = 0;
  std::span<const uint8_t> rgb;

  ImageView() = default;
  ImageView(uint32_t h, uint32_t w, std::span<const uint8_t> bytes)
      : height(h), width(w), rgb(bytes) {}
  ImageView(const Image& image)  // NOLINT: implicit by design
      : height(image.height), width(image.width), rgb(image.rgb) {}
};

// Equal, byte for byte, to PIL.Image.resize((width, height), resample=filter) of Pillow 13. (Older
// versions always resize horizontally first; the result can differ where the height shrinks by more
// than twice as many pixels as the width.)
Result<Image> Resize(ImageView src, uint32_t height, uint32_t width, Interpolation filter);

// What the model's preprocessing says: the short side to resize_short_side (the long side rounded
// down, as torchvision does), then the centre crop_height x crop_width. height and width, if not 0,
// replace the crop's size and scale the resize in proportion.
Result<Image> Preprocess(const Model& model, ImageView src, uint32_t height = 0,
                         uint32_t width = 0);

}  // namespace mpq

#endif  // MPQ_IMAGE_H_
