#include "quantize/rounding/closest_levels.h"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>

namespace mpq {

ClosestLevels::ClosestLevels(std::span<const float> hessian, uint32_t size)
    : size_(size), factor_(size_t{size} * size) {
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic>> h(hessian.data(),
                                                                                 size, size);
  Eigen::Map<RowMajor>(factor_.data(), size, size) =
      RowMajor(Eigen::LLT<Eigen::MatrixXd>(h.cast<double>()).matrixU());
}

// Depth first from the last weight to the first: the cost of the weights behind i is known when
// weight i is chosen, and only grows.
class ClosestLevels::Search {
 public:
  Search(const ClosestLevels& problem, std::span<const float> weights, double scale,
         const Levels& set, uint32_t max_nodes)
      : size_(problem.size_),
        factor_(problem.factor_),
        weights_(weights),
        scale_(scale),
        set_(set),
        nodes_left_(max_nodes),
        residual_(problem.size_),
        levels_(problem.size_) {}

  void Run(std::span<float> levels) {
    for (uint32_t i = 0; i < size_; ++i) residual_[i] = weights_[i] - scale_ * levels[i];
    // A little less: rounding errors must not replace a rounding by its equal.
    least_ = (1 - 1e-6) * Cost();
    Choose(size_, 0.0, levels);
  }

 private:
  double Row(uint32_t i) const {
    double sum = 0;
    for (uint32_t j = i; j < size_; ++j) sum += factor_[size_t{i} * size_ + j] * residual_[j];
    return sum;
  }

  double Cost() const {
    double cost = 0;
    for (uint32_t i = 0; i < size_; ++i) cost += Row(i) * Row(i);
    return cost;
  }

  // Chooses weights [0, count), those behind cost `cost`.
  void Choose(uint32_t count, double cost, std::span<float> best) {
    if (count == 0) {
      least_ = cost;
      std::copy(levels_.begin(), levels_.end(), best.begin());
      return;
    }
    const uint32_t i = count - 1;
    const double diagonal = factor_[size_t{i} * size_ + i];
    residual_[i] = 0;
    const double behind = Row(i);
    // The row's term is (behind + diagonal * (w - scale * level))^2: levels outwards from where it
    // vanishes.
    const double centre = (weights_[i] + behind / diagonal) / scale_;
    int64_t below = set_.NearestCode(static_cast<float>(centre));
    int64_t above = below + 1;
    while (below >= 0 || above < int64_t{set_.count}) {
      const bool take_below =
          above >= int64_t{set_.count} ||
          (below >= 0 && centre - set_.level[below] <= set_.level[above] - centre);
      const double level = set_.level[take_below ? below-- : above++];
      const double term = diagonal * scale_ * (centre - level);
      const double next = cost + term * term;
      if (next >= least_ || nodes_left_ == 0) return;
      --nodes_left_;
      levels_[i] = static_cast<float>(level);
      residual_[i] = weights_[i] - scale_ * level;
      Choose(i, next, best);
    }
  }

  const uint32_t size_;
  const std::vector<double>& factor_;
  const std::span<const float> weights_;
  const double scale_;
  const Levels& set_;
  uint32_t nodes_left_;
  double least_ = 0;
  std::vector<double> residual_;  // w - scale * level of the weights chosen
  std::vector<float> levels_;
};

void ClosestLevels::Improve(std::span<const float> weights, double scale, const Levels& set,
                            uint32_t max_nodes, std::span<float> levels) const {
  Search(*this, weights, scale, set, max_nodes).Run(levels);
}

}  // namespace mpq
