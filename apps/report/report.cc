#include "apps/report/report.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "apps/report/page.h"
#include "format/atomic_file.h"
#include "format/code_layout.h"
#include "format/message.h"
#include "format/model_data.h"
#include "mpq/session.h"

namespace mpq {
namespace {

using Json = nlohmann::ordered_json;

// What the warnings call too much: a hundredth of a tensor's values beyond its codes; weights whose
// error has a tenth of their power; a layer that costs more divergence than four average ones;
// too few images to judge by.
constexpr double kManySaturated = 0.01;
constexpr double kLowWeightDecibels = 10;
constexpr double kCostlyLayer = 4;
constexpr uint32_t kFewImages = 32;

constexpr int kTimedRuns = 20;
constexpr uint8_t kGray = 128;

Json BarsJson(const Bars& bars) {
  return {{"first", bars.first}, {"width", bars.width}, {"counts", bars.counts}};
}

Json AgreementJson(const Agreement& agreement) {
  return {{"images", agreement.num_images},
          {"agreement", agreement.fraction()},
          {"mean_kl", agreement.mean_kl},
          {"logit_snr_db", agreement.signal_to_noise_db}};
}

Json WeightsJson(const WeightObservation& weights) {
  Json levels = Json::array();
  for (const auto& [level, count] : weights.levels) levels.push_back({level, count});
  return {{"bits", weights.bits},
          {"channels", weights.channels},
          {"histogram", BarsJson(weights.weights)},
          {"levels", std::move(levels)},
          {"snr_db", weights.signal_to_noise_db},
          {"zero_channels", weights.zero_channels}};
}

Json ActivationJson(const ActivationObservation& activation) {
  return {{"name", activation.tensor},
          {"bits", activation.bits},
          {"lowest", activation.lowest},
          {"highest", activation.highest},
          {"min", activation.min},
          {"max", activation.max},
          {"zeros", activation.zeros},
          {"saturated", activation.saturated},
          {"silent_channels", activation.silent_channels},
          {"histogram", BarsJson(activation.values)}};
}

// Sections, and what lies between them.
Json SizeJson(const ReportInput& input) {
  Json parts = Json::array();
  uint64_t rest = input.facts.file_bytes;
  for (const SectionFacts& section : input.facts.sections) {
    parts.push_back({{"name", section.name}, {"bytes", section.bytes}});
    rest -= section.bytes;
  }
  parts.push_back({{"name", "frame and padding"}, {"bytes", rest}});
  const LayerFacts& total = input.facts.total;
  const double weights = static_cast<double>(std::max<uint64_t>(total.weights, 1));
  return {{"bytes", input.facts.file_bytes},
          {"float_bytes", input.float_bytes},
          {"weights", total.weights},
          {"nominal_bits_per_weight", static_cast<double>(input.facts.nominal_bits) / weights},
          {"stored_bits_per_weight", 8.0 * static_cast<double>(total.code_bytes) / weights},
          {"file_bits_per_weight", 8.0 * static_cast<double>(input.facts.file_bytes) / weights},
          {"parts", std::move(parts)}};
}

Json LayerJson(const LayerFacts& facts) {
  return {{"name", facts.name},
          {"operator", facts.kind},
          {"window", facts.attributes},
          {"output", {facts.output.height, facts.output.width, facts.output.channels}}};
}

// The layer's fields that only convolutions have.
void AddWeightedLayer(const LayerFacts& facts, const Weights& weights, Json& layer) {
  layer["weights"] = facts.weights;
  layer["level_set"] = facts.level_set;
  layer["code_bytes"] = facts.code_bytes;
  layer["side_bytes"] = facts.side_bytes;
  layer["macs"] = facts.macs;
  layer["bops"] = facts.bops;
  layer["block_bits"] = weights.block_bits.span();
}

Json LayersJson(const ReportInput& input) {
  const Graph& graph = input.model->data().graph;
  std::map<std::string, const SensitivityObservation*> sensitivity;
  for (const SensitivityObservation& curve : input.observations.sensitivity)
    sensitivity[curve.layer] = &curve;
  Json layers = Json::array();
  auto observed = input.observations.weights.begin();
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    Json layer = LayerJson(input.facts.layers[i]);
    if (!input.node_seconds.empty()) layer["ms"] = 1e3 * input.node_seconds[i];
    if (graph.nodes[i].weights != kNone) {
      AddWeightedLayer(input.facts.layers[i], graph.weights[graph.nodes[i].weights], layer);
      // Lowering keeps the convolutions and their order.
      if (observed != input.observations.weights.end()) {
        layer["quantized"] = WeightsJson(*observed++);
      }
      if (const auto found = sensitivity.find(graph.nodes[i].name); found != sensitivity.end()) {
        layer["kl_by_bits"] = found->second->kl_by_bits;
      }
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

class Warnings {
 public:
  explicit Warnings(const ReportInput& input) {
    if (input.agreement.num_images < kFewImages) {
      Add("calibrated on ", input.agreement.num_images, " images only; activation ranges want ",
          kFewImages, " or more");
    }
    for (const ActivationObservation& a : input.observations.activations) AddOf(a);
    for (const WeightObservation& w : input.observations.weights) AddOf(w);
    AddCostlyLayers(input.observations.sensitivity);
  }
  Json Take() { return std::move(lines_); }

 private:
  template <typename... Parts>
  void Add(const Parts&... parts) {
    lines_.push_back(Message(parts...));
  }
  static double Rounded(double x) { return std::round(10 * x) / 10; }

  void AddOf(const ActivationObservation& a) {
    if (a.saturated > kManySaturated) {
      Add("tensor '", a.tensor, "' saturates: ", Rounded(100 * a.saturated),
          " % of its values lie beyond its ", a.bits, "-bit codes");
    }
    if (a.silent_channels > 0) {
      Add("tensor '", a.tensor,
          "': channels that are 0 in every calibration image: ", a.silent_channels);
    }
  }
  void AddOf(const WeightObservation& w) {
    if (w.zero_channels > 0) {
      Add("layer '", w.layer, "': output channels without any weight but 0: ", w.zero_channels);
    }
    if (w.signal_to_noise_db < kLowWeightDecibels) {
      Add("layer '", w.layer, "': weights are ", Rounded(w.signal_to_noise_db),
          " dB above their rounding error only");
    }
  }
  // By the widths that all layers were measured with, so that layers compare.
  void AddCostlyLayers(const std::vector<SensitivityObservation>& curves) {
    std::map<int, double> sums;
    for (const SensitivityObservation& curve : curves) {
      for (const auto& [bits, kl] : curve.kl_by_bits) sums[bits] += kl;
    }
    for (const SensitivityObservation& curve : curves) {
      for (const auto& [bits, kl] : curve.kl_by_bits) {
        const double average = sums[bits] / static_cast<double>(curves.size());
        if (bits != 4 || kl <= kCostlyLayer * average) continue;
        Add("layer '", curve.layer, "' costs ", Rounded(kl / average),
            " times the average layer's KL divergence at ", bits, " bits");
      }
    }
  }

  Json lines_ = Json::array();
};

Json CurveJson(const std::vector<CurvePoint>& curve) {
  Json points = Json::array();
  for (const CurvePoint& point : curve) {
    Json json = {{"name", point.name}, {"bytes", point.bytes}};
    json.update(AgreementJson(point.agreement));
    points.push_back(std::move(json));
  }
  return points;
}

// Beside our own figures: the paper's levels with as many stored bits, and with as many nominal
// ones.
Json PaperLayoutsJson(const ReportInput& input) {
  Json layouts = Json::array();
  const auto weights = static_cast<double>(std::max<uint64_t>(input.facts.total.weights, 1));
  for (const PaperLayout& layout : input.observations.paper_layouts) {
    Json json = {{"nominal_bits_per_weight", static_cast<double>(layout.nominal_bits) / weights},
                 {"stored_bits_per_weight", static_cast<double>(layout.stored_bits) / weights}};
    json.update(AgreementJson(layout.agreement));
    layouts.push_back(std::move(json));
  }
  return layouts;
}

bool HasExtension(const std::string& path, const char* extension) {
  return std::filesystem::path(path).extension() == extension;
}

// Bytes that are not UTF-8 (of names) are replaced: JSON cannot say them.
std::string Text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Json ReportJson(const ReportInput& input) {
  Json provenance = Json::object(), activations = Json::array();
  for (const auto& [key, value] : input.model->data().provenance) provenance[key] = value;
  for (const ActivationObservation& activation : input.observations.activations) {
    activations.push_back(ActivationJson(activation));
  }
  Json json = {{"source", input.source},
               {"target", input.target},
               {"provenance", std::move(provenance)},
               {"accuracy", AgreementJson(input.agreement)},
               {"size", SizeJson(input)},
               {"macs", input.facts.total.macs},
               {"bops", input.facts.total.bops},
               {"warnings", Warnings(input).Take()},
               {"layers", LayersJson(input)},
               {"activations", std::move(activations)}};
  if (!input.observations.paper_layouts.empty()) json["paper_layouts"] = PaperLayoutsJson(input);
  if (!input.curve.empty()) json["curve"] = CurveJson(input.curve);
  return json;
}

std::string ReportPage(const Json& report) {
  std::string page;
  for (const std::string_view part : kPageBeforeData) page += part;
  // "<" stands in JSON inside strings only, where it has another spelling that no HTML parser sees.
  for (const char c : Text(report, -1)) {
    if (c == '<') {
      page += "\\u003c";
    } else {
      page += c;
    }
  }
  for (const std::string_view part : kPageAfterData) page += part;
  return page;
}

Status CheckReportPath(const std::string& path) {
  if (HasExtension(path, ".html") || HasExtension(path, ".json")) return Status();
  return Error(ErrorCode::kInvalidArgument, "--report: '", path,
               "' ends neither in .html nor .json");
}

Status WriteReport(const Json& report, const std::string& path) {
  const std::string text =
      HasExtension(path, ".json") ? Text(report, 1) + "\n" : ReportPage(report);
  return WriteFileAtomically(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

Result<std::vector<double>> MeasureNodeSeconds(const Model& model) {
  SessionOptions options;
  options.profile = true;
  MPQ_ASSIGN_OR_RETURN(Session session, Session::Create(model, options));
  const std::vector<uint8_t> pixels(size_t{session.height()} * session.width() * 3, kGray);
  std::vector<double> least(session.steps().size(), 1e9);
  for (int run = 0; run < kTimedRuns; ++run) {
    MPQ_RETURN_IF_ERROR(session.Run(pixels));
    for (size_t i = 0; i < least.size(); ++i) {
      least[i] = std::min(least[i], session.steps()[i].seconds);
    }
  }
  std::map<std::string, double> seconds;
  for (size_t i = 0; i < least.size(); ++i) seconds[session.steps()[i].node] += least[i];
  std::vector<double> result;
  for (const Node& node : model.data().graph.nodes) result.push_back(seconds[node.name]);
  return result;
}

}  // namespace mpq
