// What a float backend in a shared object of its own exports: one C function that returns this
// table. Host and module come from one build (the table carries C++ types), so the version must be
// equal.
#ifndef MPQ_ENGINE_CORE_FLOAT_MODULE_H_
#define MPQ_ENGINE_CORE_FLOAT_MODULE_H_

#include <memory>
#include <string>

#include "engine/core/differentiable_convolution.h"
#include "engine/core/float_executor.h"
#include "engine/core/isa.h"

namespace mpq {

struct FloatModule {
  const char* mpq_version;  // MPQ_VERSION the module was built with
  Result<std::unique_ptr<FloatExecutor>> (*make_executor)(const Graph& graph,
                                                          const FloatExecutorOptions& options);
  Result<std::unique_ptr<DifferentiableConvolution>> (*make_convolution)(
      const ConvolutionShape& shape);
  std::string (*description)();  // "onednn 2.6.3"
  // Forbids what `isa` does not include. Only before the first executor.
  Status (*limit_isa)(Isa isa);
  // What float arithmetic uses. Ends the time in which limit_isa works.
  Isa (*isa)();
};

inline constexpr char kFloatModuleFile[] = "libmpq_onednn.so";
inline constexpr char kFloatModuleSymbol[] = "MpqFloatModule";
using FloatModuleFunction = const FloatModule*();

// Looks for the module and opens it. The only code that needs dlopen: a program that is linked
// statically puts an OpenFloatModule of its own in its place.
Result<const FloatModule*> OpenFloatModule();

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_FLOAT_MODULE_H_
