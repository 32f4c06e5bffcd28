#include "apps/image_container.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <optional>
#include <string_view>
#include <system_error>

#include "format/message.h"

namespace mpq {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr std::string_view kJpegMagic = "\xff\xd8\xff";
constexpr std::string_view kPngMagic = "\x89PNG\r\n\x1a\n";
constexpr std::string_view kExifMagic("Exif\0\0", 6);

bool StartsWith(Bytes bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

uint32_t LittleEndian(Bytes bytes, size_t offset, size_t count) {
  uint32_t value = 0;
  for (size_t i = count; i-- > 0;) value = value << 8 | bytes[offset + i];
  return value;
}

uint32_t BigEndian(Bytes bytes, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | bytes[i];
  return value;
}

// A TIFF structure, as EXIF data is one: 2 or 4 bytes in the byte order its head announces.
class Tiff {
 public:
  explicit Tiff(Bytes bytes) : bytes_(bytes), little_(StartsWith(bytes, "II*")) {}

  bool valid() const { return little_ || StartsWith(bytes_, std::string_view("MM\0*", 4)); }
  std::optional<uint32_t> Read(size_t offset, size_t count) const {
    if (offset > bytes_.size() || count > bytes_.size() - offset) return std::nullopt;
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      value = value << 8 | bytes_[offset + (little_ ? count - 1 - i : i)];
    }
    return value;
  }

 private:
  Bytes bytes_;
  bool little_;
};

// The orientation tag of the first image file directory (TIFF 6.0, section 2; tag 274).
int TiffOrientation(Bytes bytes) {
  const Tiff tiff(bytes);
  const auto directory = tiff.valid() ? tiff.Read(4, 4) : std::nullopt;
  const auto entries = directory ? tiff.Read(*directory, 2) : std::nullopt;
  for (uint32_t i = 0; entries && i < *entries; ++i) {
    const size_t entry = size_t{*directory} + 2 + size_t{i} * 12;
    const auto tag = tiff.Read(entry, 2);
    if (!tag) return 1;
    if (*tag != 274) continue;
    const uint32_t value = tiff.Read(entry + 8, 2).value_or(1);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

// Markers of JPEG (ITU T.81, table B.1).
constexpr uint8_t kDefineHuffmanTables = 0xc4, kRestart0 = 0xd0, kRestart7 = 0xd7;
constexpr uint8_t kStartOfImage = 0xd8, kEndOfImage = 0xd9, kStartOfScan = 0xda, kApp1 = 0xe1;

// The offset behind the next marker at or after `at`, or the file's size. Inside a scan, 0xff
// before 0 is a pixel's byte, and restart markers belong to the picture.
size_t SkipToMarker(Bytes file, size_t at, bool in_scan) {
  for (; at + 1 < file.size(); ++at) {
    if (file[at] != 0xff || file[at + 1] == 0xff) continue;
    const uint8_t marker = file[at + 1];
    if (in_scan && (marker == 0 || (marker >= kRestart0 && marker <= kRestart7))) continue;
    return at + 2;
  }
  return file.size();
}

// Calls f(marker, payload) for every segment until it returns true (stop) or the image ends.
// Returns whether one of these happened before the file ended.
template <typename F>
bool WalkJpeg(Bytes file, F f) {
  bool in_scan = false;
  for (size_t at = SkipToMarker(file, 0, false); at < file.size();
       at = SkipToMarker(file, at, in_scan)) {
    const uint8_t marker = file[at - 1];
    if (marker == kStartOfImage) continue;
    if (marker == kEndOfImage) return true;
    if (file.size() - at < 2) return false;
    const size_t length = BigEndian(file.subspan(at), 2);
    if (length < 2 || length > file.size() - at) return false;
    if (f(marker, file.subspan(at + 2, length - 2))) return true;
    at += length;
    in_scan = marker == kStartOfScan;
  }
  // An end marker may be the last thing in the file.
  return file.size() >= 2 && file[file.size() - 2] == 0xff && file.back() == kEndOfImage;
}

// Calls f(type, chunk data, crc) for all whole chunks until it returns true. Returns whether it
// did.
template <typename F>
bool WalkPng(Bytes file, F f) {
  size_t at = kPngMagic.size();
  while (file.size() - at >= 12) {
    const size_t length = BigEndian(file.subspan(at), 4);
    if (length > file.size() - at - 12) return false;
    const Bytes type_and_data = file.subspan(at + 4, length + 4);
    if (f(type_and_data, BigEndian(file.subspan(at + 8 + length), 4))) return true;
    at += 12 + length;
  }
  return false;
}

// CRC-32 by "slicing": tables[k][x] is the checksum of byte x followed by k zeros, so four bytes
// take independent look-ups (Kounavis and Berry, "Novel Table Lookup-Based Algorithms for
// High-Performance CRC Generation", 2008). Byte by byte, a PNG's check took 0.7 ms.
using CrcTables = std::array<std::array<uint32_t, 256>, 4>;

CrcTables MakeCrcTables() {
  CrcTables tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    tables[0][i] = crc;
  }
  for (size_t k = 1; k < tables.size(); ++k) {
    for (uint32_t i = 0; i < 256; ++i) {
      const uint32_t shorter = tables[k - 1][i];
      tables[k][i] = tables[0][shorter & 0xff] ^ shorter >> 8;
    }
  }
  return tables;
}

uint32_t PngCrc(Bytes bytes) {
  static const CrcTables tables = MakeCrcTables();
  uint32_t crc = ~0u;
  for (; bytes.size() >= 4; bytes = bytes.subspan(4)) {
    crc ^= LittleEndian(bytes, 0, 4);
    crc = tables[3][crc & 0xff] ^ tables[2][crc >> 8 & 0xff] ^ tables[1][crc >> 16 & 0xff] ^
          tables[0][crc >> 24];
  }
  for (const uint8_t byte : bytes) crc = tables[0][(crc ^ byte) & 0xff] ^ crc >> 8;
  return ~crc;
}

Status CheckPng(Bytes file) {
  Status status;
  const bool ended = WalkPng(file, [&](Bytes chunk, uint32_t crc) {
    if (PngCrc(chunk) != crc) {
      status = Error(ErrorCode::kCorrupt, "PNG chunk ",
                     std::string_view(reinterpret_cast<const char*>(chunk.data()), 4),
                     ": wrong checksum");
    }
    return !status.ok() || StartsWith(chunk, "IEND");
  });
  if (!ended) return Error(ErrorCode::kTruncated, "PNG ends early");
  return status;
}

// Each table of a Huffman segment is a byte, 16 counts of codes, and one byte a code: 256 at most.
// Older versions of stb_image do not check that and write beyond their arrays.
bool HuffmanTablesFit(Bytes payload) {
  constexpr size_t kHead = 17, kMaxCodes = 256;
  while (!payload.empty()) {
    if (payload.size() < kHead) return false;
    const Bytes counts = payload.subspan(1, kHead - 1);
    const size_t codes = std::accumulate(counts.begin(), counts.end(), size_t{0});
    if (codes > kMaxCodes || codes > payload.size() - kHead) return false;
    payload = payload.subspan(kHead + codes);
  }
  return true;
}

Status CheckJpeg(Bytes file) {
  Status status;
  const bool ended = WalkJpeg(file, [&](uint8_t marker, Bytes payload) {
    if (marker == kDefineHuffmanTables && !HuffmanTablesFit(payload)) {
      status = Error(ErrorCode::kCorrupt, "JPEG with a bad Huffman table");
    }
    return !status.ok();
  });
  if (!ended) return Error(ErrorCode::kTruncated, "JPEG ends early");
  return status;
}

// All rows are there. Only headers that stb_image reads get here, and it reads no compressed ones.
Status CheckBmp(Bytes file) {
  constexpr size_t kCoreHeader = 12, kHeadersEnd = 30;
  if (file.size() < kHeadersEnd) return Error(ErrorCode::kTruncated, "BMP ends early");
  const bool core = LittleEndian(file, 14, 4) == kCoreHeader;
  const uint64_t width = LittleEndian(file, 18, core ? 2 : 4);
  const int32_t signed_height =
      static_cast<int32_t>(LittleEndian(file, core ? 20 : 22, core ? 2 : 4));
  const uint64_t height = static_cast<uint64_t>(std::abs(int64_t{signed_height}));
  const uint64_t row = (width * LittleEndian(file, core ? 24 : 28, 2) + 31) / 32 * 4;
  const uint64_t rows = file.size() - std::min<uint64_t>(LittleEndian(file, 10, 4), file.size());
  if (row != 0 && rows / row < height) return Error(ErrorCode::kTruncated, "BMP ends early");
  return Status();
}

// The next number of a PNM header, behind white space and comments; `at` moves behind it.
std::optional<uint64_t> PnmNumber(Bytes file, size_t& at) {
  const auto is_space = [](uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (at < file.size() && (is_space(file[at]) || file[at] == '#')) {
    if (file[at] == '#') {
      while (at < file.size() && file[at] != '\n' && file[at] != '\r') ++at;
    } else {
      ++at;
    }
  }
  const auto* begin = reinterpret_cast<const char*>(file.data()) + at;
  const auto* end = reinterpret_cast<const char*>(file.data()) + file.size();
  uint64_t number = 0;
  const auto [rest, error] = std::from_chars(begin, end, number);
  if (error != std::errc() || number > UINT32_MAX) return std::nullopt;
  at += static_cast<size_t>(rest - begin);
  return number;
}

Status CheckPnm(Bytes file) {
  size_t at = 2;
  const auto width = PnmNumber(file, at), height = PnmNumber(file, at);
  const auto largest = PnmNumber(file, at);
  if (!width || !height || !largest) return Error(ErrorCode::kCorrupt, "PNM header is broken");
  const uint64_t sample_bytes = uint64_t{file[1] == '6' ? 3u : 1u} * (*largest > 255 ? 2 : 1);
  const uint64_t pixels = *width * *height;  // both below 2^32
  const uint64_t left = file.size() - std::min(at + 1, file.size());
  if (left / sample_bytes < pixels) return Error(ErrorCode::kTruncated, "PNM ends early");
  return Status();
}

}  // namespace

int ExifOrientation(Bytes file) {
  int orientation = 1;
  if (StartsWith(file, kJpegMagic)) {
    WalkJpeg(file, [&](uint8_t marker, Bytes payload) {
      if (marker != kApp1 || !StartsWith(payload, kExifMagic)) return false;
      orientation = TiffOrientation(payload.subspan(kExifMagic.size()));
      return true;
    });
  } else if (StartsWith(file, kPngMagic)) {
    WalkPng(file, [&](Bytes chunk, uint32_t) {
      if (!StartsWith(chunk, "eXIf")) return false;
      orientation = TiffOrientation(chunk.subspan(4));
      return true;
    });
  }
  return orientation;
}

Status CheckContainer(Bytes file) {
  if (StartsWith(file, kJpegMagic)) return CheckJpeg(file);
  if (StartsWith(file, kPngMagic)) return CheckPng(file);
  if (StartsWith(file, "BM")) return CheckBmp(file);
  if (StartsWith(file, "P5") || StartsWith(file, "P6")) return CheckPnm(file);
  return Status();
}

}  // namespace mpq
