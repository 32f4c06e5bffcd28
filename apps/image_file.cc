#include "apps/image_file.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "apps/image_container.h"
#include "apps/stb_image.h"
#include "engine/core/file_map.h"
#include "format/message.h"
#include "format/system_error.h"

namespace mpq {
namespace {

using FilePointer = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

Result<std::vector<uint8_t>> ReadAll(std::FILE* file, const std::string& path) {
  std::vector<uint8_t> bytes;
  struct stat info;
  const bool regular = fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode);
  const uint64_t expected = regular ? static_cast<uint64_t>(info.st_size) : 0;
  if (expected <= kMaxImageFileBytes) bytes.reserve(expected);
  std::array<uint8_t, 16384> piece;
  while (bytes.size() <= kMaxImageFileBytes) {
    const size_t got = std::fread(piece.data(), 1, piece.size(), file);
    bytes.insert(bytes.end(), piece.begin(), piece.begin() + got);
    if (got < piece.size()) break;
  }
  if (std::ferror(file)) return SystemError(path);
  if (bytes.size() > kMaxImageFileBytes) {
    return Error(ErrorCode::kLimitExceeded, path, ": more than ", kMaxImageFileBytes,
                 " bytes, the limit for images");
  }
  return bytes;
}

// What cannot be mapped: pipes and other devices.
Result<std::vector<uint8_t>> ReadStream(const std::string& path) {
  if (path == "-") return ReadAll(stdin, "standard input");
  const FilePointer file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) return SystemError(path);
  return ReadAll(file.get(), path);
}

bool IsRegularFile(const std::string& path) {
  struct stat info;
  return path != "-" && stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

// Where pixel (y, x) of the upright image lies in the stored one, for orientations 1..8
// (EXIF 2.3, 4.6.4 A): 5..8 swap the axes, and then rows or columns run backwards.
DecodedImage Upright(DecodedImage stored, int orientation) {
  if (orientation == 1) return stored;
  const bool swap = orientation >= 5;
  const bool flip_rows = orientation == 3 || orientation == 4 || orientation == 7 ||
                         orientation == 8;  // of the upright image
  const bool flip_columns =
      orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  DecodedImage upright;
  upright.height = swap ? stored.width : stored.height;
  upright.width = swap ? stored.height : stored.width;
  const size_t bytes = size_t{stored.height} * stored.width * 3;
  upright.rgb.reset(static_cast<uint8_t*>(std::malloc(bytes)));
  if (upright.rgb == nullptr) return upright;
  uint8_t* out = upright.rgb.get();
  for (uint32_t y = 0; y < upright.height; ++y) {
    const size_t row = flip_rows ? upright.height - 1 - y : y;
    for (uint32_t x = 0; x < upright.width; ++x, out += 3) {
      const size_t column = flip_columns ? upright.width - 1 - x : x;
      const size_t pixel = swap ? column * stored.width + row : row * stored.width + column;
      std::memcpy(out, stored.rgb.get() + pixel * 3, 3);
    }
  }
  return upright;
}

Status DecoderError() { return Error(ErrorCode::kCorrupt, "no image: ", stbi_failure_reason()); }

bool IsFolder(const struct stat& info) { return S_ISDIR(info.st_mode); }

}  // namespace

Result<DecodedImage> DecodeImage(std::span<const uint8_t> file, Orientation orientation) {
  if (file.empty()) return Error(ErrorCode::kTruncated, "the file is empty");
  if (file.size() > kMaxImageFileBytes) {
    return Error(ErrorCode::kLimitExceeded, file.size(), " bytes, the limit for images is ",
                 kMaxImageFileBytes);
  }
  MPQ_RETURN_IF_ERROR(CheckContainer(file));  // before stb_image sees anything
  const int size = static_cast<int>(file.size());
  int width = 0, height = 0, channels = 0;
  if (stbi_info_from_memory(file.data(), size, &width, &height, &channels) == 0) {
    return DecoderError();
  }
  if (uint64_t(width) * uint64_t(height) > kMaxImagePixels) {
    return Error(ErrorCode::kLimitExceeded, "image of ", height, "x", width, ", the limit is ",
                 kMaxImagePixels, " pixels");
  }
  DecodedImage image;
  image.rgb.reset(stbi_load_from_memory(file.data(), size, &width, &height, &channels, 3));
  if (image.rgb == nullptr) return DecoderError();
  image.height = static_cast<uint32_t>(height);
  image.width = static_cast<uint32_t>(width);
  if (orientation == Orientation::kIgnore) return image;
  DecodedImage upright = Upright(std::move(image), ExifOrientation(file));
  if (upright.rgb == nullptr) return Error(ErrorCode::kOutOfMemory, "out of memory");
  return upright;
}

Result<DecodedImage> ReadImageFile(const std::string& path, Orientation orientation) {
  std::optional<FileMap> map;  // no private memory
  std::vector<uint8_t> read;
  if (IsRegularFile(path)) {
    MPQ_ASSIGN_OR_RETURN(map, FileMap::Open(path));
  } else {
    MPQ_ASSIGN_OR_RETURN(read, ReadStream(path));
  }
  Result<DecodedImage> image = DecodeImage(map ? map->bytes() : read, orientation);
  if (!image.ok()) return image.status().WithContext(path == "-" ? "standard input" : path);
  return image;
}

bool IsImageName(const std::string& name) {
  static constexpr std::string_view kEndings[] = {".jpg", ".jpeg", ".png", ".bmp",
                                                  ".ppm", ".pgm",  ".pnm"};
  std::string lower = name;
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return std::any_of(std::begin(kEndings), std::end(kEndings),
                     [&](std::string_view ending) { return lower.ends_with(ending); });
}

Result<std::vector<std::string>> ListImages(const std::string& path) {
  struct stat info;
  if (path == "-") return std::vector{path};
  if (stat(path.c_str(), &info) != 0) return SystemError(path);
  if (!IsFolder(info)) return std::vector{path};
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), &closedir);
  if (folder == nullptr) return SystemError(path);
  std::vector<std::string> images;
  while (const dirent* entry = readdir(folder.get())) {
    if (IsImageName(entry->d_name)) images.push_back(path + "/" + entry->d_name);
  }
  if (images.empty()) return Error(ErrorCode::kIo, path, ": no images in this folder");
  std::sort(images.begin(), images.end());
  return images;
}

}  // namespace mpq
