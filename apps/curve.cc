#include "apps/curve.h"

#include <nlohmann/json.hpp>

#include "format/atomic_file.h"

namespace mpq {

namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const ParetoPoint& point, const std::vector<SensitivityObservation>& layers) {
  Json bits = Json::object();
  for (size_t i = 0; i < point.bits.size(); ++i) bits[layers[i].layer] = point.bits[i];
  return {{"bytes", point.file_bytes},
          {"predicted_kl", point.predicted_kl},
          {"agreement", point.agreement.fraction()},
          {"mean_kl", point.agreement.mean_kl},
          {"logit_snr_db", point.agreement.signal_to_noise_db},
          {"bits", bits}};
}

}  // namespace

Status WriteCurve(const Quantized& quantized, const std::string& path) {
  Json points = Json::array();
  for (const ParetoPoint& point : quantized.curve) {
    points.push_back(ToJson(point, quantized.observations.sensitivity));
  }
  const std::string text =
      Json{{"points", points}}.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  return WriteFileAtomically(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

}  // namespace mpq
