// bench: how fast models run and what they take. Every combination of model, threads and batch is
// one run: a fresh load, a warm-up, then inference for a given time.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/cli.h"
#include "bench/kernel_bench.h"
#include "bench/model_bench.h"
#include "bench/peak.h"
#include "engine/core/isa.h"
#include "mpq/session.h"

namespace mpq {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExamples = R"(
Examples:
  bench model.mpq
  bench w4.mpq w8.mpq --threads 1,2 --batch 1,8 --seconds 3
  bench model.mpq --streams 2
  bench model.mpq --input 320x320 --profile
  bench --kernels bench/shapes/resnet50.txt --weight-bits 2,4,8)";

struct Arguments {
  std::vector<std::string> files;
  std::vector<uint32_t> threads = {1};
  std::vector<uint32_t> batches = {1};
  uint32_t streams = 1;
  double seconds = 2;
  bool kernels = false;
  std::vector<int> weight_bits = {4};
  bool json = false;
  SessionOptions session;
};

// GMAC/s of each step over all images of the batch; 0 for steps that multiply nothing.
double StepRate(const ModelMeasurement& m, size_t step) {
  const double seconds = m.step_seconds[step];
  return seconds > 0 ? m.batch * static_cast<double>(m.steps[step].macs) / seconds : 0;
}

Json StepsJson(const ModelMeasurement& m, const MultiplyPeak& peak) {
  Json steps = Json::array();
  for (size_t i = 0; i < m.steps.size(); ++i) {
    const StepInfo& step = m.steps[i];
    steps.push_back({{"node", step.node},
                     {"op", step.op},
                     {"kernel", step.kernel},
                     {"macs", step.macs},
                     {"min_ms", m.step_seconds[i] * 1e3},
                     {"peak_percent", peak.Percent(StepRate(m, i), m.threads)},
                     {"fused", step.fused},
                     {"refusals", step.refusals}});
  }
  return steps;
}

Json ToJson(const ModelMeasurement& m, const MultiplyPeak& peak, bool profile) {
  Json json = {{"model", m.model},
               {"streams", m.streams},
               {"threads", m.threads},
               {"batch", m.batch},
               {"isa", m.isa},
               {"runs", m.sorted_ms.size()},
               {"min_ms", m.sorted_ms.front()},
               {"median_ms", m.Percentile(0.5)},
               {"p90_ms", m.Percentile(0.9)},
               {"p95_ms", m.Percentile(0.95)},
               {"p99_ms", m.Percentile(0.99)},
               {"images_per_second", m.images_per_second},
               {"macs", m.macs()},
               {"peak_macs_per_second", peak.macs_per_second},
               {"peak_instruction", peak.instruction},
               {"peak_percent", peak.Percent(m.mac_rate(), m.streams * m.threads)},
               {"load_ms", m.load_ms},
               {"first_result_ms", m.first_result_ms},
               {"file_bytes", m.file_bytes},
               {"activation_bytes", m.activation_bytes},
               {"loaded_memory_bytes", m.memory.loaded},
               {"session_memory_bytes", m.memory.session},
               {"first_run_memory_bytes", m.memory.first_run},
               {"peak_memory_bytes", m.memory.peak}};
  if (profile) json["profile"] = StepsJson(m, peak);
  return json;
}

void PrintHeader() {
  fmt::print("{:>7} {:>7} {:>5} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>8} {:>8} {:>8}  {}\n",
             "streams", "threads", "batch", "min ms", "p50", "p90", "p95", "p99", "images/s",
             "peak %", "first ms", "file MB", "arena MB", "resident MB: load session run peak");
}

void PrintSteps(const ModelMeasurement& m, const MultiplyPeak& peak) {
  for (size_t i = 0; i < m.steps.size(); ++i) {
    const StepInfo& step = m.steps[i];
    const double rate = StepRate(m, i);
    fmt::print("  {:8.3f} ms {:7.1f} GMAC/s {:3.0f} %  {:14} {:28} {}\n", m.step_seconds[i] * 1e3,
               rate * 1e-9, peak.Percent(rate, m.threads), step.op, step.kernel, step.node);
    if (!step.fused.empty()) fmt::print("{:36} fused: {}\n", "", step.fused);
    for (const std::string& refusal : step.refusals) fmt::print("{:36} not {}\n", "", refusal);
  }
}

void Print(const ModelMeasurement& m, const MultiplyPeak& peak, bool profile) {
  const auto mb = [](uint64_t bytes) { return static_cast<double>(bytes) * 1e-6; };
  fmt::print(
      "{:7} {:7} {:5} {:8.3f} {:8.3f} {:8.3f} {:8.3f} {:8.3f} {:8.1f} {:6.1f} {:8.2f} {:8.2f} "
      "{:8.2f}  {:.2f} {:.2f} {:.2f} {:.2f}  {} ({})\n",
      m.streams, m.threads, m.batch, m.sorted_ms.front(), m.Percentile(0.5), m.Percentile(0.9),
      m.Percentile(0.95), m.Percentile(0.99), m.images_per_second,
      peak.Percent(m.mac_rate(), m.streams * m.threads), m.first_result_ms, mb(m.file_bytes),
      mb(m.activation_bytes), mb(m.memory.loaded), mb(m.memory.session), mb(m.memory.first_run),
      mb(m.memory.peak), m.model, m.isa);
  if (profile) PrintSteps(m, peak);
}

Status BenchModels(const Arguments& arguments, const MultiplyPeak& peak, Json& runs) {
  if (!arguments.json) PrintHeader();
  SessionOptions options = arguments.session;
  for (const std::string& path : arguments.files) {
    for (const uint32_t threads : arguments.threads) {
      for (const uint32_t batch : arguments.batches) {
        options.threads = threads;
        options.batch = batch;
        MPQ_ASSIGN_OR_RETURN(const ModelMeasurement m,
                             MeasureModel(path, options, arguments.streams, arguments.seconds));
        if (arguments.json) {
          runs.push_back(ToJson(m, peak, options.profile));
        } else {
          Print(m, peak, options.profile);
        }
      }
    }
  }
  return Status();
}

// All layers of one file: every shape as often as the network has it.
struct LayerTotal {
  double macs = 0, seconds = 0;

  void Add(uint32_t count, const KernelBenchResult& r) {
    macs += count * static_cast<double>(r.macs);
    seconds += count * r.min_us * 1e-6;
  }
  double rate() const { return macs / seconds; }
};

void BenchShapes(const std::vector<LayerShape>& shapes, const std::string& file, int bits,
                 const Arguments& arguments, const MultiplyPeak& peak, Json& runs) {
  LayerTotal total;
  Json layers = Json::array();
  if (!arguments.json) fmt::print("{}, {} bits\n", file, bits);
  for (const LayerShape& shape : shapes) {
    const KernelBenchResult r = KernelBench(shape, bits, peak.isa, arguments.seconds / 10);
    total.Add(shape.count, r);
    const double rate = static_cast<double>(r.macs) / r.min_us * 1e6;
    if (arguments.json) {
      layers.push_back({{"shape", shape.Name()},
                        {"count", shape.count},
                        {"kernel", r.kernel},
                        {"macs", r.macs},
                        {"min_us", r.min_us},
                        {"median_us", r.median_us},
                        {"macs_per_second", rate},
                        {"peak_percent", peak.Percent(rate)}});
    } else {
      fmt::print("{:4} x {:32} {:9.1f} us {:7.1f} GMAC/s {:3.0f} %  {}\n", shape.count,
                 shape.Name(), r.min_us, rate * 1e-9, peak.Percent(rate), r.kernel);
    }
  }
  if (arguments.json) {
    runs.push_back({{"shapes", file},
                    {"weight_bits", bits},
                    {"macs", total.macs},
                    {"min_ms", total.seconds * 1e3},
                    {"macs_per_second", total.rate()},
                    {"peak_macs_per_second", peak.macs_per_second},
                    {"peak_percent", peak.Percent(total.rate())},
                    {"layers", layers}});
  } else {
    fmt::print("{:39} {:9.1f} us {:7.1f} GMAC/s {:3.0f} %\n", "all layers", total.seconds * 1e6,
               total.rate() * 1e-9, peak.Percent(total.rate()));
  }
}

Status BenchKernels(const Arguments& arguments, const MultiplyPeak& peak, Json& runs) {
  for (const std::string& file : arguments.files) {
    MPQ_ASSIGN_OR_RETURN(const std::vector<LayerShape> shapes, ReadLayerShapes(file));
    for (const int bits : arguments.weight_bits) {
      BenchShapes(shapes, file, bits, arguments, peak, runs);
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

Status Bench(const Arguments& arguments, Json& runs) {
  MPQ_ASSIGN_OR_RETURN(const Isa isa, arguments.session.isa.empty()
                                          ? DefaultIsa()
                                          : ParseIsa(arguments.session.isa));
  const MultiplyPeak peak = MeasurePeak(isa);
  if (!arguments.json) {
    fmt::print("{}; peak of {} {:.1f} GMAC/s a thread ({})\n", CpuName(), IsaName(isa),
               peak.macs_per_second * 1e-9, peak.instruction);
  }
  return arguments.kernels ? BenchKernels(arguments, peak, runs)
                           : BenchModels(arguments, peak, runs);
}

// The roofs of docs/performance.md: what a core reads from its second-level cache and from memory.
Json ReadRates() {
  return {{"l2", MeasureReadRate(size_t{512} << 10)},
          {"memory", MeasureReadRate(size_t{256} << 20)}};
}

void AddOptions(CLI::App& app, Arguments& a) {
  app.add_option("files", a.files, "models to run (.mpq), or with --kernels lists of shapes (.txt)")
      ->required();
  app.add_option("--threads", a.threads, "numbers of threads, e.g. 1,2")
      ->delimiter(',')
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--batch", a.batches, "numbers of images a run, e.g. 1,8")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--streams", a.streams, "sessions that run at once, each on threads of its own")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--seconds", a.seconds, "time of each run")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  AddInputOption(app, a.session.height, a.session.width);
  AddIsaOption(app, a.session.isa);
  AddMemoryLimitOption(app, a.session.memory_limit);
  app.add_flag("--profile", a.session.profile, "shortest time of each step");
  app.add_flag("--kernels", a.kernels, "single convolutions on one thread instead of models");
  app.add_option("--weight-bits", a.weight_bits, "of --kernels, e.g. 2,4,8")
      ->delimiter(',')
      ->check(CLI::Range(1, 8))
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
  Json report = {{"cpu", CpuName()}, {"runs", Json::array()}};
  if (arguments.session.profile && arguments.json) report["read_bytes_per_second"] = ReadRates();
  const Status status = Bench(arguments, report["runs"]);
  if (!status.ok()) return ExitCode(app, status);
  if (arguments.json) PrintJson(report);
  return kExitOk;
}

}  // namespace
}  // namespace mpq

int main(int argc, char** argv) { return mpq::RunTool("bench", mpq::Main, argc, argv); }
