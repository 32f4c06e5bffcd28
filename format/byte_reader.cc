#include "format/byte_reader.h"

#include <algorithm>
#include <bit>

#include "format/message.h"
#include "format/wire.h"

namespace mpq {

void ByteReader::Fail(ErrorCode code, const std::string& what) {
  if (!ok()) return;
  status_ = Error(code, "section '", section_, "', byte ", file_offset_ + pos_, ": ", what);
}

std::span<const uint8_t> ByteReader::Bytes(const char* what, uint64_t count) {
  if (!ok()) return {};
  if (count > left()) {
    Fail(ErrorCode::kCorrupt,
         Message(what, " takes ", count, " bytes, ", left(), " bytes are left"));
    return {};
  }
  const auto bytes = bytes_.subspan(pos_, static_cast<size_t>(count));
  pos_ += bytes.size();
  return bytes;
}

uint64_t ByteReader::Little(const char* what, size_t num_bytes) {
  const auto bytes = Bytes(what, num_bytes);
  uint64_t x = 0;
  for (size_t i = 0; i < bytes.size(); ++i) x |= uint64_t{bytes[i]} << (8 * i);
  return x;
}

float ByteReader::F32(const char* what) { return std::bit_cast<float>(U32(what)); }

uint32_t ByteReader::Varint(const char* what, uint32_t max) {
  uint64_t x = 0;
  for (int shift = 0;; shift += 7) {
    const uint8_t byte = U8(what);
    if (!ok()) return 0;
    x |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) {
      if (byte == 0 && shift > 0) {
        Fail(ErrorCode::kCorrupt, Message(what, " is not in its shortest form"));
        return 0;
      }
      break;
    }
    if (shift == 28) {
      Fail(ErrorCode::kCorrupt, Message(what, " takes more than 5 bytes"));
      return 0;
    }
  }
  if (x > max) {
    Fail(ErrorCode::kLimitExceeded, Message(what, " is ", x, ", more than ", max));
    return 0;
  }
  return static_cast<uint32_t>(x);
}

uint32_t ByteReader::Count(const char* what, uint32_t max, size_t bytes_each) {
  const uint32_t count = Varint(what, max);
  if (ok() && count > left() / bytes_each) {
    Fail(ErrorCode::kCorrupt,
         Message(what, " is ", count, ", but only ", left(), " bytes are left"));
    return 0;
  }
  return count;
}

std::string ByteReader::Text(const char* what, uint32_t max_bytes) {
  const auto bytes = Bytes(what, Varint(what, max_bytes));
  return std::string(bytes.begin(), bytes.end());
}

void ByteReader::Align(size_t alignment) {
  const auto padding = Bytes("padding", wire::AlignUp(pos_, alignment) - pos_);
  if (std::any_of(padding.begin(), padding.end(), [](uint8_t byte) { return byte != 0; })) {
    Fail(ErrorCode::kCorrupt, "padding is not zero");
  }
}

void ByteReader::End() {
  if (ok() && left() != 0) Fail(ErrorCode::kCorrupt, Message(left(), " bytes too many"));
}

}  // namespace mpq
