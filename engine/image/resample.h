// Pillow's resampling (Pillow 13, src/libImaging/Resample.c and Geometry.c, 8 bits a channel),
// restricted to the part of the resized image that somebody wants to see.
#ifndef MPQ_ENGINE_IMAGE_RESAMPLE_H_
#define MPQ_ENGINE_IMAGE_RESAMPLE_H_

#include <cstddef>
#include <cstdint>

#include "mpq/image.h"
#include "mpq/interpolation.h"
#include "mpq/status.h"

namespace mpq {

// Longest side of an image, before or after resizing.
inline constexpr uint32_t kMaxImageSide = 1 << 24;

struct Size {
  uint32_t height = 0, width = 0;

  bool operator==(const Size&) const = default;
};

// Pixels [top, top + size.height) x [left, left + size.width).
struct Region {
  uint32_t top = 0, left = 0;
  Size size;
};

// Sides within 1..kMaxImageSide, and as many bytes as they need.
Status CheckImage(ImageView image);

// What PIL.Image.resize((target.width, target.height), filter).crop(region) gives. `out` holds rows
// of region.size.width * 3 bytes, one every `out_stride` bytes. Only the source pixels that the
// region depends on are read, and besides weights only the few rows of one vertical window are
// kept. `src` has passed CheckImage, target's sides are within kMaxImageSide, and the region lies
// inside the target.
void ResampleRegion(ImageView src, Size target, Region region, Interpolation filter, uint8_t* out,
                    size_t out_stride);

}  // namespace mpq

#endif  // MPQ_ENGINE_IMAGE_RESAMPLE_H_
