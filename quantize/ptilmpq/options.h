// What the PTILMPQ method can be told.
#ifndef MPQ_QUANTIZE_PTILMPQ_OPTIONS_H_
#define MPQ_QUANTIZE_PTILMPQ_OPTIONS_H_

#include <cstdint>
#include <string_view>

#include "mpq/status.h"

namespace mpq {

// The two readings of the paper's alpha. Both go from the smallest model at 0 to the most accurate
// at 1, and size never falls as alpha grows.
enum class AlphaMode : uint8_t {
  kFraction,  // the share of channels of important layers that get the high width
  kLagrange,  // high width where alpha * (share of the loss saved) > (1 - alpha) * (share of size)
};
const char* AlphaModeName(AlphaMode mode);
Result<AlphaMode> ParseAlphaMode(std::string_view name);

struct PtilmpqOptions {
  double alpha = 0.5;  // 0..1
  AlphaMode mode = AlphaMode::kFraction;
  int low_bits = 3;   // 2..5
  int high_bits = 4;  // above low_bits, up to 6
  // Importance from weights alone, without running anything: the squared error of a layer relative
  // to its weights, and the magnitude of a channel.
  bool data_free = false;
};
Status CheckPtilmpqOptions(const PtilmpqOptions& options);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PTILMPQ_OPTIONS_H_
