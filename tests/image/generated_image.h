// The images and the hash of make_goldens.py.
#ifndef MPQ_TESTS_IMAGE_GENERATED_IMAGE_H_
#define MPQ_TESTS_IMAGE_GENERATED_IMAGE_H_

#include <cstdint>
#include <span>

#include "mpq/image.h"

namespace mpq {

inline Image GeneratedImage(uint32_t height, uint32_t width, int kind) {
  Image image{height, width, {}};
  uint32_t state = height * 65537 + width;
  for (uint32_t i = 0; i < height * width * 3; ++i) {
    state = state * 1664525 + 1013904223;
    const uint32_t byte = state >> 24;
    const uint32_t x = i / 3 % width, y = i / 3 / width;
    const uint32_t values[3] = {byte, 255 * (byte & 1), x * 5 + y * 3 + i % 3};
    image.rgb.push_back(static_cast<uint8_t>(values[kind]));
  }
  return image;
}

// CRC-32 as in zlib.
inline uint32_t Crc32(std::span<const uint8_t> bytes) {
  uint32_t crc = ~0u;
  for (uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

}  // namespace mpq

#endif  // MPQ_TESTS_IMAGE_GENERATED_IMAGE_H_
