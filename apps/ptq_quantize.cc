// ptq-quantize: from an ONNX model to a .mpq file.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <new>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "apps/cli.h"
#include "apps/curve.h"
#include "apps/dataset.h"
#include "apps/preprocess_json.h"
#include "apps/process_memory.h"
#include "apps/progress_bar.h"
#include "apps/recipe.h"
#include "apps/report/report.h"
#include "engine/core/float_executor.h"
#include "engine/core/isa.h"
#include "format/checksum.h"
#include "format/message.h"
#include "format/writer.h"
#include "quantize/import/onnx_import.h"
#include "quantize/memory_estimate.h"
#include "quantize/method.h"
#include "quantize/parallel.h"
#include "quantize/quantize.h"

namespace mpq {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kExamples = R"(
Examples:
  ptq-quantize model.onnx -o model.mpq --calibration photos/ --preprocess model.preprocess.json
  ptq-quantize model.onnx -o small.mpq --calibration photos/ --weight-bits 4 \
      --layer '^stem=8' --last-bits 8 --report small.html
  ptq-quantize model.onnx --weight-bits 4 --dry-run
  ptq-quantize model.onnx -o model.mpq --calibration photos/ --recipe w4.json --seed 2
  ptq-quantize model.onnx -o float.mpq --float --preprocess model.preprocess.json)";

// Fewer images leave ranges to chance; a warning says so.
constexpr uint32_t kFewImages = 32;

// Of --pareto.
constexpr uint32_t kCurvePoints = 16;

struct Arguments {
  std::string source;
  std::string target;
  std::string calibration;
  std::string preprocess;
  std::string labels;
  std::string recipe_file;
  std::string new_recipe_file;
  std::string report_file;
  std::string curve_file;
  std::vector<std::string> layers;
  uint64_t memory_limit = 0;  // 0: none
  bool float_model = false;
  bool dry_run = false;
  bool json = false;
  Recipe recipe;
  std::vector<LayerBits> layer_rules;  // of --layer; stronger than the recipe's
  Status recipe_read;
};

Result<std::vector<std::string>> ReadLabels(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Error(ErrorCode::kIo, path, ": cannot be opened");
  std::vector<std::string> labels;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    labels.push_back(line);
  }
  while (!labels.empty() && labels.back().empty()) labels.pop_back();
  return labels;
}

// The float model as imported, with everything the command line says about it.
Result<ModelData> ImportModel(const Arguments& arguments, std::vector<std::string>& notes) {
  MPQ_ASSIGN_OR_RETURN(ImportedModel imported, ImportOnnx(arguments.source));
  notes = std::move(imported.notes);
  ModelData model;
  model.graph = std::move(imported.graph);
  const Tensor& input = model.graph.tensors[model.graph.input];
  if (!arguments.preprocess.empty()) {
    MPQ_ASSIGN_OR_RETURN(model.preprocessing, ReadPreprocessJson(arguments.preprocess));
    const Preprocessing& p = model.preprocessing;
    if (p.crop_height != input.height || p.crop_width != input.width) {
      return Error(ErrorCode::kInvalidArgument, arguments.preprocess, ": crops to ", p.crop_height,
                   "x", p.crop_width, ", the model's input has ", input.height, "x", input.width);
    }
  } else {
    notes.emplace_back(
        "no --preprocess: straight resize to the input's size, pixels 0..255 taken as they are");
    model.preprocessing.crop_height = input.height;
    model.preprocessing.crop_width = input.width;
  }
  if (!arguments.labels.empty()) {
    MPQ_ASSIGN_OR_RETURN(model.labels, ReadLabels(arguments.labels));
    const uint32_t classes = model.graph.tensors[model.graph.output].channels;
    if (model.labels.size() != classes) {
      return Error(ErrorCode::kInvalidArgument, arguments.labels, ": ", model.labels.size(),
                   " labels, the model has ", classes, " classes");
    }
  }
  model.provenance = {{"tool", "mpq " MPQ_VERSION},
                      {"source", std::filesystem::path(arguments.source).filename().string()},
                      {"source hash", imported.source_hash}};
  return model;
}

struct Outcome {
  Quantized quantized;
  Recipe recipe;                    // with named layers
  uint64_t bytes_before = 0;        // of the imported model in the same container, as floats
  uint64_t calibration_memory = 0;  // estimated
  std::string digest;               // of the file; none in a dry run
  double seconds = 0;
};

double PeakMegabytes() { return static_cast<double>(PeakMemory()) / 1e6; }

// Images that cannot be read are left out, each with a warning.
Status LeaveOutUnreadable(const std::vector<Status>& loaded, CalibrationImages& images) {
  const auto bytes = static_cast<ptrdiff_t>(images.image_bytes());
  uint32_t kept = 0;
  for (uint32_t i = 0; i < images.count; ++i) {
    if (!loaded[i].ok()) {
      fmt::print(stderr, "warning: {}; left out\n", loaded[i].message());
      continue;
    }
    const auto image = images.pixels.begin() + i * bytes;
    if (kept != i) std::copy(image, image + bytes, images.pixels.begin() + kept * bytes);
    ++kept;
  }
  if (kept == 0) {
    return Error(ErrorCode::kInvalidArgument, "none of ", images.count, " images can be read");
  }
  images.count = kept;
  images.pixels.resize(kept * images.image_bytes());
  if (kept < kFewImages) {
    fmt::print(stderr, "warning: {} calibration image{}; activation ranges want {} or more\n", kept,
               kept == 1 ? "" : "s", kFewImages);
  }
  return Status();
}

// What calibration will take, with what the process holds already. Decoding comes before it: the
// pixels of one image a thread, of whatever size it is.
Result<uint64_t> CheckMemory(const Arguments& arguments, const Graph& graph, uint32_t num_images) {
  const QuantizeOptions& options = arguments.recipe.quantize;
  uint64_t work = EstimateCalibrationBytes(graph, num_images, options.threads);
  if (options.rounding != Rounding::kNearest) {
    work = std::max(work, EstimateRoundingBytes(graph, num_images, options.views, options.threads));
  }
  if (options.refinement.epochs > 0) {
    work =
        std::max(work, EstimateRefinementBytes(graph, num_images, options.views, options.threads));
  }
  if (options.distillation.epochs > 0) {
    work = std::max(work, EstimateDistillationBytes(graph, num_images, options.threads));
  }
  const uint64_t estimate = ResidentMemory() + work;
  if (arguments.memory_limit == 0 || estimate <= arguments.memory_limit) return estimate;
  return Error(ErrorCode::kLimitExceeded, "--memory-limit: quantising with ", num_images,
               " images with ", arguments.recipe.quantize.threads, " threads takes about ",
               estimate, " bytes, the limit is ", arguments.memory_limit);
}

Result<CalibrationImages> LoadImages(const Arguments& arguments, const Dataset& dataset,
                                     const std::vector<uint32_t>& chosen,
                                     const Preprocessing& preprocessing, const Progress& progress) {
  CalibrationImages images{static_cast<uint32_t>(chosen.size()),
                           preprocessing.crop_height,
                           preprocessing.crop_width,
                           {}};
  images.pixels.resize(images.count * images.image_bytes());
  std::vector<Status> loaded(images.count);
  {
    ProgressStage stage(progress, "load images", images.count);
    MPQ_RETURN_IF_ERROR(ParallelFor(
        arguments.recipe.quantize.threads, images.count, [&](uint32_t i, uint32_t) -> Status {
          const Result<Image> image = dataset.Load(chosen[i], preprocessing);
          loaded[i] = image.status();
          if (image.ok()) {
            std::copy(image->rgb.begin(), image->rgb.end(),
                      images.pixels.begin() + static_cast<ptrdiff_t>(i * images.image_bytes()));
          }
          stage.Step();
          return Status();
        }));
  }
  const Status readable = LeaveOutUnreadable(loaded, images);
  if (!readable.ok()) return readable.WithContext(arguments.calibration);
  return images;
}

// The recipe's bits by layer with --layer on top, as rules that name the layers of `graph`.
Result<BitWidths> ResolveLayers(const Arguments& arguments, const Graph& graph) {
  const QuantizeOptions& options = arguments.recipe.quantize;
  const bool chosen = options.has_budget() || options.curve_points > 0;
  Result<BitWidths> widths = NameLayers(graph, options.bit_widths, chosen);
  if (!widths.ok()) return widths.status().WithContext(arguments.recipe_file);
  if (arguments.layer_rules.empty()) return widths;
  widths->layers.insert(widths->layers.end(), arguments.layer_rules.begin(),
                        arguments.layer_rules.end());
  Result<BitWidths> all = NameLayers(graph, *widths, chosen);
  if (!all.ok()) return all.status().WithContext("--layer");
  return all;
}

Result<Quantized> MakeFloat(ModelData model) {
  Quantized result;
  PrepareFloatModel(model);
  model.provenance.emplace_back("method", "float");
  MPQ_ASSIGN_OR_RETURN(result.size, MeasureSize(model));
  result.model = std::move(model);
  return result;
}

Result<Quantized> MakeInteger(const Arguments& arguments, ModelData model, Outcome& outcome) {
  PrepareIntegerModel(model);
  QuantizeOptions& options = outcome.recipe.quantize;
  MPQ_ASSIGN_OR_RETURN(options.bit_widths, ResolveLayers(arguments, model.graph));
  Dataset dataset;
  if (!arguments.calibration.empty()) MPQ_RETURN_IF_ERROR(dataset.Add(arguments.calibration));
  const std::vector<uint32_t> chosen =
      SampleIndices(static_cast<uint32_t>(dataset.size()), outcome.recipe.images, options.seed);
  // A dry run without a set reckons with as many as asked for.
  const uint32_t num_images =
      arguments.calibration.empty() ? outcome.recipe.images : static_cast<uint32_t>(chosen.size());
  MPQ_ASSIGN_OR_RETURN(outcome.calibration_memory, CheckMemory(arguments, model.graph, num_images));
  if (arguments.dry_run) return QuantizeDry(std::move(model), options, num_images);
  ProgressBar bar;
  const Progress progress = [&bar](const std::string& stage, uint64_t done, uint64_t total) {
    bar.Show(stage, done, total);
  };
  MPQ_ASSIGN_OR_RETURN(const CalibrationImages images,
                       LoadImages(arguments, dataset, chosen, model.preprocessing, progress));
  return Quantize(std::move(model), images, options, progress);
}

// What a file of the model is, in 16 hexadecimal digits.
Result<std::string> Digest(const ModelData& model) {
  MPQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> file, SerializeModel(model));
  return fmt::format("{:016x}", Checksum(file));
}

// The report of what was written.
Status WriteReportFile(const Arguments& arguments, Outcome& outcome) {
  MPQ_ASSIGN_OR_RETURN(const Model model, Model::Load(arguments.target));
  ReportInput input;
  input.source = arguments.source;
  input.target = arguments.target;
  input.model = &model;
  MPQ_ASSIGN_OR_RETURN(input.facts, InspectModel(model, arguments.target, 0, 0));
  input.float_bytes = outcome.bytes_before;
  input.agreement = outcome.quantized.agreement;
  input.observations = std::move(outcome.quantized.observations);
  for (const ParetoPoint& point : outcome.quantized.curve) {
    input.curve.push_back({"", point.file_bytes, point.agreement});
  }
  MPQ_ASSIGN_OR_RETURN(input.node_seconds, MeasureNodeSeconds(model));
  return WriteReport(ReportJson(input), arguments.report_file);
}

Result<Outcome> Run(const Arguments& arguments, ModelData model) {
  const Clock::time_point start = Clock::now();
  Outcome outcome;
  outcome.recipe = arguments.recipe;
  outcome.recipe.float_isa = FloatIsaName();
  {
    MPQ_ASSIGN_OR_RETURN(const SizeReport before, MeasureSize(model));
    outcome.bytes_before = before.file_bytes;
  }
  MPQ_ASSIGN_OR_RETURN(outcome.quantized, arguments.float_model
                                              ? MakeFloat(std::move(model))
                                              : MakeInteger(arguments, std::move(model), outcome));
  if (!arguments.curve_file.empty()) {
    MPQ_RETURN_IF_ERROR(WriteCurve(outcome.quantized, arguments.curve_file));
  }
  if (!arguments.new_recipe_file.empty()) {
    MPQ_RETURN_IF_ERROR(WriteRecipe(outcome.recipe, arguments.new_recipe_file));
  }
  if (!arguments.dry_run) {
    MPQ_RETURN_IF_ERROR(WriteModel(outcome.quantized.model, arguments.target));
    MPQ_ASSIGN_OR_RETURN(outcome.digest, Digest(outcome.quantized.model));
  }
  if (!arguments.report_file.empty()) {
    MPQ_RETURN_IF_ERROR(WriteReportFile(arguments, outcome));
  }
  outcome.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return outcome;
}

nlohmann::ordered_json ToJson(const Arguments& arguments, const Outcome& outcome) {
  const SizeReport& size = outcome.quantized.size;
  nlohmann::ordered_json json = {
      {"source", arguments.source},
      {"target", arguments.dry_run ? "" : arguments.target},
      {"method", arguments.float_model ? "float" : outcome.recipe.quantize.method},
      {"dry_run", arguments.dry_run},
      {"weights", size.num_weights},
      {"output_channels", size.num_channels},
      {"bytes_before", outcome.bytes_before},
      {"bytes", size.file_bytes},
      {"code_bytes", size.stream_bytes},
      {"nominal_bits_per_weight", size.nominal_bits_per_weight()},
      {"stored_bits_per_weight", size.stored_bits_per_weight()},
      {"file_bits_per_weight", size.file_bits_per_weight()},
      {"seconds", outcome.seconds},
      {"peak_memory_bytes", PeakMemory()},
  };
  if (!arguments.dry_run) json["digest"] = outcome.digest;
  if (!arguments.float_model) {
    json["calibration_memory_bytes"] = outcome.calibration_memory;
    json["recipe"] = RecipeToJson(outcome.recipe);
  }
  const Agreement& agreement = outcome.quantized.agreement;
  if (agreement.num_images > 0) {
    json["calibration"] = {{"images", agreement.num_images},
                           {"agreement", agreement.fraction()},
                           {"mean_kl", agreement.mean_kl},
                           {"logit_snr_db", agreement.signal_to_noise_db}};
  }
  return json;
}

void Print(const Arguments& arguments, const Outcome& outcome) {
  const SizeReport& size = outcome.quantized.size;
  fmt::print("{}{}\n", arguments.dry_run ? "would write " : "wrote ",
             arguments.target.empty() ? "a file" : arguments.target);
  fmt::print("size        {} bytes of {} as float ({:.2f} x smaller)\n", size.file_bytes,
             outcome.bytes_before,
             static_cast<double>(outcome.bytes_before) / static_cast<double>(size.file_bytes));
  fmt::print("weights     {}: {:.3f} bits each nominal, {:.3f} stored, {:.3f} with side data\n",
             size.num_weights, size.nominal_bits_per_weight(), size.stored_bits_per_weight(),
             size.file_bits_per_weight());
  const Agreement& agreement = outcome.quantized.agreement;
  if (agreement.num_images > 0) {
    fmt::print(
        "with float  {:.2f} % same class on {} calibration images, mean KL {:.5f}, "
        "logit SNR {:.1f} dB\n",
        100 * agreement.fraction(), agreement.num_images, agreement.mean_kl,
        agreement.signal_to_noise_db);
  }
  fmt::print("took        {:.1f} s, peak memory {:.0f} MB\n", outcome.seconds, PeakMegabytes());
  if (!arguments.dry_run) {
    fmt::print("digest      {}\n", outcome.digest);
  } else if (!arguments.float_model) {
    fmt::print("quantising would take about {:.0f} MB\n",
               static_cast<double>(outcome.calibration_memory) / 1e6);
  }
}

void AddPtilmpqOptions(CLI::App& app, PtilmpqOptions& p) {
  app.add_option("--alpha", p.alpha, "ptilmpq: from the smallest model, 0, to the most accurate, 1")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--alpha-mode",
         [&p](const std::string& name) {
           const Result<AlphaMode> mode = ParseAlphaMode(name);
           if (!mode.ok()) throw CLI::ValidationError("--alpha-mode", mode.status().message());
           p.mode = *mode;
         },
         "ptilmpq: alpha is the fraction of important channels, or weighs loss against size "
         "(lagrange)")
      ->default_str(AlphaModeName(p.mode));
  app.add_option("--low-bits", p.low_bits, "ptilmpq: of unimportant channels")
      ->check(CLI::Range(2, 5))
      ->capture_default_str();
  app.add_option("--high-bits", p.high_bits, "ptilmpq: of important channels")
      ->check(CLI::Range(3, 6))
      ->capture_default_str();
  app.add_flag("--data-free", p.data_free, "ptilmpq: importance from weights alone");
}

void AddOptions(CLI::App& app, Arguments& a) {
  QuantizeOptions& q = a.recipe.quantize;
  // CLI11 calls back in the order of these lines: all options below win over the recipe.
  app.add_option_function<std::string>(
      "--recipe",
      [&a](const std::string& path) {
        a.recipe_file = path;
        a.recipe_read = ReadRecipe(path, a.recipe);
      },
      "settings from a file, JSON; options given here win");
  app.add_option_function<std::string>(
      "--effort",
      [&a](const std::string& name) {
        const Status status = ApplyEffort(name, a.recipe);
        if (!status.ok()) throw CLI::ValidationError("--effort", status.message());
      },
      "fast, default or best: sets --images, --rounding and --views, which win over it");
  CLI::Option* dry_run =
      app.add_flag("--dry-run", a.dry_run, "predict the size; needs no images and writes no model");
  app.add_option("model", a.source, "float model, ONNX")->required();
  app.add_option("-o,--output", a.target, "file to write");
  app.add_option("--calibration", a.calibration, "folder of images, or a CIFAR-10 .bin file");
  app.add_option("--images", a.recipe.images, "calibration images to use; 0 takes all")
      ->capture_default_str();
  app.add_option("--preprocess", a.preprocess, "how images become the input, JSON");
  app.add_option("--labels", a.labels, "class names, one a line");
  app.add_option("--method", q.method,
                 "levels of the weights: uniform, two-region, learned (for each layer) or "
                 "ptilmpq")
      ->capture_default_str();
  AddPtilmpqOptions(app, q.method_options.ptilmpq);
  app.add_option("--weight-bits", q.bit_widths.weights, "bits of a weight")
      ->check(CLI::Range(1, 8))
      ->capture_default_str();
  app.add_option("--activation-bits", q.activation_bits, "bits of an activation")
      ->check(CLI::Range(2, 8))
      ->capture_default_str();
  app.add_option("--least-activation-bits", q.least_activation_bits,
                 "with --max-bops: choose from so many bits to --activation-bits for every "
                 "activation; 0: all get --activation-bits")
      ->check(CLI::Range(0, 8))
      ->capture_default_str();
  app.add_option("--first-bits", q.bit_widths.first, "of the first layer; 0: as --weight-bits")
      ->check(CLI::Range(0, 8))
      ->capture_default_str();
  app.add_option("--last-bits", q.bit_widths.last, "of the last layer; 0: as --weight-bits")
      ->check(CLI::Range(0, 8))
      ->capture_default_str();
  app.add_option("--layer", a.layers, "REGEX=BITS: layers by name; may be repeated, later ones win")
      ->allow_extra_args(false);
  AddByteSizeOption(
      app, "--target-size", q.target_bytes,
      "choose the bits of layers that no option names such that the file has at most so "
      "many bytes, e.g. 2.5MB")
      ->excludes(dry_run);
  app.add_option_function<double>(
         "--max-bops", [&q](double giga) { q.max_bit_operations = 1e9 * giga; },
         "the same for the bit operations of an image, in thousand millions (ptq-inspect shows "
         "them); beside --target-size both hold")
      ->check(CLI::PositiveNumber)
      ->excludes(dry_run)
      ->type_name("GBOPS");
  app.add_option(
         "--pareto", a.curve_file,
         "write the curve of accuracy against size, JSON: the best models of --method from 2 "
         "to 8 bits a layer, measured on the calibration images as first rounded")
      ->excludes(dry_run);
  app.add_option_function<std::string>(
         "--activation-range",
         [&q](const std::string& name) {
           const Result<RangeMethod> method = ParseRangeMethod(name);
           if (!method.ok())
             throw CLI::ValidationError("--activation-range", method.status().message());
           q.range_method = *method;
         },
         "minmax, percentile or mse")
      ->default_str(RangeMethodName(q.range_method));
  app.add_option_function<std::string>(
         "--rounding",
         [&q](const std::string& name) {
           const Result<Rounding> rounding = ParseRounding(name);
           if (!rounding.ok())
             throw CLI::ValidationError("--rounding", rounding.status().message());
           q.rounding = *rounding;
         },
         "nearest, gptq (second-order, column by column), or sequential (then again from the "
         "inputs "
         "that quantised layers give)")
      ->default_str(RoundingName(q.rounding));
  app.add_option("--views", q.views,
                 "views of every image (random parts, mirrored) that sequential rounding and "
                 "refinement learn from")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_flag("--match-variance,!--no-match-variance", q.match_variance,
               "with --rounding gptq: scales for which outputs vary as before, instead of those of "
               "the least error");
  app.add_flag("--equalize,!--no-equalize", q.equalize, "even out channels between convolutions");
  app.add_option("--refine-epochs", q.refinement.epochs,
                 "epochs of training block by block against the float model's blocks; 0: none")
      ->capture_default_str();
  app.add_option("--distill-epochs", q.distillation.epochs,
                 "epochs of training against the float model's logits; 0: none")
      ->capture_default_str();
  app.add_option("--cache", q.cache,
                 "folder that keeps what long stages find: an interrupted run goes on from there, "
                 "another target size begins there")
      ->type_name("FOLDER");
  app.add_option("--seed", q.seed, "chooses the calibration images")->capture_default_str();
  AddThreadsOption(app, q.threads);
  AddMemoryLimitOption(app, a.memory_limit)->description("refuse to calibrate with more, e.g. 2GB");
  app.add_option("--float-isa", a.recipe.float_isa,
                 "instruction set of the float backend, e.g. avx2")
      ->check([](const std::string& name) { return ParseIsa(name).status().message(); });
  CLI::Option* report =
      app.add_option("--report", a.report_file,
                     "write all there is to say about the result: a page (.html) or data (.json)")
          ->excludes(dry_run)
          ->type_name("FILE");
  CLI::Option* save = app.add_option("--save-recipe", a.new_recipe_file,
                                     "write the settings, layers by name, for --recipe");
  app.add_flag("--float", a.float_model, "write the float model, batch norms folded")
      ->excludes(save)
      ->excludes(report);
  app.add_flag("--json", a.json, "report as JSON on standard output");
}

// Rules between options that CLI11 does not know.
Status CheckArguments(Arguments& a) {
  for (const std::string& layer : a.layers) {
    Result<LayerBits> rule = LayerBits::Parse(layer);
    if (!rule.ok()) return rule.status().WithContext("--layer");
    a.layer_rules.push_back(*std::move(rule));
  }
  if (!a.curve_file.empty()) a.recipe.quantize.curve_points = kCurvePoints;
  MPQ_RETURN_IF_ERROR(MakeMethod(a.recipe.quantize.method).status());
  if (!a.report_file.empty()) {
    MPQ_RETURN_IF_ERROR(CheckReportPath(a.report_file));
    a.recipe.quantize.paper_layouts = true;
  }
  if (!a.dry_run && a.target.empty()) {
    return Error(ErrorCode::kInvalidArgument, "-o is missing: where to write the model");
  }
  if (!a.dry_run && !a.float_model && a.calibration.empty()) {
    return Error(ErrorCode::kInvalidArgument, "--calibration is missing: integer models need it");
  }
  return Status();
}

// Finds before the work what would make writing fail after it. Only regular files are replaced.
Status CheckTarget(const std::string& path) {
  namespace fs = std::filesystem;
  if (path.empty()) return Status();
  const fs::path parent = fs::path(path).parent_path();
  const fs::path folder = parent.empty() ? fs::path(".") : parent;
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return Error(ErrorCode::kIo, path, ": no such folder: ", folder.string());
  }
  if (access(folder.c_str(), W_OK) != 0) {
    return Error(ErrorCode::kIo, path, ": folder ", folder.string(), " cannot be written to");
  }
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) {
    return Error(ErrorCode::kIo, path, ": exists and is no regular file");
  }
  return Status();
}

Status CheckTargets(const Arguments& arguments) {
  MPQ_RETURN_IF_ERROR(CheckTarget(arguments.target));
  MPQ_RETURN_IF_ERROR(CheckTarget(arguments.new_recipe_file));
  MPQ_RETURN_IF_ERROR(CheckTarget(arguments.curve_file));
  MPQ_RETURN_IF_ERROR(CheckTarget(arguments.report_file));
  std::error_code error;
  if (std::filesystem::equivalent(arguments.source, arguments.target, error)) {
    return Error(ErrorCode::kInvalidArgument, arguments.target, ": is the model to be read");
  }
  return Status();
}

Result<Outcome> ImportAndRun(const Arguments& arguments) {
  MPQ_RETURN_IF_ERROR(CheckTargets(arguments));
  if (!arguments.recipe.float_isa.empty()) {
    const Status isa = SetFloatIsa(arguments.recipe.float_isa);
    if (!isa.ok() && !arguments.recipe_file.empty())
      return isa.WithContext(arguments.recipe_file + ": 'float_isa'");
    MPQ_RETURN_IF_ERROR(isa);
  }
  std::vector<std::string> notes;
  MPQ_ASSIGN_OR_RETURN(ModelData model, ImportModel(arguments, notes));
  for (const std::string& note : notes) fmt::print(stderr, "note: {}\n", note);
  return Run(arguments, std::move(model));
}

int Execute(const CLI::App& app, const Arguments& arguments) try {
  const Result<Outcome> outcome = ImportAndRun(arguments);
  if (!outcome.ok()) return ExitCode(app, outcome.status());
  PrintReport(
      arguments.json, [&] { return ToJson(arguments, *outcome); },
      [&] { Print(arguments, *outcome); });
  return kExitOk;
} catch (const std::bad_alloc&) {
  return ExitCode(app, Error(ErrorCode::kOutOfMemory, arguments.source, ": out of memory"));
}

int Main(int argc, char** argv) {
  Arguments arguments;
  arguments.recipe.quantize.threads = std::clamp(std::thread::hardware_concurrency(), 1u, 256u);
  CLI::App app("Quantises an ONNX image classifier into a .mpq file.", "ptq-quantize");
  SetUpApp(app, kExamples);
  AddOptions(app, arguments);
  const int exit_code = ParseCommandLine(app, argc, argv);
  if (exit_code >= 0) return exit_code;
  if (!arguments.recipe_read.ok()) return ExitCode(app, arguments.recipe_read);
  const Status usage = CheckArguments(arguments);
  if (!usage.ok()) {
    PrintError(app, usage);
    return kExitUsage;
  }
  return Execute(app, arguments);
}

}  // namespace
}  // namespace mpq

int main(int argc, char** argv) { return mpq::RunTool("ptq-quantize", mpq::Main, argc, argv); }
