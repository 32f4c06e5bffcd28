// ptq-inspect: what is in a .mpq file.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "apps/cli.h"
#include "apps/inspection.h"
#include "format/model_data.h"
#include "mpq/model.h"

namespace mpq {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExamples = R"(
Bits are shown as bits:output channels. BOPs of a layer: the sum over its channels of
MACs * (bw * ba + bw + ba + log2(products of an output)), bw and ba the bits of weights and
activations.

Examples:
  ptq-inspect model.mpq
  ptq-inspect model.mpq --check
  ptq-inspect w4.mpq --diff w8.mpq
  ptq-inspect model.mpq --json --input 320x320)";

struct Arguments {
  std::string model, other;
  bool json = false, check = false;
  uint32_t height = 0, width = 0;
};

std::string InterpolationName(Interpolation interpolation) {
  switch (interpolation) {
    case Interpolation::kNearest:
      return "nearest";
    case Interpolation::kBilinear:
      return "bilinear";
    case Interpolation::kBicubic:
      return "bicubic";
  }
  return "unknown";
}

std::string BitsText(const LayerFacts& layer) {
  std::string text;
  for (const auto& [bits, channels] : layer.channels_by_bits) {
    text += fmt::format("{}{}:{}", text.empty() ? "" : " ", bits, channels);
  }
  return text;
}

double BitsPerWeight(double bits, const ModelFacts& facts) {
  return facts.total.weights == 0 ? 0 : bits / static_cast<double>(facts.total.weights);
}

void PrintHead(const Arguments& arguments, const Model& model, const ModelFacts& facts) {
  const Preprocessing& p = model.data().preprocessing;
  fmt::print("{}: {} model, {} bytes\n", arguments.model, model.is_integer() ? "integer" : "float",
             facts.file_bytes);
  fmt::print("input          {}x{}x{} {}, {} classes, {} labels\n", model.input_height(),
             model.input_width(), model.input_channels(), p.bgr ? "BGR" : "RGB",
             model.num_classes(), model.labels().size());
  fmt::print(
      "preprocessing  short side {}, crop {}x{}, {}, mean {:g} {:g} {:g}, std {:g} {:g} {:g}\n",
      p.resize_short_side, p.crop_height, p.crop_width, InterpolationName(p.interpolation),
      p.mean[0], p.mean[1], p.mean[2], p.std[0], p.std[1], p.std[2]);
  for (const auto& [key, value] : model.data().provenance) {
    fmt::print("{:14} {}\n", key, value);
  }
}

void PrintLayers(const ModelFacts& facts) {
  constexpr const char* kRow =
      "{:>4}  {:14} {:22} {:>13} {:>9} {:16} {:11} {:>9} {:>7} {:>9} {:>9}  {}\n";
  fmt::print("\n");
  fmt::print(kRow, "", "operator", "window", "output", "weights", "bits", "level set", "bytes",
             "+ side", "MMACs", "GBOPs", "name");
  for (size_t i = 0; i < facts.layers.size(); ++i) {
    const LayerFacts& layer = facts.layers[i];
    const bool weighted = layer.weights != 0;
    const auto number = [&](auto value) { return weighted ? fmt::format("{}", value) : ""; };
    fmt::print(
        kRow, i, layer.kind, layer.attributes,
        fmt::format("{}x{}x{}", layer.output.height, layer.output.width, layer.output.channels),
        number(layer.weights), BitsText(layer), layer.level_set, number(layer.code_bytes),
        number(layer.side_bytes),
        weighted ? fmt::format("{:.3f}", static_cast<double>(layer.macs) / 1e6) : "",
        weighted ? fmt::format("{:.3f}", layer.bops / 1e9) : "", layer.name);
  }
}

void PrintTotals(const ModelFacts& facts) {
  const LayerFacts& total = facts.total;
  fmt::print("\nweights        {}, channels by bits {}\n", total.weights, BitsText(total));
  fmt::print("bits a weight  {:.3f} nominal, {:.3f} stored, {:.3f} with everything in the file\n",
             BitsPerWeight(static_cast<double>(facts.nominal_bits), facts),
             BitsPerWeight(8.0 * static_cast<double>(total.code_bytes), facts),
             BitsPerWeight(8.0 * static_cast<double>(facts.file_bytes), facts));
  fmt::print("MACs           {:.3f} M\nBOPs           {:.3f} G\n",
             static_cast<double>(total.macs) / 1e6, total.bops / 1e9);
  if (facts.activation_error.empty()) {
    fmt::print("activations    {}, with one thread and one image\n", Describe(facts.memory));
  } else {
    fmt::print("activations    unknown: {}\n", facts.activation_error);
  }
  fmt::print("\n{:14} {:>10} {:>10}  {:16}\n", "section", "offset", "bytes", "XXH3-64");
  for (const SectionFacts& section : facts.sections) {
    fmt::print("{:14} {:>10} {:>10}  {:016x}{}\n", section.name, section.offset, section.bytes,
               section.checksum, section.required ? "" : "  optional");
  }
}

Json BitsJson(const LayerFacts& layer) {
  Json json = Json::object();
  for (const auto& [bits, channels] : layer.channels_by_bits) {
    json[std::to_string(bits)] = channels;
  }
  return json;
}

Json LayerJson(const LayerFacts& layer) {
  Json json = {{"name", layer.name},
               {"operator", layer.kind},
               {"window", layer.attributes},
               {"output", {layer.output.height, layer.output.width, layer.output.channels}}};
  if (layer.weights == 0) return json;
  json.update({{"weights", layer.weights},
               {"channels_by_bits", BitsJson(layer)},
               {"level_set", layer.level_set},
               {"code_bytes", layer.code_bytes},
               {"side_bytes", layer.side_bytes},
               {"macs", layer.macs},
               {"bops", layer.bops}});
  return json;
}

Json PreprocessingJson(const Preprocessing& p) {
  return {{"resize_short_side", p.resize_short_side},
          {"crop", {p.crop_height, p.crop_width}},
          {"interpolation", InterpolationName(p.interpolation)},
          {"channel_order", p.bgr ? "BGR" : "RGB"},
          {"mean", p.mean},
          {"std", p.std}};
}

Json ToJson(const Arguments& arguments, const Model& model, const ModelFacts& facts) {
  Json provenance = Json::object(), sections = Json::array(), layers = Json::array();
  for (const auto& [key, value] : model.data().provenance) provenance[key] = value;
  for (const SectionFacts& section : facts.sections) {
    sections.push_back({{"name", section.name},
                        {"offset", section.offset},
                        {"bytes", section.bytes},
                        {"xxh3", fmt::format("{:016x}", section.checksum)},
                        {"required", section.required}});
  }
  for (const LayerFacts& layer : facts.layers) layers.push_back(LayerJson(layer));
  Json json = {{"model", arguments.model},
               {"kind", model.is_integer() ? "integer" : "float"},
               {"file_bytes", facts.file_bytes},
               {"input", {model.input_height(), model.input_width(), model.input_channels()}},
               {"classes", model.num_classes()},
               {"labels", model.labels().size()},
               {"preprocessing", PreprocessingJson(model.data().preprocessing)},
               {"provenance", std::move(provenance)},
               {"weights", facts.total.weights},
               {"channels_by_bits", BitsJson(facts.total)},
               {"nominal_bits", facts.nominal_bits},
               {"code_bytes", facts.total.code_bytes},
               {"side_bytes", facts.total.side_bytes},
               {"macs", facts.total.macs},
               {"bops", facts.total.bops}};
  if (facts.activation_error.empty()) {
    json["activation_bytes"] = facts.memory.total();
    json["memory_plan"] = MemoryPlanJson(facts.memory);
  }
  json["sections"] = std::move(sections);
  json["layers"] = std::move(layers);
  return json;
}

Status Check(const Arguments& arguments, const Model& model) {
  PrintReport(
      arguments.json,
      [&] {
        return Json{{"model", arguments.model}, {"ok", true}, {"bytes", model.file_bytes()}};
      },
      [&] { fmt::print("{}: ok\n", arguments.model); });
  return Status();
}

Status PrintDiff(const Arguments& arguments, const Model& model) {
  MPQ_ASSIGN_OR_RETURN(const Model other, Model::Load(arguments.other));
  const std::vector<std::string> lines = DiffModels(model, other);
  PrintReport(
      arguments.json,
      [&] {
        return Json{{"model", arguments.model},
                    {"other", arguments.other},
                    {"identical", lines.empty()},
                    {"differences", lines}};
      },
      [&] {
        if (lines.empty()) fmt::print("no difference\n");
        for (const std::string& line : lines) fmt::print("{}\n", line);
      });
  return Status();
}

Status Inspect(const Arguments& arguments, const Model& model) {
  MPQ_ASSIGN_OR_RETURN(const ModelFacts facts,
                       InspectModel(model, arguments.model, arguments.height, arguments.width));
  PrintReport(
      arguments.json, [&] { return ToJson(arguments, model, facts); },
      [&] {
        PrintHead(arguments, model, facts);
        PrintLayers(facts);
        PrintTotals(facts);
      });
  return Status();
}

// Loading verifies checksums and every rule of the format.
Status Run(const Arguments& arguments) {
  MPQ_ASSIGN_OR_RETURN(const Model model, Model::Load(arguments.model));
  if (arguments.check) return Check(arguments, model);
  if (!arguments.other.empty()) return PrintDiff(arguments, model);
  return Inspect(arguments, model);
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Shows what is in a .mpq model.", "ptq-inspect");
  SetUpApp(app, kExamples);
  app.add_option("model", arguments.model, "model to look into (.mpq)")->required();
  CLI::Option* check =
      app.add_flag("--check", arguments.check, "only verify checksums and all rules of the format");
  app.add_option("--diff", arguments.other, "show what differs in another model")
      ->type_name("OTHER.mpq")
      ->excludes(check);
  app.add_flag("--json", arguments.json, "report as JSON on standard output");
  AddInputOption(app, arguments.height, arguments.width);
  const int exit_code = ParseCommandLine(app, argc, argv);
  return exit_code >= 0 ? exit_code : ExitCode(app, Run(arguments));
}

}  // namespace
}  // namespace mpq

int main(int argc, char** argv) { return mpq::RunTool("ptq-inspect", mpq::Main, argc, argv); }
