// Resize and Preprocess against Pillow, byte for byte (by hash).
#include <doctest/doctest.h>

#include <cstdint>

#include "engine/image/preprocess.h"
#include "mpq/image.h"
#include "tests/image/generated_image.h"

namespace mpq {
namespace {

struct ResizeGolden {
  uint32_t height, width, to_height, to_width;
  Interpolation filter;
  int kind;
  uint32_t crc32;
};

struct PreprocessGolden {
  uint32_t height, width, short_side, nominal_height, nominal_width, crop_height, crop_width;
  Interpolation filter;
  uint32_t crc32;
};

#include "tests/image/goldens.inc"

TEST_CASE("Resize equals Pillow") {
  for (const ResizeGolden& golden : kResizeGoldens) {
    CAPTURE(golden.height);
    CAPTURE(golden.width);
    CAPTURE(golden.to_height);
    CAPTURE(golden.to_width);
    CAPTURE(static_cast<int>(golden.filter));
    CAPTURE(golden.kind);
    const Image source = GeneratedImage(golden.height, golden.width, golden.kind);
    const auto resized = Resize(source, golden.to_height, golden.to_width, golden.filter);
    REQUIRE(resized.ok());
    CHECK(resized->height == golden.to_height);
    CHECK(resized->width == golden.to_width);
    CHECK(Crc32(resized->rgb) == golden.crc32);
  }
}

TEST_CASE("Preprocess equals Pillow's resize and torchvision's crop") {
  for (const PreprocessGolden& golden : kPreprocessGoldens) {
    CAPTURE(golden.height);
    CAPTURE(golden.width);
    CAPTURE(golden.short_side);
    CAPTURE(golden.crop_height);
    CAPTURE(golden.crop_width);
    CAPTURE(static_cast<int>(golden.filter));
    Preprocessing preprocessing;
    preprocessing.resize_short_side = golden.short_side;
    preprocessing.crop_height = golden.nominal_height;
    preprocessing.crop_width = golden.nominal_width;
    preprocessing.interpolation = golden.filter;
    const Image source = GeneratedImage(golden.height, golden.width, 0);
    const auto input = Preprocess(preprocessing, source, golden.crop_height, golden.crop_width);
    REQUIRE(input.ok());
    CHECK(input->height == golden.crop_height);
    CHECK(input->width == golden.crop_width);
    CHECK(Crc32(input->rgb) == golden.crc32);
  }
}

}  // namespace
}  // namespace mpq
