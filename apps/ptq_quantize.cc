// ptq-quantize: from an ONNX model to a .mpq file.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "apps/cli.h"
#include "apps/dataset.h"
#include "apps/preprocess_json.h"
#include "apps/process_memory.h"
#include "apps/progress_bar.h"
#include "engine/core/float_executor.h"
#include "format/checksum.h"
#include "format/message.h"
#include "format/writer.h"
#include "quantize/import/onnx_import.h"
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
      --layer '^stem=8' --last-bits 8
  ptq-quantize model.onnx --weight-bits 4 --dry-run
  ptq-quantize model.onnx -o float.mpq --float --preprocess model.preprocess.json)";

struct Arguments {
  std::string source;
  std::string target;
  std::string calibration;
  std::string preprocess;
  std::string labels;
  std::vector<std::string> layers;
  std::string range = RangeMethodName(RangeMethod::kSquaredError);
  std::string float_isa;
  uint32_t images = 256;
  bool float_model = false;
  bool dry_run = false;
  bool json = false;
  QuantizeOptions quantize;
};

Status ParseRangeMethod(const std::string& name, RangeMethod& method) {
  for (const RangeMethod candidate :
       {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kSquaredError}) {
    if (name != RangeMethodName(candidate)) continue;
    method = candidate;
    return Status();
  }
  return Error(ErrorCode::kInvalidArgument, "--activation-range '", name,
               "': expected minmax, percentile or mse");
}

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
    notes.push_back(
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
  uint64_t bytes_before = 0;  // of the imported file's weights as floats
  double seconds = 0;
  bool is_float = false;
};

double PeakMegabytes() { return static_cast<double>(PeakMemory()) / 1e6; }

// `count` images of the set at `path`, chosen by the seed; all if count is 0.
Result<CalibrationImages> LoadImages(const Arguments& arguments, const Preprocessing& preprocessing,
                                     const Progress& progress) {
  Dataset dataset;
  MPQ_RETURN_IF_ERROR(dataset.Add(arguments.calibration));
  const std::vector<uint32_t> chosen = SampleIndices(static_cast<uint32_t>(dataset.size()),
                                                     arguments.images, arguments.quantize.seed);
  CalibrationImages images{static_cast<uint32_t>(chosen.size()),
                           preprocessing.crop_height,
                           preprocessing.crop_width,
                           {}};
  images.pixels.resize(images.count * images.image_bytes());
  ProgressStage stage(progress, "load images", images.count);
  MPQ_RETURN_IF_ERROR(
      ParallelFor(arguments.quantize.threads, images.count, [&](uint32_t i, uint32_t) -> Status {
        MPQ_ASSIGN_OR_RETURN(const Image image, dataset.Load(chosen[i], preprocessing));
        std::copy(image.rgb.begin(), image.rgb.end(),
                  images.pixels.begin() + static_cast<ptrdiff_t>(i * images.image_bytes()));
        stage.Step();
        return Status();
      }));
  return images;
}

Result<Outcome> Run(const Arguments& arguments, ModelData model) {
  const Clock::time_point start = Clock::now();
  Outcome outcome;
  {
    MPQ_ASSIGN_OR_RETURN(const SizeReport before, MeasureSize(model));
    outcome.bytes_before = before.file_bytes;
  }
  if (arguments.float_model) {
    PrepareFloatModel(model);
    model.provenance.emplace_back("method", "float");
    outcome.is_float = true;
    MPQ_ASSIGN_OR_RETURN(outcome.quantized.size, MeasureSize(model));
    outcome.quantized.model = std::move(model);
  } else if (arguments.dry_run) {
    MPQ_ASSIGN_OR_RETURN(outcome.quantized, QuantizeDry(std::move(model), arguments.quantize));
  } else {
    ProgressBar bar;
    const Progress progress = [&bar](const std::string& stage, uint64_t done, uint64_t total) {
      bar.Show(stage, done, total);
    };
    MPQ_ASSIGN_OR_RETURN(const CalibrationImages images,
                         LoadImages(arguments, model.preprocessing, progress));
    MPQ_ASSIGN_OR_RETURN(outcome.quantized,
                         Quantize(std::move(model), images, arguments.quantize, progress));
  }
  if (!arguments.dry_run) {
    MPQ_RETURN_IF_ERROR(WriteModel(outcome.quantized.model, arguments.target));
  }
  outcome.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return outcome;
}

// What a file of the model is, in 16 hexadecimal digits.
Result<std::string> Digest(const ModelData& model) {
  MPQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> file, SerializeModel(model));
  return fmt::format("{:016x}", Checksum(file));
}

nlohmann::ordered_json ToJson(const Arguments& arguments, const Outcome& outcome,
                              const std::string& digest) {
  const SizeReport& size = outcome.quantized.size;
  nlohmann::ordered_json json = {
      {"source", arguments.source},
      {"target", arguments.dry_run ? "" : arguments.target},
      {"method", outcome.is_float ? "float" : arguments.quantize.method},
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
      {"digest", digest},
  };
  const Agreement& agreement = outcome.quantized.agreement;
  if (agreement.num_images > 0) {
    json["calibration"] = {{"images", agreement.num_images},
                           {"agreement", agreement.fraction()},
                           {"mean_kl", agreement.mean_kl},
                           {"logit_snr_db", agreement.signal_to_noise_db}};
  }
  return json;
}

void PrintReport(const Arguments& arguments, const Outcome& outcome, const std::string& digest) {
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
  fmt::print("digest      {}\n", digest);
}

void AddOptions(CLI::App& app, Arguments& a) {
  QuantizeOptions& q = a.quantize;
  app.add_option("model", a.source, "float model, ONNX")->required();
  app.add_option("-o,--output", a.target, "file to write");
  app.add_option("--calibration", a.calibration, "folder of images, or a CIFAR-10 .bin file");
  app.add_option("--images", a.images, "calibration images to use; 0 takes all")
      ->capture_default_str();
  app.add_option("--preprocess", a.preprocess, "how images become the input, JSON");
  app.add_option("--labels", a.labels, "class names, one a line");
  app.add_option("--method", q.method, "quantisation method: uniform")->capture_default_str();
  app.add_option("--weight-bits", q.bit_widths.weights, "bits of a weight")
      ->check(CLI::Range(1, 8))
      ->capture_default_str();
  app.add_option("--activation-bits", q.activation_bits, "bits of an activation")
      ->check(CLI::Range(2, 8))
      ->capture_default_str();
  app.add_option("--first-bits", q.bit_widths.first, "of the first layer; 0: as --weight-bits")
      ->check(CLI::Range(0, 8))
      ->capture_default_str();
  app.add_option("--last-bits", q.bit_widths.last, "of the last layer; 0: as --weight-bits")
      ->check(CLI::Range(0, 8))
      ->capture_default_str();
  app.add_option("--layer", a.layers, "REGEX=BITS: layers by name; may be repeated, later ones win")
      ->allow_extra_args(false);
  app.add_option("--activation-range", a.range, "minmax, percentile or mse")->capture_default_str();
  app.add_flag("--equalize", q.equalize, "even out channels between convolutions");
  app.add_option("--bias-images", q.bias_images,
                 "images to run for correcting biases layer by layer; 0: from weights alone")
      ->capture_default_str();
  app.add_option("--seed", q.seed, "chooses the calibration images")->capture_default_str();
  AddThreadsOption(app, q.threads);
  app.add_option("--float-isa", a.float_isa, "instruction set of the float backend, e.g. avx2");
  app.add_flag("--float", a.float_model, "write the float model, batch norms folded");
  app.add_flag("--dry-run", a.dry_run, "predict the size; needs no images and writes nothing");
  app.add_flag("--json", a.json, "report as JSON on standard output");
}

// Rules between options that CLI11 does not know.
Status CheckArguments(Arguments& a) {
  MPQ_RETURN_IF_ERROR(ParseRangeMethod(a.range, a.quantize.range_method));
  for (const std::string& layer : a.layers) {
    Result<LayerBits> rule = LayerBits::Parse(layer);
    if (!rule.ok()) return rule.status().WithContext("--layer");
    a.quantize.bit_widths.layers.push_back(*std::move(rule));
  }
  MPQ_RETURN_IF_ERROR(MakeMethod(a.quantize.method).status());
  if (!a.dry_run && a.target.empty()) {
    return Error(ErrorCode::kInvalidArgument, "-o is missing: where to write the model");
  }
  if (!a.dry_run && !a.float_model && a.calibration.empty()) {
    return Error(ErrorCode::kInvalidArgument, "--calibration is missing: integer models need it");
  }
  return Status();
}

int Execute(const CLI::App& app, const Arguments& arguments) {
  if (!arguments.float_isa.empty()) {
    const Status isa = SetFloatIsa(arguments.float_isa);
    if (!isa.ok()) return ExitCode(app, isa);
  }
  std::vector<std::string> notes;
  Result<ModelData> model = ImportModel(arguments, notes);
  if (!model.ok()) return ExitCode(app, model.status());
  for (const std::string& note : notes) fmt::print(stderr, "note: {}\n", note);
  const Result<Outcome> outcome = Run(arguments, *std::move(model));
  if (!outcome.ok()) return ExitCode(app, outcome.status());
  const Result<std::string> digest = Digest(outcome->quantized.model);
  if (!digest.ok()) return ExitCode(app, digest.status());
  if (arguments.json) {
    fmt::print("{}\n", ToJson(arguments, *outcome, *digest).dump(1));
  } else {
    PrintReport(arguments, *outcome, *digest);
  }
  return kExitOk;
}

int Main(int argc, char** argv) {
  Arguments arguments;
  arguments.quantize.threads = std::clamp(std::thread::hardware_concurrency(), 1u, 256u);
  CLI::App app("Quantises an ONNX image classifier into a .mpq file.", "ptq-quantize");
  SetUpApp(app, kExamples);
  AddOptions(app, arguments);
  const int exit_code = ParseCommandLine(app, argc, argv);
  if (exit_code >= 0) return exit_code;
  const Status usage = CheckArguments(arguments);
  if (!usage.ok()) {
    PrintError(app, usage);
    return kExitUsage;
  }
  return Execute(app, arguments);
}

}  // namespace
}  // namespace mpq

int main(int argc, char** argv) { return mpq::Main(argc, argv); }
