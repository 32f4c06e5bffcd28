// What libmpq_onednn.so exports.
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>

#include "engine/core/float_module.h"
#include "engine/onednn/differentiable_convolution.h"
#include "engine/onednn/executor.h"
#include "format/message.h"

namespace mpq::onednn {

namespace {

std::string Description() {
  const dnnl_version_t* version = dnnl_version();
  return Message("onednn ", version->major, ".", version->minor, ".", version->patch);
}

// VNNI, BF16 and AMX do not matter to float kernels: these are the steps that do.
struct FloatIsa {
  Isa isa;
  dnnl::cpu_isa dnnl_isa;
};
constexpr FloatIsa kFloatIsas[] = {{Isa::kAvx512, dnnl::cpu_isa::avx512_core},
                                   {Isa::kAvx2, dnnl::cpu_isa::avx2},
                                   {Isa::kSse4, dnnl::cpu_isa::sse41}};

Isa EffectiveIsa() {
  const auto effective = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  for (const FloatIsa& known : kFloatIsas) {
    const auto bits = static_cast<unsigned>(known.dnnl_isa);  // a superset has all bits
    if (effective != 0 && (effective & bits) == bits) return known.isa;
  }
  return effective == 0 && IsaIncludes(SupportedIsas().back(), Isa::kNeon) ? Isa::kNeon
                                                                           : Isa::kScalar;
}

Status LimitIsa(Isa isa) {
  if (IsaIncludes(isa, Isa::kNeon)) return Status();  // all that oneDNN has on Arm
  for (const FloatIsa& known : kFloatIsas) {
    if (!IsaIncludes(isa, known.isa)) continue;
    const dnnl::status status = dnnl::set_max_cpu_isa(known.dnnl_isa);
    if (status == dnnl::status::success || EffectiveIsa() == known.isa) return Status();
    return Error(ErrorCode::kInvalidArgument, "float ISA '", IsaName(isa),
                 "': oneDNN already uses '", IsaName(EffectiveIsa()), "' in this process");
  }
  return Error(ErrorCode::kUnsupported, "float ISA '", IsaName(isa), "': oneDNN has none such");
}

constexpr FloatModule kModule = {MPQ_VERSION, MakeExecutor, MakeConvolution,
                                 Description, LimitIsa,     EffectiveIsa};

}  // namespace

}  // namespace mpq::onednn

extern "C" __attribute__((visibility("default"))) const mpq::FloatModule* MpqFloatModule() {
  return &mpq::onednn::kModule;
}
