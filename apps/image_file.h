// Image files: JPEG, PNG, BMP, PPM and PGM, through stb_image.
#ifndef MPQ_APPS_IMAGE_FILE_H_
#define MPQ_APPS_IMAGE_FILE_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mpq/image.h"
#include "mpq/status.h"

namespace mpq {

// Images beyond this are refused before they are decoded (Pillow's limit against "decompression
// bombs").
inline constexpr uint64_t kMaxImagePixels = 178956970;
inline constexpr uint64_t kMaxImageFileBytes = uint64_t{1} << 28;

// Pixels as the decoder left them, without another copy.
struct DecodedImage {
  struct Free {
    void operator()(uint8_t* pixels) const { std::free(pixels); }
  };
  uint32_t height = 0, width = 0;
  std::unique_ptr<uint8_t[], Free> rgb;  // [height][width][3]

  ImageView view() const { return {height, width, {rgb.get(), size_t{height} * width * 3}}; }
};

// Cameras store pixels as the sensor read them and note in EXIF how the camera was held.
enum class Orientation { kApply, kIgnore };

// Always 8-bit RGB: grey is spread over the channels, alpha is dropped (as Pillow's convert("RGB")
// does: no blending with a background), CMYK is converted, of 16 bits the upper 8 stay.
Result<DecodedImage> DecodeImage(std::span<const uint8_t> file, Orientation orientation);

// Reads and decodes a file, or standard input for "-". Errors name the path.
Result<DecodedImage> ReadImageFile(const std::string& path, Orientation orientation);

// Whether the name ends like an image's.
bool IsImageName(const std::string& name);

// "-" and files stand for themselves, a folder for its images, sorted by name. An error if there is
// no such file, or no image in the folder.
Result<std::vector<std::string>> ListImages(const std::string& path);

}  // namespace mpq

#endif  // MPQ_APPS_IMAGE_FILE_H_
