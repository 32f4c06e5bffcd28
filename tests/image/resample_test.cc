#include "engine/image/resample.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/image/preprocess.h"
#include "mpq/image.h"
#include "tests/image/generated_image.h"

namespace mpq {
namespace {

constexpr Interpolation kFilters[] = {Interpolation::kNearest, Interpolation::kBilinear,
                                      Interpolation::kBicubic};

Preprocessing Framed(uint32_t short_side, uint32_t crop) {
  Preprocessing preprocessing;
  preprocessing.resize_short_side = short_side;
  preprocessing.crop_height = preprocessing.crop_width = crop;
  return preprocessing;
}

TEST_CASE("a region is the same as resizing everything and cropping") {
  const Image source = GeneratedImage(53, 71, 0);
  for (const Interpolation filter : kFilters) {
    for (const Size target : {Size{29, 31}, Size{80, 97}, Size{53, 20}}) {
      const auto whole = Resize(source, target.height, target.width, filter);
      REQUIRE(whole.ok());
      for (const Region region : {Region{0, 0, {1, 1}}, Region{3, 5, {7, 11}},
                                  Region{target.height - 1, target.width - 2, {1, 2}}}) {
        const size_t stride = size_t{region.size.width} * 3 + 2;
        std::vector<uint8_t> part(region.size.height * stride, 77);
        ResampleRegion(source, target, region, filter, part.data(), stride);
        for (uint32_t y = 0; y < region.size.height; ++y) {
          const auto row = part.begin() + y * stride;
          CHECK(
              std::equal(row, row + region.size.width * 3,
                         whole->rgb.begin() + ((region.top + y) * target.width + region.left) * 3));
          CHECK(row[region.size.width * 3] == 77);  // nothing is written between rows
        }
      }
    }
  }
}

TEST_CASE("the same size is a copy") {
  const Image source = GeneratedImage(19, 23, 1);
  for (const Interpolation filter : kFilters) {
    const auto resized = Resize(source, 19, 23, filter);
    REQUIRE(resized.ok());
    CHECK(resized->rgb == source.rgb);
  }
}

TEST_CASE("framing follows torchvision") {
  const auto frame = [](const Preprocessing& p, Size image, Size crop) {
    const auto framing = FrameImage(p, image, crop);
    REQUIRE(framing.ok());
    return *framing;
  };
  SUBCASE("long side rounded down, half offsets to even") {
    const Framing f = frame(Framed(256, 224), {300, 451}, {224, 224});
    CHECK(f.resized == Size{256, 384});  // 384.85
    CHECK(f.source.top == 16);
    CHECK(f.source.left == 80);
    CHECK(frame(Framed(257, 224), {100, 100}, {224, 224}).source.top == 16);  // 16.5
    CHECK(frame(Framed(259, 224), {100, 100}, {224, 224}).source.top == 18);  // 17.5
  }
  SUBCASE("another crop scales the resize") {
    CHECK(frame(Framed(256, 224), {300, 300}, {112, 112}).resized == Size{128, 128});
    CHECK(frame(Framed(256, 224), {300, 300}, {112, 224}).resized == Size{256, 256});
    CHECK(frame(Framed(256, 224), {300, 900}, {112, 224}).resized == Size{128, 384});
  }
  SUBCASE("smaller than the crop: padding") {
    const Framing f = frame(Framed(20, 33), {40, 40}, {33, 33});
    CHECK(f.source.size == Size{20, 20});
    CHECK(f.top == 6);
    CHECK(f.left == 6);
  }
  SUBCASE("resize_short_side 0: straight to the crop") {
    CHECK(frame(Framed(0, 33), {40, 70}, {33, 33}).resized == Size{33, 33});
  }
}

TEST_CASE("extreme proportions take memory for the crop only") {
  const Image line = GeneratedImage(1, 20000, 2);  // resized to 256 x 5,120,000
  const auto input = Preprocess(Framed(256, 224), line);
  REQUIRE(input.ok());
  CHECK(input->rgb.size() == 224 * 224 * 3);
}

TEST_CASE("bad sizes are errors") {
  const Image image = GeneratedImage(4, 4, 0);
  CHECK(Resize(image, 0, 4, Interpolation::kBilinear).status().code() ==
        ErrorCode::kInvalidArgument);
  CHECK(Resize(image, 4, kMaxImageSide + 1, Interpolation::kNearest).status().message() ==
        "resized width 16777217, expected 1..16777216");
  const ImageView none(0, 0, {});
  CHECK(Preprocess(Framed(8, 8), none).status().message() ==
        "image height 0, expected 1..16777216");
  const ImageView wrong(4, 5, image.rgb);
  CHECK(Resize(wrong, 2, 2, Interpolation::kBilinear).status().message() ==
        "image of 4x5 has 48 bytes, expected 60");
  const Image line = GeneratedImage(1, 70000, 0);
  CHECK(Preprocess(Framed(256, 224), line).status().code() == ErrorCode::kLimitExceeded);
}

}  // namespace
}  // namespace mpq
