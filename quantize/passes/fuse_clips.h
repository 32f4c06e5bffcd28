// Moves activations (ReLU, ReLU6: kClip nodes) into the node that computes their operand.
#ifndef MPQ_QUANTIZE_PASSES_FUSE_CLIPS_H_
#define MPQ_QUANTIZE_PASSES_FUSE_CLIPS_H_

#include <cstdint>

#include "format/graph.h"

namespace mpq {

// Keeps the function of the float graph. A kClip is fused into the convolution, addition or
// averaging that alone feeds it; one after a MaxPool moves in front of it, where clamping commutes
// with the maximum. Returns how many nodes were fused away.
uint32_t FuseClips(Graph& graph);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PASSES_FUSE_CLIPS_H_
