// The API's edge: allocation failure becomes an error instead of an exception.
#ifndef MPQ_ENGINE_CORE_NO_THROW_H_
#define MPQ_ENGINE_CORE_NO_THROW_H_

#include <new>
#include <stdexcept>

#include "mpq/status.h"

namespace mpq {

// Returns f() (a Status or a Result), or kOutOfMemory if it runs out of memory. `what` names the
// work for the message.
template <typename F>
auto WithoutThrowing(const char* what, F f) -> decltype(f()) {
  try {
    return f();
  } catch (const std::bad_alloc&) {
    return Status(ErrorCode::kOutOfMemory, std::string(what) + ": out of memory");
  } catch (const std::length_error&) {  // a vector beyond max_size
    return Status(ErrorCode::kOutOfMemory, std::string(what) + ": out of memory");
  }
}

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_NO_THROW_H_
