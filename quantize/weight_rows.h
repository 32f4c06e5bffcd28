// A layer's weights as methods look at them.
#ifndef MPQ_QUANTIZE_WEIGHT_ROWS_H_
#define MPQ_QUANTIZE_WEIGHT_ROWS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "quantize/method.h"

namespace mpq {

// A row of effective weights per output channel, and the variance of every weight's input, which is
// what an error in it costs (rounding/input_moments.h).
struct WeightRows {
  std::vector<float> values;
  size_t row_values = 0;
  std::vector<float> variances;  // [groups][row_values]; empty: unknown
  uint32_t group_rows = 0;

  WeightRows(const MethodInput& input, uint32_t node);

  uint32_t count() const { return static_cast<uint32_t>(values.size() / row_values); }
  std::span<const float> row(uint32_t channel) const {
    return std::span(values).subspan(channel * row_values, row_values);
  }
  std::span<const float> importance(uint32_t channel) const {
    if (variances.empty()) return {};
    return std::span(variances).subspan(channel / group_rows * row_values, row_values);
  }
};

// Codes and scale of one channel: the best scale for the levels, every weight at its nearest level.
void EncodeRow(const WeightRows& rows, uint32_t channel, const Levels& levels,
               LayerDecision& layer);

// A decision whose codes and scales are still to be set by EncodeRow.
LayerDecision EmptyDecision(const MethodInput& input, uint32_t node, int bits);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_WEIGHT_ROWS_H_
