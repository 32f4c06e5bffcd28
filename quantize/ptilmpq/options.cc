#include "quantize/ptilmpq/options.h"

#include "format/level_set.h"
#include "format/message.h"

namespace mpq {

const char* AlphaModeName(AlphaMode mode) {
  return mode == AlphaMode::kFraction ? "fraction" : "lagrange";
}

Result<AlphaMode> ParseAlphaMode(std::string_view name) {
  for (const AlphaMode mode : {AlphaMode::kFraction, AlphaMode::kLagrange}) {
    if (name == AlphaModeName(mode)) return mode;
  }
  return Error(ErrorCode::kInvalidArgument, "alpha mode '", name,
               "', expected fraction or lagrange");
}

Status CheckPtilmpqOptions(const PtilmpqOptions& options) {
  if (!(options.alpha >= 0 && options.alpha <= 1)) {
    return Error(ErrorCode::kInvalidArgument, "alpha: ", options.alpha, ", expected 0..1");
  }
  if (options.low_bits < 2 || options.high_bits > kMaxTableBits ||
      options.low_bits >= options.high_bits) {
    return Error(ErrorCode::kInvalidArgument, "low and high bits: ", options.low_bits, " and ",
                 options.high_bits, ", expected 2 <= low < high <= ", kMaxTableBits);
  }
  return Status();
}

}  // namespace mpq
