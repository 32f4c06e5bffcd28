// What the operating system said about a file, as an error.
#ifndef MPQ_FORMAT_SYSTEM_ERROR_H_
#define MPQ_FORMAT_SYSTEM_ERROR_H_

#include <cerrno>
#include <cstring>
#include <string>

#include "format/message.h"

namespace mpq {

// "path: what: No such file or directory", of errno; `what` may be left out.
inline Status SystemError(const std::string& path, const char* what = nullptr) {
  const char* cause = std::strerror(errno);
  return what == nullptr ? Error(ErrorCode::kIo, path, ": ", cause)
                         : Error(ErrorCode::kIo, path, ": ", what, ": ", cause);
}

}  // namespace mpq

#endif  // MPQ_FORMAT_SYSTEM_ERROR_H_
