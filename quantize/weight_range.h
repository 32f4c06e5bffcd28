// The scale of one output channel's weights for a given level set, and the codes that follow.
#ifndef MPQ_QUANTIZE_WEIGHT_RANGE_H_
#define MPQ_QUANTIZE_WEIGHT_RANGE_H_

#include <cstdint>
#include <span>

#include "format/level_set.h"

namespace mpq {

// sum(importance * (w - scale * level)^2), each weight at its nearest level. `importance` may be
// empty: 1 for every weight.
double WeightError(std::span<const float> weights, std::span<const float> importance,
                   const Levels& levels, double scale);

// The scale of least WeightError by a grid of shrunken full ranges, as BRECQ and OBC search it,
// then codes and the scale that fits them best in turns until neither changes. 0 if all weights are
// 0.
// `coarse`: ten times faster for short rows, and good enough to compare level sets.
double ChooseWeightScale(std::span<const float> weights, std::span<const float> importance,
                         const Levels& levels, bool coarse = false);

// The code nearest to every weight.
void EncodeWeights(std::span<const float> weights, const Levels& levels, double scale,
                   std::span<uint8_t> codes);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_WEIGHT_RANGE_H_
