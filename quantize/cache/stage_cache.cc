#include "quantize/cache/stage_cache.h"

#include <filesystem>
#include <fstream>

#include "format/atomic_file.h"
#include "format/byte_writer.h"
#include "format/checksum.h"
#include "format/message.h"

namespace mpq {

namespace {

namespace fs = std::filesystem;

constexpr size_t kChecksumBytes = 8;

uint64_t LittleEndian(std::span<const uint8_t> bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | bytes[i];
  return value;
}

}  // namespace

std::string StageCache::Path(std::string_view stage, uint64_t fingerprint) const {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string name(stage);
  name += '-';
  for (int shift = 60; shift >= 0; shift -= 4) name += kDigits[fingerprint >> shift & 15];
  return (fs::path(folder_) / (name + ".cache")).string();
}

Result<std::optional<std::vector<uint8_t>>> StageCache::Load(std::string_view stage,
                                                             uint64_t fingerprint) const {
  using Found = std::optional<std::vector<uint8_t>>;
  if (!enabled()) return Found();
  const std::string path = Path(stage, fingerprint);
  std::error_code error;
  if (!fs::exists(path, error)) return Found();
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  std::vector<uint8_t> bytes(file ? static_cast<size_t>(file.tellg()) : 0);
  file.seekg(0);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!file) return Error(ErrorCode::kIo, path, ": cannot be read");
  if (bytes.size() < kChecksumBytes) return Error(ErrorCode::kCorrupt, path, ": too short");
  const size_t size = bytes.size() - kChecksumBytes;
  const uint64_t expected = LittleEndian(std::span(bytes).subspan(size));
  bytes.resize(size);
  if (Checksum(bytes) != expected) {
    return Error(ErrorCode::kCorrupt, path, ": damaged; without the file its stage is run again");
  }
  return Found(std::move(bytes));
}

Status StageCache::Save(std::string_view stage, uint64_t fingerprint,
                        std::span<const uint8_t> bytes) const {
  if (!enabled()) return Status();
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return Error(ErrorCode::kIo, folder_, ": cannot be made: ", error.message());
  ByteWriter writer;
  writer.Reserve(bytes.size() + kChecksumBytes);
  writer.Bytes(bytes);
  writer.U64(Checksum(bytes));
  return WriteFileAtomically(Path(stage, fingerprint), writer.span());
}

}  // namespace mpq
