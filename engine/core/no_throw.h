// The API's edge: allocation failure becomes an error instead of an exception.
#ifndef MPQ_ENGINE_CORE_NO_THROW_H_
#define MPQ_ENGINE_CORE_NO_THROW_H_

#include <new>
#include <stdexcept>

#include "mpq/status.h"

namespace mpq {

// "what: out of memory", or less where there is not even memory for that.
inline Status OutOfMemory(const char* what) noexcept {
  try {
    return Status(ErrorCode::kOutOfMemory, std::string(what) + ": out of memory");
  } catch (...) {
    return Status(ErrorCode::kOutOfMemory, "out of memory");  // short enough not to be allocated
  }
}

// Returns f() (a Status or a Result), or kOutOfMemory if it runs out of memory. `what` names the
// work for the message.
template <typename F>
auto WithoutThrowing(const char* what, F f) -> decltype(f()) {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    return OutOfMemory(what);
  } catch (const std::length_error&) {  // a vector beyond max_size
    return OutOfMemory(what);
  }
}

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_NO_THROW_H_
