#include "engine/core/float_executor.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <string_view>

#include "engine/core/float_module.h"
#include "engine/core/no_throw.h"
#include "format/message.h"

namespace mpq {

namespace {

// The module of this process, opened when first asked for.
class Backend {
 public:
  static Backend& Get() {
    static Backend backend;
    return backend;
  }

  // Null: the reference.
  const FloatModule* module() const { return force_reference_ ? nullptr : module_; }
  // Why there is no module.
  std::string reason() const { return force_reference_ ? "asked for" : reason_; }
  void ForceReference() { force_reference_ = true; }

 private:
  Backend() {
    const Result<const FloatModule*> module = OpenFloatModule();
    if (module.ok()) {
      module_ = *module;
    } else {
      reason_ = module.status().message();
    }
  }

  const FloatModule* module_ = nullptr;
  std::string reason_;
  std::atomic<bool> force_reference_{false};
};

}  // namespace

Result<std::unique_ptr<FloatExecutor>> MakeFloatExecutor(const Graph& graph,
                                                         const FloatExecutorOptions& options) {
  return WithoutThrowing("float executor", [&] {
    const FloatModule* module = Backend::Get().module();
    return module != nullptr ? module->make_executor(graph, options)
                             : MakeRefFloatExecutor(graph, options);
  });
}

Result<std::unique_ptr<DifferentiableConvolution>> MakeDifferentiableConvolution(
    const ConvolutionShape& shape) {
  const Backend& backend = Backend::Get();
  if (backend.module() == nullptr) {
    return Error(ErrorCode::kUnsupported, "gradients need oneDNN (", backend.reason(), ")");
  }
  return WithoutThrowing("differentiable convolution",
                         [&] { return backend.module()->make_convolution(shape); });
}

std::string FloatBackendDescription() {
  const Backend& backend = Backend::Get();
  return backend.module() != nullptr ? backend.module()->description() : "ref: " + backend.reason();
}

Status SetFloatIsa(std::string_view name) {
  MPQ_ASSIGN_OR_RETURN(const Isa isa, ParseIsa(name));
  const std::vector<Isa>& supported = SupportedIsas();
  if (std::find(supported.begin(), supported.end(), isa) == supported.end()) {
    return Error(ErrorCode::kUnsupported, "float ISA '", name, "': not on this CPU");
  }
  Backend& backend = Backend::Get();
  if (isa == Isa::kScalar) {
    backend.ForceReference();
    return Status();
  }
  if (backend.module() == nullptr) {
    return Error(ErrorCode::kUnsupported, "float ISA '", name, "': only scalar without oneDNN (",
                 backend.reason(), ")");
  }
  return backend.module()->limit_isa(isa);
}

std::string FloatIsaName() {
  const FloatModule* module = Backend::Get().module();
  return std::string(IsaName(module != nullptr ? module->isa() : Isa::kScalar));
}

}  // namespace mpq
