// Rounds one short row of weights exactly, as a closest vector problem: a depthwise filter has 9 or
// 25 weights, so the best of all its roundings can be found by branch and bound (Schnorr and
// Euchner, "Lattice basis reduction", 1994, over a bounded set).
#ifndef MPQ_QUANTIZE_ROUNDING_CLOSEST_LEVELS_H_
#define MPQ_QUANTIZE_ROUNDING_CLOSEST_LEVELS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/level_set.h"

namespace mpq {

// Minimises (w - scale * levels) H (w - scale * levels)^T over all levels of the set.
class ClosestLevels {
 public:
  // `hessian`: [size][size], symmetric, positive definite.
  ClosestLevels(std::span<const float> hessian, uint32_t size);

  // `levels`: a good rounding to begin with, replaced where a better one is found. The search is
  // exact unless it would look at more than `max_nodes` partial roundings; then it is the best of
  // those. Never worse than what came in.
  void Improve(std::span<const float> weights, double scale, const Levels& set, uint32_t max_nodes,
               std::span<float> levels) const;

 private:
  class Search;

  uint32_t size_;
  std::vector<double> factor_;  // upper triangular R, H = R^T R, row-major
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ROUNDING_CLOSEST_LEVELS_H_
