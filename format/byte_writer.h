// Appends the primitive types of the .mpq file, little endian, to a vector of bytes.
#ifndef MPQ_FORMAT_BYTE_WRITER_H_
#define MPQ_FORMAT_BYTE_WRITER_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "format/wire.h"

namespace mpq {

class ByteWriter {
 public:
  size_t size() const { return bytes_.size(); }
  std::vector<uint8_t> Take() { return std::move(bytes_); }
  std::span<const uint8_t> span() const { return bytes_; }
  void Reserve(size_t num_bytes) { bytes_.reserve(num_bytes); }

  void U8(uint8_t x) { bytes_.push_back(x); }
  void U32(uint32_t x) { Little(x, 4); }
  void U64(uint64_t x) { Little(x, 8); }
  void S32(int32_t x) { U32(static_cast<uint32_t>(x)); }
  void F32(float x) { U32(std::bit_cast<uint32_t>(x)); }

  // Unsigned LEB128: 7 bits a byte, lowest first, high bit set on all but the last byte.
  void Varint(uint32_t x) {
    for (; x >= 0x80; x >>= 7) U8(static_cast<uint8_t>(x | 0x80));
    U8(static_cast<uint8_t>(x));
  }

  void Text(std::string_view text) {
    Varint(static_cast<uint32_t>(text.size()));
    bytes_.insert(bytes_.end(), text.begin(), text.end());
  }

  template <typename Byte>
  void Bytes(std::span<const Byte> bytes) {
    static_assert(sizeof(Byte) == 1);
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  // Zeros up to the next multiple of `alignment`.
  void Align(size_t alignment) { bytes_.resize(wire::AlignUp(size(), alignment)); }
  void Zeros(size_t count) { bytes_.resize(size() + count); }

 private:
  void Little(uint64_t x, int num_bytes) {
    for (int i = 0; i < num_bytes; ++i) U8(static_cast<uint8_t>(x >> (8 * i)));
  }

  std::vector<uint8_t> bytes_;
};

}  // namespace mpq

#endif  // MPQ_FORMAT_BYTE_WRITER_H_
