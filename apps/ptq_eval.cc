// ptq-eval: the accuracy of a model on images, and its agreement with another.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/cli.h"
#include "apps/dataset.h"
#include "apps/evaluation.h"
#include "apps/progress_bar.h"
#include "format/message.h"
#include "mpq/model.h"

namespace mpq {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExamples = R"(
Images: a folder with labels.tsv ("file<TAB>class index" a line), a folder of one folder per class
(sorted; the first is class 0), a folder of images without classes, or a CIFAR-10 file (*.bin).
Shares are in percent, with their standard errors. EXIF orientation is ignored, as in published
accuracies; ptq-run applies it.

Examples:
  ptq-eval model.mpq --images val/
  ptq-eval w4.mpq --images val/ --images more/ --reference float.mpq --threads 4 --json
  ptq-eval resnet8.mpq --images test_batch.bin --limit 1000)";

struct Arguments {
  std::string model, reference, labels;
  std::vector<std::string> images;
  uint64_t limit = 0;
  bool json = false;
  EvaluationOptions options;
};

Result<Dataset> OpenDataset(const Arguments& arguments) {
  if (!arguments.labels.empty() && arguments.images.size() > 1) {
    return Error(ErrorCode::kInvalidArgument, "--labels goes with one --images only");
  }
  Dataset dataset;
  for (const std::string& path : arguments.images) {
    MPQ_RETURN_IF_ERROR(dataset.Add(path, arguments.labels));
  }
  if (arguments.limit != 0) dataset.Truncate(arguments.limit);
  return dataset;
}

Result<Evaluation> Run(const Arguments& arguments) {
  MPQ_ASSIGN_OR_RETURN(const Model model, Model::Load(arguments.model));
  std::optional<Model> reference;
  if (!arguments.reference.empty()) {
    MPQ_ASSIGN_OR_RETURN(reference, Model::Load(arguments.reference));
  }
  MPQ_ASSIGN_OR_RETURN(const Dataset dataset, OpenDataset(arguments));
  ProgressBar bar;
  bar.Show("evaluate", 0, dataset.size());
  return Evaluate(model, reference ? &*reference : nullptr, dataset, arguments.options,
                  [&](size_t done) { bar.Show("evaluate", done, dataset.size()); });
}

Estimate Percent(const Estimate& share) { return {100 * share.value, 100 * share.standard_error}; }

void Print(std::string_view name, const Estimate& estimate, std::string_view unit) {
  fmt::print("{:12} {:8.3f} +- {:.3f} {}\n", name, estimate.value, estimate.standard_error, unit);
}

void Print(const Arguments& arguments, const Evaluation& evaluation) {
  fmt::print("{:12} {}\n{:12} {}\n", "model", arguments.model, "images", evaluation.images);
  if (evaluation.top1) Print("top-1", Percent(*evaluation.top1), "%");
  if (evaluation.top5) Print("top-5", Percent(*evaluation.top5), "%");
  if (!evaluation.reference) return;
  const ReferenceScores& reference = *evaluation.reference;
  fmt::print("{:12} {}\n", "reference", arguments.reference);
  if (reference.top1) Print("  top-1", Percent(*reference.top1), "%");
  if (reference.top5) Print("  top-5", Percent(*reference.top5), "%");
  if (reference.top1_change) {
    Print("top-1 change", Percent(*reference.top1_change), "points");
    fmt::print("{:12} lost {}, won {} of {}\n", "", reference.lost, reference.won,
               evaluation.images);
  }
  Print("agreement", Percent(reference.agreement), "%");
  Print("mean KL", reference.mean_kl, "nats");
  Print("logit SNR", reference.logit_snr_db, "dB");
}

// NAME and NAME_se. What is not finite (the noise may be 0) becomes null.
void Put(Json& json, const std::string& name, const Estimate& estimate) {
  json[name] = estimate.value;
  json[name + "_se"] = estimate.standard_error;
}

Json ToJson(const Arguments& arguments, const Evaluation& evaluation) {
  Json json = {{"model", arguments.model}, {"images", evaluation.images}};
  if (evaluation.top1) Put(json, "top1", Percent(*evaluation.top1));
  if (evaluation.top5) Put(json, "top5", Percent(*evaluation.top5));
  if (!evaluation.reference) return json;
  const ReferenceScores& reference = *evaluation.reference;
  json["reference"] = arguments.reference;
  if (reference.top1) Put(json, "reference_top1", Percent(*reference.top1));
  if (reference.top5) Put(json, "reference_top5", Percent(*reference.top5));
  if (reference.top1_change) {
    Put(json, "top1_change", Percent(*reference.top1_change));
    json["lost"] = reference.lost;
    json["won"] = reference.won;
  }
  Put(json, "agreement", Percent(reference.agreement));
  Put(json, "mean_kl", reference.mean_kl);
  Put(json, "logit_snr_db", reference.logit_snr_db);
  return json;
}

void AddOptions(CLI::App& app, Arguments& a) {
  app.add_option("model", a.model, "model to evaluate (.mpq)")->required();
  app.add_option("--images", a.images, "images; may be repeated")
      ->required()
      ->take_all()
      ->type_name("PATH");
  app.add_option("--labels", a.labels, "classes, in place of labels.tsv in the folder")
      ->type_name("FILE");
  app.add_option("--reference", a.reference, "model to compare with, e.g. the float one")
      ->type_name("FILE.mpq");
  app.add_option("--limit", a.limit, "only the first N images; 0 takes all")->type_name("N");
  app.add_flag("--json", a.json, "report as JSON on standard output");
  AddThreadsOption(app, a.options.threads);
  AddIsaOption(app, a.options.session.isa);
  AddInputOption(app, a.options.session.height, a.options.session.width);
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Measures the accuracy of a .mpq model.", "ptq-eval");
  SetUpApp(app, kExamples);
  AddOptions(app, arguments);
  const int exit_code = ParseCommandLine(app, argc, argv);
  if (exit_code >= 0) return exit_code;
  const Result<Evaluation> evaluation = Run(arguments);
  if (!evaluation.ok()) return ExitCode(app, evaluation.status());
  PrintReport(
      arguments.json, [&] { return ToJson(arguments, *evaluation); },
      [&] { Print(arguments, *evaluation); });
  return kExitOk;
}

}  // namespace
}  // namespace mpq

int main(int argc, char** argv) { return mpq::RunTool("ptq-eval", mpq::Main, argc, argv); }
