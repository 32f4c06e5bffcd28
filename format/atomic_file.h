// Replacing a file so that a crash leaves either the old contents or the new.
#ifndef MPQ_FORMAT_ATOMIC_FILE_H_
#define MPQ_FORMAT_ATOMIC_FILE_H_

#include <cstdint>
#include <span>
#include <string>

#include "mpq/status.h"

namespace mpq {

// Writes a temporary file beside `path`, fsync, rename, fsync of the folder. On failure the
// temporary file is removed and `path` is what it was.
Status WriteFileAtomically(const std::string& path, std::span<const uint8_t> bytes);

}  // namespace mpq

#endif  // MPQ_FORMAT_ATOMIC_FILE_H_
