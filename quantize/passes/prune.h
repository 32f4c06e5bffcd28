// Removes what the result does not depend on.
#ifndef MPQ_QUANTIZE_PASSES_PRUNE_H_
#define MPQ_QUANTIZE_PASSES_PRUNE_H_

#include "format/graph.h"

namespace mpq {

// Drops nodes that the graph's output does not need, then tensors and weights that no node uses,
// and renumbers the rest in running order: input first, then each node's output; weights in the
// order of their nodes. Weights that two nodes share are given to each, so that later steps may
// treat them apart.
void Prune(Graph& graph);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PASSES_PRUNE_H_
