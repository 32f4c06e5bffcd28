#include "quantize/rounding/network_pair.h"

#include <algorithm>

namespace mpq {

NetworkPair::NetworkPair(const Graph& part, const Preprocessing& preprocessing,
                         const Decisions& decisions, std::span<const uint32_t> tensors,
                         std::span<const uint32_t> wanted)
    : float_part_(part, preprocessing), decisions_(decisions), tensors_(tensors) {
  session_options_.keep_tensors = true;
  for (const uint32_t tensor : wanted) session_options_.wanted_tensors.push_back(tensors[tensor]);
}

Status NetworkPair::Run(const Model& quantized, std::span<const uint8_t> pixels,
                        std::span<const float> values) {
  if (!session_.has_value()) {
    MPQ_ASSIGN_OR_RETURN(session_, Session::Create(quantized, session_options_));
  }
  MPQ_RETURN_IF_ERROR(float_part_.Run(pixels, values));
  return session_->Run(pixels);
}

Result<std::vector<float>> NetworkPair::Float(uint32_t tensor) const {
  MPQ_ASSIGN_OR_RETURN(const std::span<const float> values, float_part_.Read(tensor));
  std::vector<float> result(values.begin(), values.end());
  const std::span<const float> scales = decisions_.equalization.scales(tensor);
  for (size_t i = 0; i < result.size() && !scales.empty(); ++i) {
    result[i] /= scales[i % scales.size()];
  }
  const ActivationDecision& stored = decisions_.activations[tensor];
  for (float& value : result) value = std::clamp(value, stored.lowest(), stored.highest());
  return result;
}

Result<std::vector<float>> NetworkPair::Quantized(uint32_t tensor) const {
  MPQ_ASSIGN_OR_RETURN(const std::vector<int16_t> codes,
                       session_->ReadTensorCodes(tensors_[tensor]));
  const ActivationDecision& stored = decisions_.activations[tensor];
  std::vector<float> result(codes.size());
  for (size_t i = 0; i < codes.size(); ++i) {
    result[i] = stored.Real(codes[i]);
  }
  return result;
}

}  // namespace mpq
