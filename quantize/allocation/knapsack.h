// The multiple-choice knapsack: of every item exactly one choice, such that the costs together stay
// within a budget and the losses together are least.
#ifndef MPQ_QUANTIZE_ALLOCATION_KNAPSACK_H_
#define MPQ_QUANTIZE_ALLOCATION_KNAPSACK_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace mpq {

struct Choice {
  uint64_t cost = 0;
  double loss = 0;
};

// A dynamic programme over budgets (Kellerer, Pferschy, Pisinger, "Knapsack Problems", 11.5). One
// table answers all budgets up to the largest. Costs are counted in units of 1 / kBudgetSteps of
// what the budget leaves beyond the cheapest choices, rounded up: exact where that is at most
// kBudgetSteps, never over the budget.
class Knapsack {
 public:
  static constexpr uint32_t kBudgetSteps = 20000;

  // Every item has at least one choice.
  Knapsack(std::span<const std::vector<Choice>> items, uint64_t largest_budget);

  uint64_t least_cost() const { return least_cost_; }  // of any selection
  // The choice of every item; none if the budget is below least_cost(). Budgets above the largest
  // are as that.
  std::optional<std::vector<uint32_t>> Choose(uint64_t budget) const;

 private:
  uint64_t UnitsOf(uint64_t cost_beyond_least) const {
    return (cost_beyond_least + unit_ - 1) / unit_;
  }

  std::vector<std::vector<Choice>> items_;
  std::vector<uint64_t> cheapest_;  // cost, per item
  uint64_t least_cost_ = 0;
  uint64_t unit_ = 1;
  uint32_t steps_ = 0;
  std::vector<uint8_t> best_;  // [items][steps + 1]: the item's choice with so much left for all
                               // items up to it
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ALLOCATION_KNAPSACK_H_
