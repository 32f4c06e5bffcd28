// ptq-run: classifies images. Small in memory as well: an image is decoded, resized and freed
// before the session's arena exists.
#include <fmt/core.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/cli.h"
#include "apps/image_file.h"
#include "apps/npy_file.h"
#include "apps/process_memory.h"
#include "format/checksum.h"
#include "format/message.h"
#include "format/model_data.h"
#include "format/shape.h"
#include "format/system_error.h"
#include "mpq/image.h"
#include "mpq/model.h"
#include "mpq/session.h"

namespace mpq {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr const char* kExamples = R"(
Examples:
  ptq-run model.mpq cat.jpg
  ptq-run model.mpq photos/ more/dog.png --top-k 3 --json
  curl -s https://example.org/cat.jpg | ptq-run model.mpq -
  ptq-run model.mpq cat.jpg --input 192x256 --threads 2 --profile)";

struct Arguments {
  std::string model;
  std::vector<std::string> images;
  uint32_t top_k = 5;
  std::string dump_folder;
  bool json = false;
  bool hash = false;
  SessionOptions session;
};

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// What ptq-run says about one image.
struct Classification {
  std::string file;
  Status status;
  std::vector<std::pair<uint32_t, float>> best;  // class, probability
  double decode_ms = 0, run_ms = 0;
  std::string hash;
};

class Classifier {
 public:
  Classifier(const Arguments& arguments, Model model)
      : arguments_(arguments), model_(std::move(model)) {}

  Classification Classify(const std::string& file) {
    Classification result;
    result.file = file;
    result.status = Classify(file, result);
    return result;
  }
  const Model& model() const { return model_; }
  // There is one after the first image that could be read.
  const std::optional<Session>& session() const { return session_; }

 private:
  Status Classify(const std::string& file, Classification& result) {
    const Clock::time_point start = Clock::now();
    MPQ_ASSIGN_OR_RETURN(const Image input, ReadInput(file));
    result.decode_ms = MillisecondsSince(start);
    if (!session_) {
      MPQ_ASSIGN_OR_RETURN(session_, Session::Create(model_, arguments_.session));
      if (arguments_.session.profile && !arguments_.json) {
        fmt::print("memory plan: {}\n", Describe(session_->memory_plan()));
        std::fflush(stdout);  // before the run
      }
    }
    const Clock::time_point ready = Clock::now();
    MPQ_RETURN_IF_ERROR(session_->Run(input.rgb));
    result.run_ms = MillisecondsSince(ready);
    result.best = TopK(session_->Probabilities(), arguments_.top_k);
    if (arguments_.hash) result.hash = LogitsHash();
    return arguments_.dump_folder.empty() ? Status() : DumpTensors(file);
  }

  Result<Image> ReadInput(const std::string& file) const {
    MPQ_ASSIGN_OR_RETURN(const DecodedImage decoded, ReadImageFile(file, Orientation::kApply));
    const SessionOptions& options = arguments_.session;
    Result<Image> input = Preprocess(model_, decoded.view(), options.height, options.width);
    if (!input.ok()) return input.status().WithContext(file);
    return input;
  }

  std::string LogitsHash() const {
    std::vector<uint8_t> bytes;
    for (int16_t logit : session_->integer_logits()) {
      bytes.push_back(static_cast<uint8_t>(logit & 0xff));
      bytes.push_back(static_cast<uint8_t>(logit >> 8 & 0xff));
    }
    return fmt::format("{:016x}", Checksum(bytes));
  }

  // DIR/<image's name>/<number>_<tensor's name>.npy, real numbers [height][width][channels].
  Status DumpTensors(const std::string& file) const {
    const std::string name = file.substr(file.find_last_of('/') + 1);
    const std::string folder = arguments_.dump_folder + "/" + name;
    for (const std::string& path : {arguments_.dump_folder, folder}) {
      if (mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) {
        return SystemError(path);
      }
    }
    const Graph& graph = model_.data().graph;
    MPQ_ASSIGN_OR_RETURN(const std::vector<Shape> shapes,
                         InferShapes(graph, session_->height(), session_->width()));
    for (uint32_t i = 0; i < graph.tensors.size(); ++i) {
      MPQ_ASSIGN_OR_RETURN(const std::vector<float> values, session_->ReadTensor(i));
      std::string tensor = graph.tensors[i].name;
      std::replace(tensor.begin(), tensor.end(), '/', '_');
      const uint32_t shape[] = {shapes[i].height, shapes[i].width, shapes[i].channels};
      MPQ_RETURN_IF_ERROR(
          WriteNpy(fmt::format("{}/{:03}_{}.npy", folder, i, tensor), shape, values));
    }
    return Status();
  }

  const Arguments& arguments_;
  Model model_;
  std::optional<Session> session_;
};

std::string LabelOf(const Model& model, uint32_t class_index) {
  return class_index < model.labels().size() ? model.labels()[class_index] : "";
}

Json ToJson(const Model& model, const Classification& result) {
  if (!result.status.ok()) return {{"file", result.file}, {"error", result.status.message()}};
  Json classes = Json::array();
  for (const auto& [class_index, probability] : result.best) {
    classes.push_back({{"class", class_index},
                       {"label", LabelOf(model, class_index)},
                       {"probability", probability}});
  }
  Json json = {{"file", result.file},
               {"classes", std::move(classes)},
               {"decode_ms", result.decode_ms},
               {"run_ms", result.run_ms}};
  if (!result.hash.empty()) json["hash"] = result.hash;
  return json;
}

void Print(const Model& model, const Classification& result) {
  fmt::print("{}\n", result.file);
  for (const auto& [class_index, probability] : result.best) {
    fmt::print("  {:6.2f} %  {:4}  {}\n", 100 * probability, class_index,
               LabelOf(model, class_index));
  }
  if (!result.hash.empty()) fmt::print("  hash {}\n", result.hash);
  fmt::print("  {:.2f} ms, and {:.2f} ms to read and resize\n", result.run_ms, result.decode_ms);
}

Json ProfileJson(const Session& session) {
  Json steps = Json::array();
  for (const StepInfo& step : session.steps()) {
    steps.push_back({{"node", step.node},
                     {"op", step.op},
                     {"kernel", step.kernel},
                     {"macs", step.macs},
                     {"ms", step.seconds * 1e3},
                     {"fused", step.fused},
                     {"refusals", step.refusals}});
  }
  return steps;
}

void PrintProfile(const Session& session) {
  fmt::print("{:>8} {:>7}  {:14} {:26} {}\n", "ms", "GMAC/s", "operator", "kernel", "node");
  for (const StepInfo& step : session.steps()) {
    const double rate = step.seconds > 0 ? static_cast<double>(step.macs) / step.seconds / 1e9 : 0;
    fmt::print("{:8.3f} {:7.1f}  {:14} {:26} {}\n", step.seconds * 1e3, rate, step.op, step.kernel,
               step.node);
  }
}

void PrintSummary(const Classifier& classifier, const Arguments& arguments) {
  if (!classifier.session()) return;
  const Session& session = *classifier.session();
  if (arguments.session.profile) PrintProfile(session);
  fmt::print("peak memory {:.2f} MB (model file {:.2f}, activations {:.2f}), {}, {} thread{}\n",
             static_cast<double>(PeakMemory()) / 1e6,
             static_cast<double>(classifier.model().file_bytes()) / 1e6,
             static_cast<double>(session.memory_bytes()) / 1e6, session.isa(),
             arguments.session.threads, arguments.session.threads == 1 ? "" : "s");
}

Json SummaryJson(const Classifier& classifier, const Arguments& arguments, double load_ms) {
  Json json = {{"model", arguments.model},
               {"file_bytes", classifier.model().file_bytes()},
               {"load_ms", load_ms},
               {"threads", arguments.session.threads}};
  if (classifier.session()) {
    const Session& session = *classifier.session();
    json["isa"] = session.isa();
    json["input"] = {session.height(), session.width()};
    json["activation_bytes"] = session.memory_bytes();
    json["memory_plan"] = MemoryPlanJson(session.memory_plan());
    if (arguments.session.profile) json["profile"] = ProfileJson(session);
  }
  json["peak_memory_bytes"] = PeakMemory();
  return json;
}

void AddOptions(CLI::App& app, Arguments& a) {
  app.add_option("model", a.model, "model to run (.mpq)")->required();
  app.add_option("images", a.images,
                 "images (JPEG, PNG, BMP, PPM), folders of images, - for standard input")
      ->required();
  app.add_option("--top-k", a.top_k, "classes to show")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_flag("--json", a.json, "report as JSON on standard output");
  AddThreadsOption(app, a.session.threads);
  AddIsaOption(app, a.session.isa);
  AddInputOption(app, a.session.height, a.session.width);
  AddMemoryLimitOption(app, a.session.memory_limit);
  app.add_flag("--profile", a.session.profile, "time of each step, for the last image");
  app.add_option("--dump-tensors", a.dump_folder, "write every tensor as NumPy file into DIR")
      ->type_name("DIR");
  app.add_flag("--hash", a.hash, "digest of the integer logits (XXH3): equal on every machine");
}

#ifdef MPQ_FLOAT_PROGRAM
// This program is linked statically, which saves the loader's time and the pages of the C library,
// but cannot open the module for float models. A dynamically linked one beside it takes over.
// Returns if it is not there.
void RunFloatProgram(char** argv) {
  char path[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  if (length <= 0 || length == sizeof path) return;
  std::string program(path, static_cast<size_t>(length));
  program.replace(program.rfind('/') + 1, std::string::npos, MPQ_FLOAT_PROGRAM);
  execv(program.c_str(), argv);
}
#else
void RunFloatProgram(char**) {}
#endif

int Run(const CLI::App& app, const Arguments& arguments, char** argv) {
  const Clock::time_point start = Clock::now();
  Result<Model> model = Model::Load(arguments.model);
  if (!model.ok()) return ExitCode(app, model.status());
  if (!model->is_integer()) RunFloatProgram(argv);
  if (arguments.hash && !model->is_integer()) {
    return ExitCode(app, Error(ErrorCode::kUnsupported, arguments.model,
                               ": --hash needs an integer model; float logits differ between "
                               "machines"));
  }
  const double load_ms = MillisecondsSince(start);
  Classifier classifier(arguments, *std::move(model));

  bool failed = false;
  Json images = Json::array();
  const auto report = [&](const Classification& result) {
    if (!result.status.ok()) PrintError(app, result.status);
    failed |= !result.status.ok();
    if (arguments.json) {
      images.push_back(ToJson(classifier.model(), result));
    } else if (result.status.ok()) {
      Print(classifier.model(), result);
    }
  };
  for (const std::string& argument : arguments.images) {
    const Result<std::vector<std::string>> files = ListImages(argument);
    if (!files.ok()) {
      report({argument, files.status(), {}, 0, 0, ""});
      continue;
    }
    for (const std::string& file : *files) report(classifier.Classify(file));
  }
  PrintReport(
      arguments.json,
      [&] {
        Json json = SummaryJson(classifier, arguments, load_ms);
        json["images"] = std::move(images);
        return json;
      },
      [&] { PrintSummary(classifier, arguments); });
  return failed ? kExitFailure : kExitOk;
}

int Main(int argc, char** argv) {
  // Blocks of this size go back to the system when freed, so a decoded image does not add to the
  // arena; without it glibc raises the threshold at the first such block.
  mallopt(M_MMAP_THRESHOLD, 64 << 10);
  Arguments arguments;
  CLI::App app("Classifies images with a .mpq model.", "ptq-run");
  SetUpApp(app, kExamples);
  AddOptions(app, arguments);
  const int exit_code = ParseCommandLine(app, argc, argv);
  if (exit_code >= 0) return exit_code;
  arguments.session.keep_tensors = !arguments.dump_folder.empty();
  return Run(app, arguments, argv);
}

}  // namespace
}  // namespace mpq

int main(int argc, char** argv) { return mpq::RunTool("ptq-run", mpq::Main, argc, argv); }
