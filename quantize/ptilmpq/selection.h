// Phase 1 of PTILMPQ: which channels of which layers get the high width.
//
// The file changes widths at blocks of 16 output channels, so a block is promoted as a whole, by
// the importance of all of its channels.
#ifndef MPQ_QUANTIZE_PTILMPQ_SELECTION_H_
#define MPQ_QUANTIZE_PTILMPQ_SELECTION_H_

#include <cstdint>
#include <span>
#include <vector>

#include "quantize/ptilmpq/options.h"

namespace mpq {

struct BlockImportance {
  uint32_t channels = 0;
  double importance = 0;     // what the high width saves of the layer's error, or its magnitude
  uint64_t extra_bytes = 0;  // that the high width takes
};

struct LayerImportance {
  // What the network's output loses with the whole layer at the low width.
  double sensitivity = 0;
  bool always_high = false;  // the first and the last layer
  std::vector<BlockImportance> blocks;
};

// Important layers are the smallest set whose sensitivities make up this share of the sum
// (methods.md A.3's T_layer; the paper's own choice is not known).
inline constexpr double kImportantShare = 0.9;

// Per layer and block: true for the high width.
//
// kFraction: in an important layer with C channels and sensitivity S, about
// alpha * C * min(1, S / median of S) channels, the most important blocks first.
// kLagrange: minimises alpha * loss / largest loss + (1 - alpha) * extra bytes / all extra bytes,
// where a block's loss is its share of its layer's sensitivity.
std::vector<std::vector<bool>> SelectHighBlocks(std::span<const LayerImportance> layers,
                                                double alpha, AlphaMode mode);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PTILMPQ_SELECTION_H_
