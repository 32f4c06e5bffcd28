// Rounding the rows of a weight matrix together with the inputs they will meet. A row w becomes
// scale * levels, such that the mean squared error of its output, its mean left to the bias,
//   (w - scale * levels) C (w - scale * levels)^T,    C the covariance of the inputs,
// is small. Rows are independent of each other; they share C.
#ifndef MPQ_QUANTIZE_ROUNDING_ROWS_H_
#define MPQ_QUANTIZE_ROUNDING_ROWS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/level_set.h"

namespace mpq {

struct RowProblem {
  uint32_t rows = 0;
  uint32_t size = 0;
  std::span<const float> weights;     // [rows][size]
  std::span<const float> covariance;  // [size][size], both triangles
  std::vector<const Levels*> levels;  // the set of every row
};

struct RoundedRows {
  std::vector<double> scales;  // [rows], > 0
  std::vector<float> levels;   // [rows][size], each of the row's set
};

class RowRounder {
 public:
  // The covariance is damped by 1 % of its mean diagonal, as GPTQ does: samples are few, and what
  // they leave undecided should stay near the weights.
  explicit RowRounder(const RowProblem& problem);

  // GPTQ (Frantar et al., arXiv 2210.17323) for any level set, at the given scales: columns in
  // order of decreasing variance ("act-order"), each rounded to the nearest level, its error
  // compensated in the columns to come.
  std::vector<float> Gptq(std::span<const double> scales) const;

  // One sweep of coordinate descent over all columns: each level becomes the best one, the others
  // given. Never increases Error().
  void Descend(RoundedRows& rounded) const;

  // The best scale of every row for its levels: scale = (l C w^T) / (l C l^T). Rows without levels
  // keep theirs. Never increases Error().
  void RefitScales(RoundedRows& rounded) const;

  // The objective, per row, damping included.
  std::vector<double> Errors(const RoundedRows& rounded) const;
  double Error(const RoundedRows& rounded) const;

  std::span<const float> hessian() const { return damped_; }  // [size][size]

 private:
  const RowProblem& problem_;
  std::vector<float> damped_;  // [size][size]
};

// Gptq, then scales and levels in turns. `refit_scales`: false keeps the scales (powers of two).
// Short rows (depthwise) cost little: other scales are tried as well, and every rounding
// (closest_levels.h).
RoundedRows RoundRows(const RowProblem& problem, std::span<const double> scales, bool refit_scales);

// The scales with which the outputs of rows of levels vary as much as those of the weights:
// sqrt((w C w^T) / (l C l^T)). The least error leaves them smaller, and layer after layer of that
// adds up: the "statistics correction" of OBC (Frantar and Alistarh, "Optimal Brain Compression",
// 2022). Rows that do not vary keep theirs. weights, levels: [scales.size()][size].
void MatchVariances(std::span<const float> covariance, std::span<const float> weights,
                    std::span<const float> levels, std::span<double> scales);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ROUNDING_ROWS_H_
