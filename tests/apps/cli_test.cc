#include "apps/cli.h"

#include <doctest/doctest.h>

#include <utility>

namespace mpq {
namespace {

TEST_CASE("input sizes") {
  REQUIRE(ParseInputSize("224x192").ok());
  CHECK(*ParseInputSize("224x192") == std::pair<uint32_t, uint32_t>(224, 192));
  for (const char* bad :
       {"", "x", "224", "224x", "x224", "0x5", "5x0", "-1x2", "2x3x4", "2x3 ", "99999999999x1"}) {
    CAPTURE(bad);
    CHECK(!ParseInputSize(bad).ok());
  }
}

TEST_CASE("byte sizes") {
  const std::pair<const char*, uint64_t> kGood[] = {
      {"1", 1},           {"1500000", 1500000}, {"1.5MB", 1500000},    {"2kB", 2000},
      {"512KiB", 524288}, {"4MiB", 4194304},    {"0.5GiB", 536870912}, {"3GB", 3000000000}};
  for (const auto& good : kGood) {
    CAPTURE(good.first);
    REQUIRE(ParseByteSize(good.first).ok());
    CHECK(*ParseByteSize(good.first) == good.second);
  }
  for (const char* bad :
       {"", "MB", "-1MB", "0", "0.1", "1 MB", "1mb", "1XB", "nan", "inf", "1e30"}) {
    CAPTURE(bad);
    CHECK(!ParseByteSize(bad).ok());
  }
}

}  // namespace
}  // namespace mpq
