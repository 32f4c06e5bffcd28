// bench: how fast models run and what they take. Every combination of model, threads and batch is
// one run: a fresh load, a warm-up, then inference for a given time.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/cli.h"
#include "apps/process_memory.h"
#include "bench/kernel_bench.h"
#include "engine/core/isa.h"
#include "mpq/model.h"
#include "mpq/session.h"

namespace mpq {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr const char* kExamples = R"(
Examples:
  bench model.mpq
  bench w4.mpq w8.mpq --threads 1,2 --batch 1,8 --seconds 3
  bench model.mpq --input 320x320 --profile
  bench --kernels --weight-bits 4 --json)";

struct Arguments {
  std::vector<std::string> models;
  std::vector<uint32_t> threads = {1};
  std::vector<uint32_t> batches = {1};
  double seconds = 2;
  bool kernels = false;
  int weight_bits = 4;
  bool json = false;
  SessionOptions session;
};

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// The value below which `fraction` of the sorted times lie.
double Percentile(const std::vector<double>& sorted, double fraction) {
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<size_t>(fraction * last + 0.5)];
}

// One run of one model. Times are of a whole batch, in milliseconds.
struct Measurement {
  std::string model;
  uint32_t threads = 1, batch = 1;
  std::string isa;
  double load_ms = 0;          // map, check, parse
  double first_result_ms = 0;  // from the start of loading to the first logits
  std::vector<double> sorted_ms;
  uint64_t file_bytes = 0, activation_bytes = 0;
  uint64_t loaded_memory = 0, peak_memory = 0;  // of the process
  std::vector<StepInfo> steps;
  std::vector<double> step_seconds;  // the shortest of each

  double median_ms() const { return Percentile(sorted_ms, 0.5); }
  double images_per_second() const { return 1e3 * batch / median_ms(); }
};

std::vector<uint8_t> TestPixels(size_t size) {
  std::vector<uint8_t> pixels(size);
  for (size_t i = 0; i < size; ++i) pixels[i] = static_cast<uint8_t>(i * 2654435761u >> 24);
  return pixels;
}

Status TimeRuns(Session& session, std::span<const uint8_t> pixels, double seconds,
                Measurement& result) {
  const Clock::time_point end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                                   std::chrono::duration<double>(seconds));
  for (const StepInfo& step : session.steps()) result.step_seconds.push_back(step.seconds);
  do {
    const Clock::time_point start = Clock::now();
    MPQ_RETURN_IF_ERROR(session.Run(pixels, result.batch));
    result.sorted_ms.push_back(MillisecondsSince(start));
    for (size_t i = 0; i < result.step_seconds.size(); ++i) {
      result.step_seconds[i] = std::min(result.step_seconds[i], session.steps()[i].seconds);
    }
  } while (Clock::now() < end);
  std::sort(result.sorted_ms.begin(), result.sorted_ms.end());
  return Status();
}

Result<Measurement> Measure(const Arguments& arguments, const std::string& path, uint32_t threads,
                            uint32_t batch) {
  Measurement result;
  result.model = path;
  result.threads = threads;
  result.batch = batch;
  ResetPeakMemory();
  const Clock::time_point start = Clock::now();
  MPQ_ASSIGN_OR_RETURN(const Model model, Model::Load(path));
  result.load_ms = MillisecondsSince(start);
  result.file_bytes = model.file_bytes();
  result.loaded_memory = ResidentMemory();
  SessionOptions options = arguments.session;
  options.threads = threads;
  options.batch = batch;
  MPQ_ASSIGN_OR_RETURN(Session session, Session::Create(model, options));
  result.activation_bytes = session.memory_bytes();
  result.isa = session.isa();
  const std::vector<uint8_t> pixels =
      TestPixels(size_t{batch} * session.height() * session.width() * model.input_channels());
  MPQ_RETURN_IF_ERROR(session.Run(pixels, batch));
  result.first_result_ms = MillisecondsSince(start);
  MPQ_RETURN_IF_ERROR(TimeRuns(session, pixels, arguments.seconds, result));
  result.peak_memory = PeakMemory();
  result.steps = session.steps();
  return result;
}

Json StepsJson(const Measurement& m) {
  Json steps = Json::array();
  for (size_t i = 0; i < m.steps.size(); ++i) {
    const StepInfo& step = m.steps[i];
    steps.push_back({{"node", step.node},
                     {"op", step.op},
                     {"kernel", step.kernel},
                     {"macs", step.macs},
                     {"min_ms", m.step_seconds[i] * 1e3},
                     {"fused", step.fused},
                     {"refusals", step.refusals}});
  }
  return steps;
}

Json ToJson(const Measurement& m, bool profile) {
  Json json = {{"model", m.model},
               {"threads", m.threads},
               {"batch", m.batch},
               {"isa", m.isa},
               {"runs", m.sorted_ms.size()},
               {"min_ms", m.sorted_ms.front()},
               {"median_ms", m.median_ms()},
               {"p95_ms", Percentile(m.sorted_ms, 0.95)},
               {"images_per_second", m.images_per_second()},
               {"load_ms", m.load_ms},
               {"first_result_ms", m.first_result_ms},
               {"file_bytes", m.file_bytes},
               {"activation_bytes", m.activation_bytes},
               {"loaded_memory_bytes", m.loaded_memory},
               {"peak_memory_bytes", m.peak_memory}};
  if (profile) json["profile"] = StepsJson(m);
  return json;
}

void PrintHeader() {
  fmt::print("{:>7} {:>5} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  {}\n", "threads",
             "batch", "min ms", "median", "p95", "images/s", "first ms", "file MB", "arena MB",
             "peak MB", "model (instruction set)");
}

void Print(const Measurement& m, bool profile) {
  fmt::print("{:7} {:5} {:9.3f} {:9.3f} {:9.3f} {:9.1f} {:9.2f} {:9.2f} {:9.2f} {:9.2f}  {} ({})\n",
             m.threads, m.batch, m.sorted_ms.front(), m.median_ms(), Percentile(m.sorted_ms, 0.95),
             m.images_per_second(), m.first_result_ms, static_cast<double>(m.file_bytes) / 1e6,
             static_cast<double>(m.activation_bytes) / 1e6,
             static_cast<double>(m.peak_memory) / 1e6, m.model, m.isa);
  if (!profile) return;
  for (size_t i = 0; i < m.steps.size(); ++i) {
    const StepInfo& step = m.steps[i];
    const double seconds = m.step_seconds[i];
    const double rate = seconds > 0 ? m.batch * static_cast<double>(step.macs) / seconds / 1e9 : 0;
    fmt::print("  {:8.3f} ms {:7.1f} GMAC/s  {:14} {:28} {}\n", seconds * 1e3, rate, step.op,
               step.kernel, step.node);
    if (!step.fused.empty()) fmt::print("{:30} fused: {}\n", "", step.fused);
    for (const std::string& refusal : step.refusals) fmt::print("{:30} not {}\n", "", refusal);
  }
}

Status BenchModels(const Arguments& arguments, Json& runs) {
  if (!arguments.json) PrintHeader();
  for (const std::string& path : arguments.models) {
    for (const uint32_t threads : arguments.threads) {
      for (const uint32_t batch : arguments.batches) {
        MPQ_ASSIGN_OR_RETURN(const Measurement m, Measure(arguments, path, threads, batch));
        if (arguments.json) {
          runs.push_back(ToJson(m, arguments.session.profile));
        } else {
          Print(m, arguments.session.profile);
        }
      }
    }
  }
  return Status();
}

Status BenchKernels(const Arguments& arguments, Json& kernels) {
  MPQ_ASSIGN_OR_RETURN(const Isa isa, arguments.session.isa.empty()
                                          ? DefaultIsa()
                                          : ParseIsa(arguments.session.isa));
  for (const KernelBenchShape& s : KernelBenchShapes()) {
    const KernelBenchResult r = KernelBench(s, arguments.weight_bits, isa, arguments.seconds / 10);
    const std::string shape = fmt::format("{}x{}x{} -> {} {}x{} /{}", s.size, s.size, s.in_channels,
                                          s.out_channels, s.kernel, s.kernel, s.stride);
    if (arguments.json) {
      kernels.push_back({{"network", s.network},
                         {"shape", shape},
                         {"kernel", r.kernel},
                         {"macs", r.macs},
                         {"median_us", r.microseconds},
                         {"min_us", r.best_microseconds},
                         {"gmacs_per_second", r.gmacs_per_second()}});
    } else {
      fmt::print("{:14} {:30} {:9.1f} us {:8.1f} GMAC/s  {}\n", s.network, shape, r.microseconds,
                 r.gmacs_per_second(), r.kernel);
    }
  }
  return Status();
}

std::string CpuName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

void AddOptions(CLI::App& app, Arguments& a) {
  app.add_option("models", a.models, "models to run (.mpq)");
  app.add_option("--threads", a.threads, "numbers of threads, e.g. 1,2")
      ->delimiter(',')
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--batch", a.batches, "numbers of images a run, e.g. 1,8")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--seconds", a.seconds, "time of each run")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  AddInputOption(app, a.session.height, a.session.width);
  AddIsaOption(app, a.session.isa);
  AddMemoryLimitOption(app, a.session.memory_limit);
  app.add_flag("--profile", a.session.profile, "shortest time of each step");
  app.add_flag("--kernels", a.kernels, "single convolutions of known networks instead of models");
  app.add_option("--weight-bits", a.weight_bits, "of --kernels")
      ->check(CLI::Range(2, 8))
      ->capture_default_str();
  app.add_flag("--json", a.json, "report as JSON on standard output");
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Measures the speed and memory of .mpq models.", "bench");
  SetUpApp(app, kExamples);
  AddOptions(app, arguments);
  const int exit_code = ParseCommandLine(app, argc, argv);
  if (exit_code >= 0) return exit_code;
  if (arguments.models.empty() != arguments.kernels) {
    PrintError(app, Status(ErrorCode::kInvalidArgument, "give models, or --kernels"));
    return kExitUsage;
  }
  Json report = {{"cpu", CpuName()}, {"runs", Json::array()}};
  if (!arguments.json) fmt::print("{}\n", CpuName());
  const Status status = arguments.kernels ? BenchKernels(arguments, report["runs"])
                                          : BenchModels(arguments, report["runs"]);
  if (!status.ok()) return ExitCode(app, status);
  if (arguments.json) PrintJson(report);
  return kExitOk;
}

}  // namespace
}  // namespace mpq

int main(int argc, char** argv) { return mpq::Main(argc, argv); }
