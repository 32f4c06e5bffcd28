// The learned method: every layer has levels of its own, from its weights, by Lloyd's algorithm
// ("Least Squares Quantization in PCM", 1982) with 0 kept and the levels rounded to integers; or
// two regions where these serve it better. Of normal weights a learned set has 9 to 12 % less
// squared error than the best two regions of 2 to 4 bits.
#ifndef MPQ_QUANTIZE_LEARNED_LEVELS_H_
#define MPQ_QUANTIZE_LEARNED_LEVELS_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "quantize/method.h"

namespace mpq {

// A weight in units of its channel's scale, and what a squared error in it costs.
struct ScaledWeight {
  float value = 0;
  float importance = 1;
};

struct LearnedLevels {
  std::vector<int8_t> levels;  // ascending, one of them 0
  double error = 0;            // sum(importance * (value - s * level)^2) at the best s for all
};

// Starts from `start`, 2^bits levels, and keeps to as many on each side of 0.
LearnedLevels LearnLevels(std::vector<ScaledWeight> weights, std::span<const int8_t> start);

std::unique_ptr<Method> MakeLearnedLevelsMethod();

// Beyond 6 bits, the largest table: uniform.
Result<LayerDecision> DecideLearnedLayer(const MethodInput& input, uint32_t node, int bits);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_LEARNED_LEVELS_H_
