// What stb_image leaves aside: EXIF orientation, and damage that it would decode as if nothing had
// happened.
#ifndef MPQ_APPS_IMAGE_CONTAINER_H_
#define MPQ_APPS_IMAGE_CONTAINER_H_

#include <cstdint>
#include <span>

#include "mpq/status.h"

namespace mpq {

// The EXIF orientation of a JPEG or PNG, 1..8; 1 where there is none or it makes no sense.
int ExifOrientation(std::span<const uint8_t> file);

// JPEG: whole segments up to the end-of-image marker, Huffman tables of a legal size. PNG: every
// chunk is complete and has the right CRC-32, up to IEND. BMP, PPM, PGM: all rows are there. Other
// formats: nothing to check.
Status CheckContainer(std::span<const uint8_t> file);

}  // namespace mpq

#endif  // MPQ_APPS_IMAGE_CONTAINER_H_
