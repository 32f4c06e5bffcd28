#include "quantize/parallel.h"

#include <doctest/doctest.h>

#include <atomic>
#include <new>
#include <vector>

#include "format/message.h"

namespace mpq {
namespace {

TEST_CASE("every index runs once, whatever the number of threads") {
  for (const uint32_t threads : {0u, 1u, 3u, 100u}) {
    std::vector<std::atomic<int>> runs(17);
    const auto count = [&](uint32_t index, uint32_t) {
      ++runs[index];
      return Status();
    };
    CHECK(ParallelFor(threads, 17, count).ok());
    for (const auto& n : runs) CHECK(n == 1);
  }
}

TEST_CASE("errors and exhausted memory in any thread are errors of the loop") {
  for (const uint32_t threads : {1u, 4u}) {
    const Status error = ParallelFor(threads, 50, [](uint32_t index, uint32_t) {
      return index < 20 ? Status() : Error(ErrorCode::kUnsupported, "index ", index);
    });
    CHECK(error.message() == "index 20");
    const Status memory =
        ParallelFor(threads, 50, [](uint32_t, uint32_t) -> Status { throw std::bad_alloc(); });
    CHECK(memory.code() == ErrorCode::kOutOfMemory);
  }
}

}  // namespace
}  // namespace mpq
