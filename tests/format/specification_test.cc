// The limits in docs/mpq_format.md are those of wire.h.
#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "format/requantize.h"
#include "format/wire.h"

namespace mpq {
namespace {

// Rows "| `kMaxName` | value |" of the document.
std::map<std::string, uint64_t> LimitsOfDocument() {
  std::ifstream in(MPQ_SOURCE_ROOT "/docs/mpq_format.md");
  std::map<std::string, uint64_t> limits;
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("| `kMax", 0) != 0) continue;
    const size_t end = line.find('`', 3);
    const size_t value = line.find('|', end);
    limits[line.substr(3, end - 3)] = std::stoull(line.substr(value + 1));
  }
  return limits;
}

// Names of all kMax constants that wire.h declares.
std::vector<std::string> LimitsOfHeader() {
  std::ifstream in(MPQ_SOURCE_ROOT "/format/wire.h");
  std::vector<std::string> names;
  for (std::string line; std::getline(in, line);) {
    const size_t start = line.find(" kMax");
    if (line.rfind("inline constexpr", 0) != 0 || start == std::string::npos) continue;
    names.push_back(line.substr(start + 1, line.find(' ', start + 1) - start - 1));
  }
  return names;
}

TEST_CASE("the specification and wire.h have the same limits") {
#define LIMIT(name) \
  { #name, static_cast < uint64_t>(wire::name) }
  const std::map<std::string, uint64_t> expected = {
      LIMIT(kMaxFileBytes),
      LIMIT(kMaxSections),
      LIMIT(kMaxNameBytes),
      LIMIT(kMaxLabelBytes),
      LIMIT(kMaxProvenanceEntries),
      LIMIT(kMaxProvenanceBytes),
      LIMIT(kMaxTensors),
      LIMIT(kMaxNodes),
      LIMIT(kMaxWeights),
      LIMIT(kMaxInputs),
      LIMIT(kMaxSide),
      LIMIT(kMaxChannels),
      LIMIT(kMaxTensorValues),
      LIMIT(kMaxTotalValues),
      LIMIT(kMaxKernel),
      LIMIT(kMaxPad),
      LIMIT(kMaxPoolCount),
      LIMIT(kMaxDotLength),
      LIMIT(kMaxLayerValues),
      LIMIT(kMaxAverageMultiplier),
      LIMIT(kMaxShift),
      {"kMaxAccumulator", static_cast<uint64_t>(kMaxAccumulator)},
  };
#undef LIMIT
  CHECK(LimitsOfDocument() == expected);
  for (const std::string& name : LimitsOfHeader()) {
    CAPTURE(name);
    CHECK(expected.count(name) == 1);
  }
  CHECK(LimitsOfHeader().size() + 1 == expected.size());
}

}  // namespace
}  // namespace mpq
