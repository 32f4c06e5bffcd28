#include "quantize/allocation/knapsack.h"

#include <algorithm>
#include <limits>

namespace mpq {

Knapsack::Knapsack(std::span<const std::vector<Choice>> items, uint64_t largest_budget)
    : items_(items.begin(), items.end()) {
  for (const std::vector<Choice>& choices : items_) {
    const auto cheapest =
        std::min_element(choices.begin(), choices.end(),
                         [](const Choice& a, const Choice& b) { return a.cost < b.cost; });
    cheapest_.push_back(cheapest->cost);
    least_cost_ += cheapest->cost;
  }
  const uint64_t beyond = std::max(largest_budget, least_cost_) - least_cost_;
  unit_ = std::max<uint64_t>((beyond + kBudgetSteps - 1) / kBudgetSteps, 1);
  steps_ = static_cast<uint32_t>(beyond / unit_);

  std::vector<double> losses(steps_ + 1, 0.0);
  best_.resize(items_.size() * (steps_ + 1));
  for (size_t i = 0; i < items_.size(); ++i) {
    std::vector<double> next(steps_ + 1, std::numeric_limits<double>::infinity());
    uint8_t* best = best_.data() + i * (steps_ + 1);
    for (size_t c = 0; c < items_[i].size(); ++c) {
      const uint64_t units = UnitsOf(items_[i][c].cost - cheapest_[i]);
      for (uint64_t left = units; left <= steps_; ++left) {
        const double loss = losses[left - units] + items_[i][c].loss;
        if (loss >= next[left]) continue;
        next[left] = loss;
        best[left] = static_cast<uint8_t>(c);
      }
    }
    losses = std::move(next);
  }
}

std::optional<std::vector<uint32_t>> Knapsack::Choose(uint64_t budget) const {
  if (budget < least_cost_) return std::nullopt;
  uint64_t left = std::min<uint64_t>((budget - least_cost_) / unit_, steps_);
  std::vector<uint32_t> choices(items_.size());
  for (size_t i = items_.size(); i-- > 0;) {
    choices[i] = best_[i * (steps_ + 1) + left];
    left -= UnitsOf(items_[i][choices[i]].cost - cheapest_[i]);
  }
  return choices;
}

}  // namespace mpq
