#include "apps/cli.h"

#include <fmt/core.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "engine/core/isa.h"
#include "engine/core/no_throw.h"
#include "format/message.h"

namespace mpq {
namespace {

// What a parser of ours says, as CLI11 wants it.
template <typename T>
T ValueOrThrow(const std::string& option, Result<T> result) {
  if (!result.ok()) throw CLI::ValidationError(option, result.status().message());
  return std::move(result).value();
}

}  // namespace

int RunTool(const char* name, int (*tool_main)(int argc, char** argv), int argc, char** argv) {
  const Result<int> code =
      WithoutThrowing(name, [&] { return Result<int>(tool_main(argc, argv)); });
  if (code.ok()) return *code;
  std::fprintf(stderr, "%s\n", code.status().message().c_str());
  return kExitFailure;
}

void SetUpApp(CLI::App& app, const char* examples) {
  app.footer(examples);
  app.set_version_flag("--version", app.get_name() + " " MPQ_VERSION);
  app.option_defaults()->always_capture_default();
}

int ParseCommandLine(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
    return -1;
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    PrintError(app, Error(ErrorCode::kInvalidArgument, error.what(), " (see --help)"));
    return kExitUsage;
  }
}

void PrintError(const CLI::App& app, const Status& status) {
  std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), status.message().c_str());
}

int ExitCode(const CLI::App& app, const Status& status) {
  if (status.ok()) return kExitOk;
  PrintError(app, status);
  return kExitFailure;
}

void PrintJson(const nlohmann::ordered_json& json) {
  fmt::print("{}\n", json.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

std::string Describe(const MemoryPlan& plan) {
  return fmt::format(
      "arena {} bytes (at least {}), scratch {} bytes x {} thread{}, together {} bytes",
      plan.arena_bytes, plan.arena_lower_bound, plan.scratch_bytes, plan.threads,
      plan.threads == 1 ? "" : "s", plan.total());
}

nlohmann::ordered_json MemoryPlanJson(const MemoryPlan& plan) {
  return {{"arena_bytes", plan.arena_bytes},
          {"arena_lower_bound", plan.arena_lower_bound},
          {"scratch_bytes_per_thread", plan.scratch_bytes},
          {"threads", plan.threads}};
}

void AddThreadsOption(CLI::App& app, uint32_t& threads) {
  app.add_option("--threads", threads, "threads to run with")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
}

void AddIsaOption(CLI::App& app, std::string& isa) {
  app.add_option_function<std::string>(
      "--isa",
      [&isa](const std::string& name) {
        ValueOrThrow("--isa", ParseIsa(name));
        isa = name;
      },
      "instruction set, e.g. avx2; best by default");
}

void AddInputOption(CLI::App& app, uint32_t& height, uint32_t& width) {
  app.add_option_function<std::string>(
         "--input",
         [&height, &width](const std::string& text) {
           std::tie(height, width) = ValueOrThrow("--input", ParseInputSize(text));
         },
         "size of the model's input in place of its own")
      ->type_name("HxW");
}

CLI::Option* AddByteSizeOption(CLI::App& app, const std::string& name, uint64_t& bytes,
                               const std::string& description) {
  return app
      .add_option_function<std::string>(
          name,
          [&bytes, name](const std::string& text) {
            bytes = ValueOrThrow(name, ParseByteSize(text));
          },
          description)
      ->type_name("SIZE");
}

CLI::Option* AddMemoryLimitOption(CLI::App& app, uint64_t& bytes) {
  return AddByteSizeOption(app, "--memory-limit", bytes,
                           "refuse to run with more for activations and scratch, e.g. 4MB");
}

Result<std::pair<uint32_t, uint32_t>> ParseInputSize(const std::string& text) {
  uint32_t height = 0, width = 0;
  const char* end = text.data() + text.size();
  const auto [x, first] = std::from_chars(text.data(), end, height);
  if (first == std::errc() && x != end && *x == 'x') {
    const auto [rest, second] = std::from_chars(x + 1, end, width);
    if (second == std::errc() && rest == end && height > 0 && width > 0) {
      return std::pair(height, width);
    }
  }
  return Error(ErrorCode::kInvalidArgument, "'", text, "' is no size like 224x224");
}

Result<uint64_t> ParseByteSize(const std::string& text) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {
      {"", 1},     {"B", 1},         {"kB", 1e3},      {"KB", 1e3},      {"MB", 1e6},
      {"GB", 1e9}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
  };
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  for (const auto& [name, factor] : kUnits) {
    const double bytes = std::floor(number * factor);
    if (error == std::errc() && unit == name && bytes >= 1 && bytes < 1e18) {
      return static_cast<uint64_t>(bytes);
    }
  }
  return Error(ErrorCode::kInvalidArgument, "'", text, "' is no size like 4MB or 512KiB");
}

}  // namespace mpq
