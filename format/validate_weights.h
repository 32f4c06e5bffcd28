// The rules of one layer's weights, part of Validate.
#ifndef MPQ_FORMAT_VALIDATE_WEIGHTS_H_
#define MPQ_FORMAT_VALIDATE_WEIGHTS_H_

#include "format/graph.h"
#include "mpq/status.h"

namespace mpq {

// Sizes of a layer that later arithmetic relies on, checked before a CodeLayout is made.
Status ValidateWeightsShape(const Weights& weights);

// The arrays of a convolution whose attributes and tensors have been validated: lengths, level
// sets, padding, requantisation words and the bound of the accumulators.
Status ValidateWeightsArrays(const Graph& graph, const Node& node);

}  // namespace mpq

#endif  // MPQ_FORMAT_VALIDATE_WEIGHTS_H_
