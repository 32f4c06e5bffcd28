#include "engine/kernels/tile_levels.h"

#include <algorithm>

#include "format/code_layout.h"

namespace mpq {

TileLevels MakeTileLevels(const Weights& weights, uint32_t block) {
  TileLevels levels = {};
  levels.bits = weights.block_bits[block];
  levels.uniform = weights.level_set == LevelSetKind::kUniform;
  if (!levels.uniform) {
    const Levels set = BlockLevels(weights, block).value();  // the model has been validated
    std::copy_n(set.level.begin(), sizeof levels.table, levels.table);
  }
  return levels;
}

}  // namespace mpq
