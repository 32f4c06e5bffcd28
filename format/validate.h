// The rules a model must keep, beyond the syntax of the file. The reader runs them on every file
// before anything else sees it, and the writer before it writes: engine and tools rely on them.
#ifndef MPQ_FORMAT_VALIDATE_H_
#define MPQ_FORMAT_VALIDATE_H_

#include "format/model_data.h"
#include "mpq/status.h"

namespace mpq {

// Indices in range, nodes in running order, one producer per tensor, shapes consistent with the
// attributes, level sets and requantisation words valid, stream lengths exact, accumulators bounded
// (kMaxAccumulator), Concat and MaxPool sharing scale and zero point, labels and preprocessing
// fitting the graph. The error names the node or tensor, the value and the rule.
Status Validate(const ModelData& model);

}  // namespace mpq

#endif  // MPQ_FORMAT_VALIDATE_H_
