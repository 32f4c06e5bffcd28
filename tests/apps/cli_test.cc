#include "apps/cli.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "apps/progress_bar.h"

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

TEST_CASE("durations, and what is left of them") {
  const std::pair<double, const char*> kDurations[] = {
      {0.2, "1 s"},    {41, "41 s"},        {119, "119 s"},     {121, "3 min"},
      {720, "12 min"}, {7200, "2 h 0 min"}, {7501, "2 h 6 min"}};
  for (const auto& [seconds, text] : kDurations) CHECK(DescribeDuration(seconds) == text);

  CHECK(DescribeTimeLeft(10, 40, 20) == ", about 60 s left");
  CHECK(DescribeTimeLeft(39, 40, 3900) == ", about 100 s left");
  CHECK(DescribeTimeLeft(0, 40, 20).empty());
  CHECK(DescribeTimeLeft(40, 40, 20).empty());
  CHECK(DescribeTimeLeft(41, 40, 20).empty());
  CHECK(DescribeTimeLeft(0, 0, 20).empty());
  CHECK(DescribeTimeLeft(10, 40, 1).empty());
}

}  // namespace
}  // namespace mpq
