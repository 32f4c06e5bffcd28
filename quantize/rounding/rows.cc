#include "quantize/rounding/rows.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "quantize/nearest_level.h"
#include "quantize/rounding/closest_levels.h"

namespace mpq {

namespace {

// Columns are walked one by one, so they should be contiguous.
using Matrix = Eigen::MatrixXf;
using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstRowMajorView = Eigen::Map<const RowMajor>;
using Index = Eigen::Index;

constexpr double kDamping = 0.01;
// Columns whose effects on the rest are applied together, as one matrix product.
constexpr Index kBlockColumns = 128;
// Rounds of refitted scales and a sweep: methods.md D.4's gain is in the first three.
constexpr int kPolishRounds = 3;

ConstRowMajorView View(std::span<const float> values, uint32_t rows, uint32_t columns) {
  return {values.data(), static_cast<Index>(rows), static_cast<Index>(columns)};
}

// The inverse of a symmetric positive definite matrix as U^T U, U upper triangular. From a
// factorisation in reversed order: h = R R^T with R upper triangular, then U = R^-1.
Matrix InverseFactor(const Matrix& h) {
  const Eigen::LLT<Matrix> reversed(h.reverse());
  const Matrix r = Matrix(reversed.matrixL()).reverse();
  return r.triangularView<Eigen::Upper>().solve(Matrix::Identity(h.rows(), h.cols()));
}

std::vector<NearestLevel> Rounders(const RowProblem& problem) {
  std::vector<NearestLevel> rounders;
  for (const Levels* levels : problem.levels) rounders.emplace_back(*levels);
  return rounders;
}

// [rows][size] levels times their scales.
RowMajor Dequantized(const RowProblem& problem, const RoundedRows& rounded) {
  RowMajor values = View(rounded.levels, problem.rows, problem.size);
  for (uint32_t r = 0; r < problem.rows; ++r)
    values.row(r) *= static_cast<float>(rounded.scales[r]);
  return values;
}

}  // namespace

RowRounder::RowRounder(const RowProblem& problem)
    : problem_(problem), damped_(problem.covariance.begin(), problem.covariance.end()) {
  double sum = 0;
  for (uint32_t i = 0; i < problem.size; ++i) sum += damped_[size_t{i} * (problem.size + 1)];
  // Inputs that never vary leave every rounding equal: then the nearest is as good as any.
  const double damping = sum > 0 ? kDamping * sum / problem.size : 1.0;
  for (uint32_t i = 0; i < problem.size; ++i) {
    damped_[size_t{i} * (problem.size + 1)] += static_cast<float>(damping);
  }
}

std::vector<float> RowRounder::Gptq(std::span<const double> scales) const {
  const auto rows = static_cast<Index>(problem_.rows);
  const auto size = static_cast<Index>(problem_.size);
  std::vector<Index> order(problem_.size);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](Index a, Index b) {
    return damped_[static_cast<size_t>(a * (size + 1))] >
           damped_[static_cast<size_t>(b * (size + 1))];
  });
  const ConstRowMajorView h = View(damped_, problem_.size, problem_.size);
  const Matrix u = InverseFactor(h(order, order));
  Matrix w = View(problem_.weights, problem_.rows, problem_.size)(Eigen::all, order);

  const std::vector<NearestLevel> nearest = Rounders(problem_);
  std::vector<float> levels(problem_.weights.size());
  for (Index begin = 0; begin < size; begin += kBlockColumns) {
    const Index width = std::min(kBlockColumns, size - begin);
    const Index end = begin + width;
    Matrix errors(rows, width);
    for (Index j = begin; j < end; ++j) {
      for (Index r = 0; r < rows; ++r) {
        const auto scale = static_cast<float>(scales[static_cast<size_t>(r)]);
        const float level = nearest[static_cast<size_t>(r)](w(r, j) / scale);
        levels[static_cast<size_t>(r * size + order[static_cast<size_t>(j)])] = level;
        errors(r, j - begin) = (w(r, j) - scale * level) / u(j, j);
      }
      w.middleCols(j + 1, end - j - 1).noalias() -=
          errors.col(j - begin) * u.row(j).segment(j + 1, end - j - 1);
    }
    w.rightCols(size - end).noalias() -= errors * u.block(begin, end, width, size - end);
  }
  return levels;
}

void RowRounder::Descend(RoundedRows& rounded) const {
  const auto rows = static_cast<Index>(problem_.rows);
  const auto size = static_cast<Index>(problem_.size);
  const ConstRowMajorView h = View(damped_, problem_.size, problem_.size);
  // Half of the objective's gradient.
  Matrix gradient =
      (Dequantized(problem_, rounded) - View(problem_.weights, problem_.rows, problem_.size)) * h;
  const std::vector<NearestLevel> nearest = Rounders(problem_);
  for (Index begin = 0; begin < size; begin += kBlockColumns) {
    const Index width = std::min(kBlockColumns, size - begin);
    Matrix local = gradient.middleCols(begin, width);
    Matrix changes(rows, width);
    for (Index j = 0; j < width; ++j) {
      const float curvature = h(begin + j, begin + j);
      for (Index r = 0; r < rows; ++r) {
        float& level = rounded.levels[static_cast<size_t>(r * size + begin + j)];
        const auto scale = static_cast<float>(rounded.scales[static_cast<size_t>(r)]);
        const float best =
            nearest[static_cast<size_t>(r)](level - local(r, j) / (curvature * scale));
        changes(r, j) = (best - level) * scale;
        level = best;
      }
      local.rightCols(width - j - 1).noalias() +=
          changes.col(j) * h.row(begin + j).segment(begin + j + 1, width - j - 1);
    }
    gradient.noalias() += changes * h.middleRows(begin, width);
  }
}

void RowRounder::RefitScales(RoundedRows& rounded) const {
  const ConstRowMajorView levels = View(rounded.levels, problem_.rows, problem_.size);
  const ConstRowMajorView weights = View(problem_.weights, problem_.rows, problem_.size);
  const RowMajor product = levels * View(damped_, problem_.size, problem_.size);
  for (uint32_t r = 0; r < problem_.rows; ++r) {
    const double wl = product.row(r).cast<double>().dot(weights.row(r).cast<double>());
    const double ll = product.row(r).cast<double>().dot(levels.row(r).cast<double>());
    if (wl > 0 && ll > 0) rounded.scales[r] = wl / ll;
  }
}

std::vector<double> RowRounder::Errors(const RoundedRows& rounded) const {
  const RowMajor difference =
      Dequantized(problem_, rounded) - View(problem_.weights, problem_.rows, problem_.size);
  const RowMajor product = difference * View(damped_, problem_.size, problem_.size);
  std::vector<double> errors(problem_.rows);
  for (uint32_t r = 0; r < problem_.rows; ++r) {
    errors[r] = product.row(r).cast<double>().dot(difference.row(r).cast<double>());
  }
  return errors;
}

double RowRounder::Error(const RoundedRows& rounded) const {
  const std::vector<double> errors = Errors(rounded);
  return std::accumulate(errors.begin(), errors.end(), 0.0);
}

namespace {

RoundedRows Polished(const RowRounder& rounder, std::span<const double> scales, bool refit_scales) {
  RoundedRows rounded{{scales.begin(), scales.end()}, rounder.Gptq(scales)};
  for (int round = 0; round < kPolishRounds; ++round) {
    if (refit_scales) rounder.RefitScales(rounded);
    rounder.Descend(rounded);
  }
  if (refit_scales) rounder.RefitScales(rounded);
  return rounded;
}

// Takes the rows of `other` that are better.
void TakeBetter(const RowProblem& problem, const std::vector<double>& other_errors,
                const RoundedRows& other, std::vector<double>& errors, RoundedRows& best) {
  for (uint32_t r = 0; r < problem.rows; ++r) {
    if (other_errors[r] >= errors[r]) continue;
    errors[r] = other_errors[r];
    best.scales[r] = other.scales[r];
    const auto row = other.levels.begin() + static_cast<ptrdiff_t>(size_t{r} * problem.size);
    std::copy_n(row, problem.size,
                best.levels.begin() + static_cast<ptrdiff_t>(size_t{r} * problem.size));
  }
}

// Exact search in turns with the scales.
void SearchExactly(const RowProblem& problem, const RowRounder& rounder, RoundedRows& rounded) {
  constexpr uint32_t kMaxNodes = 2000;  // 9 weights seldom need more
  constexpr int kTurns = 2;
  const ClosestLevels closest(rounder.hessian(), problem.size);
  for (int turn = 0; turn < kTurns; ++turn) {
    for (uint32_t r = 0; r < problem.rows; ++r) {
      const size_t first = size_t{r} * problem.size;
      closest.Improve(problem.weights.subspan(first, problem.size), rounded.scales[r],
                      *problem.levels[r], kMaxNodes,
                      std::span(rounded.levels).subspan(first, problem.size));
    }
    rounder.RefitScales(rounded);
  }
}

}  // namespace

RoundedRows RoundRows(const RowProblem& problem, std::span<const double> scales,
                      bool refit_scales) {
  constexpr uint32_t kSmallSize = 25;  // a depthwise 5x5 filter
  constexpr int kOtherScales = 32;
  const RowRounder rounder(problem);
  RoundedRows best = Polished(rounder, scales, refit_scales);
  if (problem.size > kSmallSize || !refit_scales) return best;
  std::vector<double> errors = rounder.Errors(best);
  for (int i = 0; i <= kOtherScales; ++i) {
    std::vector<double> other_scales(scales.begin(), scales.end());
    for (double& scale : other_scales) scale *= 0.6 + 0.8 * i / kOtherScales;
    RoundedRows other = Polished(rounder, other_scales, /*refit_scales=*/true);
    SearchExactly(problem, rounder, other);
    TakeBetter(problem, rounder.Errors(other), other, errors, best);
  }
  return best;
}

void MatchVariances(std::span<const float> covariance, std::span<const float> weights,
                    std::span<const float> levels, std::span<double> scales) {
  const auto rows = static_cast<uint32_t>(scales.size());
  const auto size = static_cast<uint32_t>(weights.size() / scales.size());
  const auto variances = [&](std::span<const float> values) {
    const ConstRowMajorView matrix = View(values, rows, size);
    const RowMajor product = matrix * View(covariance, size, size);
    std::vector<double> result(rows);
    for (uint32_t r = 0; r < rows; ++r) {
      result[r] = product.row(r).cast<double>().dot(matrix.row(r).cast<double>());
    }
    return result;
  };
  const std::vector<double> wanted = variances(weights);
  const std::vector<double> of_levels = variances(levels);
  for (uint32_t r = 0; r < rows; ++r) {
    if (wanted[r] > 0 && of_levels[r] > 0) scales[r] = std::sqrt(wanted[r] / of_levels[r]);
  }
}

}  // namespace mpq
