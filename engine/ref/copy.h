// Operators that only move codes.
#ifndef MPQ_ENGINE_REF_COPY_H_
#define MPQ_ENGINE_REF_COPY_H_

#include "engine/core/step.h"

namespace mpq::ref {

// For Concats whose producers cannot write into slices of the output themselves.
extern const Kernel kConcat;
extern const Kernel kSlicePad;

}  // namespace mpq::ref

#endif  // MPQ_ENGINE_REF_COPY_H_
