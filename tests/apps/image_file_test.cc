#include "apps/image_file.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "apps/image_container.h"
#include "tests/test_folder.h"

namespace mpq {
namespace {

// Made by make_images.py: 16 x 24, red, green / blue, white.
std::string ImagePath(const std::string& name) { return std::string(MPQ_TEST_IMAGES) + "/" + name; }

std::vector<uint8_t> Bytes(const std::string& name) {
  std::ifstream file(ImagePath(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

using Color = std::array<int, 3>;
constexpr Color kQuarters[] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 255}};

int Luma(const Color& c) { return (299 * c[0] + 587 * c[1] + 114 * c[2] + 500) / 1000; }

// The middles of the four quarters.
void CheckQuarters(const DecodedImage& image, bool grey, int tolerance) {
  REQUIRE(image.height == 16);
  REQUIRE(image.width == 24);
  for (uint32_t i = 0; i < 4; ++i) {
    const size_t y = i / 2 * 8 + 4, x = i % 2 * 12 + 6;
    const uint8_t* pixel = image.rgb.get() + (y * 24 + x) * 3;
    const int luma = Luma(kQuarters[i]);
    const Color expected = grey ? Color{luma, luma, luma} : kQuarters[i];
    for (int c = 0; c < 3; ++c) {
      CAPTURE(i);
      CAPTURE(c);
      CHECK(std::abs(pixel[c] - expected[c]) <= tolerance);
    }
  }
}

TEST_CASE("formats and pixel kinds") {
  struct Case {
    const char* name;
    bool grey;
    int tolerance;
  };
  for (const Case& test : {Case{"rgb.png", false, 0},
                           {"rgb.bmp", false, 0},
                           {"palette.png", false, 0},
                           {"rgb16.png", false, 0},
                           {"alpha.png", false, 0},
                           {"grey.png", true, 0},
                           {"grey_alpha.png", true, 0},
                           {"rgb.jpg", false, 4},
                           {"progressive.jpg", false, 4},
                           {"grey.jpg", true, 4},
                           {"cmyk.jpg", false, 6}}) {
    CAPTURE(test.name);
    const auto image = ReadImageFile(ImagePath(test.name), Orientation::kApply);
    REQUIRE(image.ok());
    CheckQuarters(*image, test.grey, test.tolerance);
  }
}

TEST_CASE("PPM and PGM") {
  const TestFolder folder;
  const auto color =
      ReadImageFile(folder.Write("a.ppm", Ppm(3, 2, 10, 20, 30)), Orientation::kApply);
  REQUIRE(color.ok());
  CHECK(color->height == 2);
  CHECK(color->width == 3);
  CHECK(color->rgb[17] == 30);
  const auto grey = ReadImageFile(folder.Write("b.pgm", "P5\n# comment\n2 1\n255\n\x07\x09"),
                                  Orientation::kApply);
  REQUIRE(grey.ok());
  CHECK(std::vector<int>(grey->rgb.get(), grey->rgb.get() + 6) ==
        std::vector<int>{7, 7, 7, 9, 9, 9});
}

TEST_CASE("EXIF orientation") {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(orientation);
    const std::string name = "orientation_" + std::to_string(orientation) + ".jpg";
    CHECK(ExifOrientation(Bytes(name)) == orientation);
    const auto upright = ReadImageFile(ImagePath(name), Orientation::kApply);
    REQUIRE(upright.ok());
    CheckQuarters(*upright, false, 4);
    const auto stored = ReadImageFile(ImagePath(name), Orientation::kIgnore);
    REQUIRE(stored.ok());
    CHECK(stored->height == (orientation >= 5 ? 24 : 16));
  }
  CHECK(ExifOrientation(Bytes("orientation_6.png")) == 6);
  CHECK(ExifOrientation(Bytes("rgb.jpg")) == 1);
  CHECK(ExifOrientation(Bytes("rgb.bmp")) == 1);
}

TEST_CASE("damaged files are errors") {
  SUBCASE("cut anywhere") {
    for (const char* name :
         {"rgb.jpg", "progressive.jpg", "orientation_6.png", "rgb16.png", "rgb.bmp"}) {
      const std::vector<uint8_t> whole = Bytes(name);
      for (size_t size = 0; size < whole.size(); ++size) {
        CAPTURE(name);
        CAPTURE(size);
        CHECK(!DecodeImage({whole.data(), size}, Orientation::kApply).ok());
      }
    }
  }
  SUBCASE("a flipped bit in a PNG") {
    const std::vector<uint8_t> whole = Bytes("rgb.png");
    for (size_t at = 0; at < whole.size() - 4; ++at) {
      std::vector<uint8_t> damaged = whole;
      damaged[at] ^= 1;
      CAPTURE(at);
      CHECK(!DecodeImage(damaged, Orientation::kApply).ok());
    }
  }
  SUBCASE("any damage: an image or an error, never a crash") {
    std::mt19937 random(1);
    for (const char* name :
         {"orientation_3.jpg", "progressive.jpg", "cmyk.jpg", "orientation_6.png", "rgb.bmp"}) {
      const std::vector<uint8_t> whole = Bytes(name);
      for (int round = 0; round < 200; ++round) {
        std::vector<uint8_t> damaged = whole;
        for (int i = 0; i < 3; ++i) damaged[random() % damaged.size()] = random() & 255;
        const int orientation = ExifOrientation(damaged);
        CHECK(orientation >= 1);
        CHECK(orientation <= 8);
        const auto image = DecodeImage(damaged, Orientation::kApply);
        CHECK((image.ok() || !image.status().message().empty()));
      }
    }
  }
  SUBCASE("a Huffman table of more than 256 codes") {
    std::vector<uint8_t> damaged = Bytes("rgb.jpg");
    const uint8_t kMarker[] = {0xff, 0xc4};
    const auto table = std::search(damaged.begin(), damaged.end(), kMarker, kMarker + 2);
    REQUIRE(table != damaged.end());
    std::fill_n(table + 5, 16, uint8_t{255});
    CHECK(DecodeImage(damaged, Orientation::kApply).status().message() ==
          "JPEG with a bad Huffman table");
  }
  SUBCASE("messages") {
    const auto message = [](const std::string& name, const std::string& contents) {
      const TestFolder folder;
      const std::string path = folder.Write(name, contents);
      const std::string text = ReadImageFile(path, Orientation::kApply).status().message();
      REQUIRE(text.starts_with(path));
      return text.substr(path.size());
    };
    CHECK(message("empty.jpg", "") == ": the file is empty");
    CHECK(message("text.jpg", "not an image") == ": no image: unknown image type");
    CHECK(message("a.ppm", "P6\n2 2\n255\n12345678901") == ": PNM ends early");
    CHECK(message("a.pgm", "P5 # c\n2 2 65535\n1234567") == ": PNM ends early");
    CHECK(ReadImageFile("no/such.jpg", Orientation::kApply).status().message() ==
          "no/such.jpg: No such file or directory");
    CHECK(ReadImageFile(".", Orientation::kApply).status().code() == ErrorCode::kIo);
  }
}

TEST_CASE("too many pixels are refused before decoding") {
  const auto image = ReadImageFile(ImagePath("bomb.png"), Orientation::kApply);
  CHECK(image.status().code() == ErrorCode::kLimitExceeded);
}

TEST_CASE("listing") {
  const TestFolder folder;
  CHECK(ListImages(folder.path()).status().message() ==
        folder.path() + ": no images in this folder");
  for (const char* name : {"b.JPG", "a.png", "c.txt", "d.jpeg", ".jpg"}) folder.Write(name, "");
  folder.Write("sub/e.png", "");
  const auto images = ListImages(folder.path());
  REQUIRE(images.ok());
  const std::string prefix = folder.path() + "/";
  CHECK(*images == std::vector<std::string>{prefix + ".jpg", prefix + "a.png", prefix + "b.JPG",
                                            prefix + "d.jpeg"});
  CHECK(*ListImages(prefix + "c.txt") == std::vector<std::string>{prefix + "c.txt"});
  CHECK(*ListImages("-") == std::vector<std::string>{"-"});
  CHECK(ListImages(prefix + "none").status().code() == ErrorCode::kIo);
}

}  // namespace
}  // namespace mpq
