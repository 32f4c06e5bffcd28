// The exceptions of oneDNN end here.
#ifndef MPQ_ENGINE_ONEDNN_DNNL_ERRORS_H_
#define MPQ_ENGINE_ONEDNN_DNNL_ERRORS_H_

#include <oneapi/dnnl/dnnl.hpp>

#include "engine/core/no_throw.h"
#include "format/message.h"

namespace mpq::onednn {

// Returns f() (a Status or a Result), or an error if it throws. `what` names the work.
template <typename F>
auto CatchDnnlErrors(const char* what, F f) -> decltype(f()) {
  return WithoutThrowing(what, [&]() -> decltype(f()) {
    try {
      return f();
    } catch (const dnnl::error& error) {
      const bool memory_is_short = error.status == dnnl_out_of_memory;
      return Error(memory_is_short ? ErrorCode::kOutOfMemory : ErrorCode::kUnsupported, what,
                   ": oneDNN: ", error.what());
    }
  });
}

}  // namespace mpq::onednn

#endif  // MPQ_ENGINE_ONEDNN_DNNL_ERRORS_H_
