// Reads the primitive types of the .mpq file from one section and never beyond it. The first error
// sticks: from then on every read returns zero, so loops end, and the caller asks once a record.
#ifndef MPQ_FORMAT_BYTE_READER_H_
#define MPQ_FORMAT_BYTE_READER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "mpq/status.h"

namespace mpq {

class ByteReader {
 public:
  // `section` and `file_offset` are for messages.
  ByteReader(std::span<const uint8_t> bytes, const char* section, uint64_t file_offset)
      : bytes_(bytes), section_(section), file_offset_(file_offset) {}

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  size_t left() const { return bytes_.size() - pos_; }
  // An error at the current position, unless there was one before.
  void Fail(ErrorCode code, const std::string& what);

  uint8_t U8(const char* what) { return static_cast<uint8_t>(Little(what, 1)); }
  uint32_t U32(const char* what) { return static_cast<uint32_t>(Little(what, 4)); }
  int32_t S32(const char* what) { return static_cast<int32_t>(U32(what)); }
  float F32(const char* what);
  // Unsigned LEB128 in its shortest form, up to `max`.
  uint32_t Varint(const char* what, uint32_t max = 0xffffffffu);
  // The number of records that follow, each of which takes at least `bytes_each`.
  uint32_t Count(const char* what, uint32_t max, size_t bytes_each);
  std::string Text(const char* what, uint32_t max_bytes);
  // The next `count` bytes in place; empty on error.
  std::span<const uint8_t> Bytes(const char* what, uint64_t count);
  // Steps over zeros to the next multiple of `alignment` in the section.
  void Align(size_t alignment);
  // The section's end is here.
  void End();

 private:
  uint64_t Little(const char* what, size_t num_bytes);

  std::span<const uint8_t> bytes_;
  const char* section_;
  uint64_t file_offset_;
  size_t pos_ = 0;
  Status status_;
};

}  // namespace mpq

#endif  // MPQ_FORMAT_BYTE_READER_H_
