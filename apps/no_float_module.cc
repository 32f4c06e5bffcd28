// In place of engine/core/float_module.cc in statically linked programs: a module would bring a
// second C library with a heap of its own.
#include "engine/core/float_module.h"
#include "format/message.h"

namespace mpq {

Result<const FloatModule*> OpenFloatModule() {
  return Error(ErrorCode::kUnsupported, "a statically linked program opens no modules");
}

}  // namespace mpq
