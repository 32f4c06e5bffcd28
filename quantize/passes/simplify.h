// The graph passes in their order: what the importer gives becomes what the quantiser works on.
#ifndef MPQ_QUANTIZE_PASSES_SIMPLIFY_H_
#define MPQ_QUANTIZE_PASSES_SIMPLIFY_H_

#include <cstdint>

#include "format/graph.h"

namespace mpq {

struct SimplifyCounts {
  uint32_t affine_folded = 0;
  uint32_t clips_fused = 0;
};

// Prunes, folds batch norms and fuses activations. Keeps the function of the float graph. A float
// model may be written as it is after this; quantising also wants EndWithConv.
SimplifyCounts Simplify(Graph& graph);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PASSES_SIMPLIFY_H_
