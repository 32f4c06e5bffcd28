// Addition and clipping by bare loops.
#ifndef MPQ_ENGINE_REF_ADD_H_
#define MPQ_ENGINE_REF_ADD_H_

#include "engine/core/step.h"

namespace mpq::ref {

extern const Kernel kAdd;
extern const Kernel kClip;  // the same with one operand

}  // namespace mpq::ref

#endif  // MPQ_ENGINE_REF_ADD_H_
