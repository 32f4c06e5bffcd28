// A whole file as read-only memory.
#ifndef MPQ_ENGINE_CORE_FILE_MAP_H_
#define MPQ_ENGINE_CORE_FILE_MAP_H_

#include <cstdint>
#include <span>
#include <string>

#include "mpq/status.h"

namespace mpq {

// Owns a mapping. Pages are shared with the page cache and with other processes.
class FileMap {
 public:
  static Result<FileMap> Open(const std::string& path);
  FileMap(FileMap&& other) noexcept : bytes_(other.bytes_) { other.bytes_ = {}; }
  FileMap& operator=(FileMap&& other) noexcept;
  ~FileMap();

  std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  explicit FileMap(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  std::span<const uint8_t> bytes_;
};

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_FILE_MAP_H_
