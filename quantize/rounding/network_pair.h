// The float network and the quantised one side by side: what layers should see, and what they do.
#ifndef MPQ_QUANTIZE_ROUNDING_NETWORK_PAIR_H_
#define MPQ_QUANTIZE_ROUNDING_NETWORK_PAIR_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "format/graph.h"
#include "format/model_data.h"
#include "mpq/model.h"
#include "mpq/session.h"
#include "mpq/status.h"
#include "quantize/decisions.h"
#include "quantize/rounding/float_checkpoint.h"

namespace mpq {

// For one thread. The float network is a part (GraphBetween) that starts at a checkpoint.
class NetworkPair {
 public:
  // References must outlive the object. `tensors`: the quantised model's tensor of each of the
  // graph's. `wanted`: the graph's tensors that will be read.
  NetworkPair(const Graph& part, const Preprocessing& preprocessing, const Decisions& decisions,
              std::span<const uint32_t> tensors, std::span<const uint32_t> wanted);

  // `values`: of the part's input; empty: the pixels are, normalised.
  Status Run(const Model& quantized, std::span<const uint8_t> pixels,
             std::span<const float> values);

  // Equalised values, clamped to what the stored tensor can hold.
  Result<std::vector<float>> Float(uint32_t tensor) const;
  Result<std::vector<float>> Quantized(uint32_t tensor) const;

 private:
  FloatPart float_part_;
  const Decisions& decisions_;
  std::span<const uint32_t> tensors_;
  SessionOptions session_options_;
  std::optional<Session> session_;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ROUNDING_NETWORK_PAIR_H_
