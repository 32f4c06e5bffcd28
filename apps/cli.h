// The habits that all command-line tools share: exit codes, error lines, sizes in arguments.
#ifndef MPQ_APPS_CLI_H_
#define MPQ_APPS_CLI_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "mpq/session.h"
#include "mpq/status.h"

namespace mpq {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;  // the operation failed
inline constexpr int kExitUsage = 2;    // the command line has no meaning

// Calls the tool's own main. Running out of memory is an error like any other.
int RunTool(const char* name, int (*tool_main)(int argc, char** argv), int argc, char** argv);

// Name, description, examples after the options, --version.
void SetUpApp(CLI::App& app, const char* examples);

// Parses the command line: --help and --version are answered, mistakes reported. Returns the exit
// code the program ends with, or -1 to go on.
int ParseCommandLine(CLI::App& app, int argc, char** argv);

// "ptq-run: cause", one line on standard error.
void PrintError(const CLI::App& app, const Status& status);

// The exit code for a status, whose error is printed.
int ExitCode(const CLI::App& app, const Status& status);

// Prints a report on standard output. Bytes of file names that are not UTF-8 are replaced: JSON
// cannot say them.
void PrintJson(const nlohmann::ordered_json& json);

// The report of a tool that has --json: what `to_json` makes, or what `print` prints for people.
template <typename ToJson, typename Print>
void PrintReport(bool json, ToJson to_json, Print print) {
  if (json) return PrintJson(to_json());
  print();
}

// "arena 401408 bytes (at least 401408), scratch 100 bytes x 2 threads, together 401608 bytes".
std::string Describe(const MemoryPlan& plan);
nlohmann::ordered_json MemoryPlanJson(const MemoryPlan& plan);

// --threads, --isa, --input HxW and --memory-limit SIZE, checked while parsing.
void AddThreadsOption(CLI::App& app, uint32_t& threads);
void AddIsaOption(CLI::App& app, std::string& isa);
void AddInputOption(CLI::App& app, uint32_t& height, uint32_t& width);
CLI::Option* AddMemoryLimitOption(CLI::App& app, uint64_t& bytes);
// Any option with a SIZE (ParseByteSize).
CLI::Option* AddByteSizeOption(CLI::App& app, const std::string& name, uint64_t& bytes,
                               const std::string& description);

// "224x192": height, width, both at least 1.
Result<std::pair<uint32_t, uint32_t>> ParseInputSize(const std::string& text);
// "1500000", "1500kB", "1.5MB", "2GB" (powers of 1000), "512KiB", "4MiB", "1GiB" (of 1024).
Result<uint64_t> ParseByteSize(const std::string& text);

}  // namespace mpq

#endif  // MPQ_APPS_CLI_H_
