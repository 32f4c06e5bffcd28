// XXH3-64 with seed 0 (https://github.com/Cyan4973/xxHash), the checksum of .mpq sections.
#ifndef MPQ_FORMAT_CHECKSUM_H_
#define MPQ_FORMAT_CHECKSUM_H_

#include <cstdint>
#include <span>

namespace mpq {

uint64_t Checksum(std::span<const uint8_t> bytes);

}  // namespace mpq

#endif  // MPQ_FORMAT_CHECKSUM_H_
