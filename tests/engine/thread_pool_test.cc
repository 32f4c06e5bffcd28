#include "engine/core/thread_pool.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace mpq {
namespace {

struct Counts {
  std::vector<std::atomic<int>> runs;
  explicit Counts(size_t n) : runs(n) {}
};

void Count(void* context, uint32_t first, uint32_t last, uint32_t) {
  Counts& counts = *static_cast<Counts*>(context);
  for (uint32_t i = first; i < last; ++i) counts.runs[i].fetch_add(1);
}

TEST_CASE("every unit runs exactly once, loop after loop") {
  for (const uint32_t threads : {1u, 2u, 3u, 5u}) {
    ThreadPool pool;
    REQUIRE(pool.Start(threads).ok());
    CHECK(pool.threads() == threads);
    for (const uint32_t count : {0u, 1u, 2u, 3u, 7u, 100u}) {
      Counts counts(count);
      for (int loop = 0; loop < 50; ++loop) pool.Run(count, Count, &counts);
      for (uint32_t i = 0; i < count; ++i) CHECK(counts.runs[i].load() == 50);
    }
  }
}

double ProcessorSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

TEST_CASE("threads that wait burn no processor") {
  ThreadPool pool;
  REQUIRE(pool.Start(4).ok());
  Counts counts(4);
  pool.Run(4, Count, &counts);
  const double before = ProcessorSeconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  CHECK(ProcessorSeconds() - before < 0.02);
}

TEST_CASE("a pool that never ran ends") {
  ThreadPool pool;
  REQUIRE(pool.Start(4).ok());
}

}  // namespace
}  // namespace mpq
