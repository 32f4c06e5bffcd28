#include "apps/process_memory.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace mpq {
namespace {

// A line "Name:   123 kB" of /proc/self/status, in bytes.
uint64_t ReadStatus(const char* name) {
  std::FILE* file = std::fopen("/proc/self/status", "r");
  if (file == nullptr) return 0;
  char line[128];
  uint64_t kilobytes = 0;
  while (std::fgets(line, sizeof line, file) != nullptr) {
    const size_t length = std::strlen(name);
    if (std::strncmp(line, name, length) != 0 || line[length] != ':') continue;
    std::sscanf(line + length + 1, "%" SCNu64, &kilobytes);
    break;
  }
  std::fclose(file);
  return kilobytes * 1024;
}

}  // namespace

uint64_t PeakMemory() { return ReadStatus("VmHWM"); }
uint64_t ResidentMemory() { return ReadStatus("VmRSS"); }

void ResetPeakMemory() {
  std::FILE* file = std::fopen("/proc/self/clear_refs", "w");
  if (file == nullptr) return;
  std::fputs("5", file);
  std::fclose(file);
}

}  // namespace mpq
