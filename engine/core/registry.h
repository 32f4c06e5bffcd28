// The ordered list of kernels: which one runs a step, and why the better ones do not.
#ifndef MPQ_ENGINE_CORE_REGISTRY_H_
#define MPQ_ENGINE_CORE_REGISTRY_H_

#include <span>

#include "engine/core/isa.h"
#include "engine/core/step.h"

namespace mpq {

// All kernels of this build for one kind of operator, best first, the reference last. Kernels of
// other instruction-set families are not compiled in.
std::span<const Kernel* const> KernelsFor(OpKind kind);

// Sets step.kernel to the first kernel that `isa` includes and that does not refuse, and
// step.refusals to the reasons of the others before it. Always succeeds: the reference never
// refuses.
void ChooseKernel(Step& step, Isa isa);

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_REGISTRY_H_
