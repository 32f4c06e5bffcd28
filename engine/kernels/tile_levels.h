// The level set of a block of 16 channels in the form that tiles are decoded with.
#ifndef MPQ_ENGINE_KERNELS_TILE_LEVELS_H_
#define MPQ_ENGINE_KERNELS_TILE_LEVELS_H_

#include <cstdint>

#include "engine/kernels/tile_decode.h"
#include "format/graph.h"

namespace mpq {

// `weights` have been validated.
TileLevels MakeTileLevels(const Weights& weights, uint32_t block);

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_TILE_LEVELS_H_
