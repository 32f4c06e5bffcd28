#include "engine/core/arena.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace mpq {
namespace {

bool Overlap(const ArenaBuffer& a, const ArenaBuffer& b) {
  const bool in_time = a.first <= b.last && b.first <= a.last;
  const bool in_space = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
  return in_time && in_space;
}

TEST_CASE("a chain of tensors takes two neighbours' memory") {
  std::vector<ArenaBuffer> buffers{{640, 0, 1}, {1280, 1, 2}, {640, 2, 3}, {128, 3, 4}};
  CHECK(PlaceBuffers(buffers) == 640 + 1280);
  CHECK(LargestLiveBytes(buffers) == 640 + 1280);
}

TEST_CASE("buffers that live together never overlap") {
  std::mt19937 random(1);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<ArenaBuffer> buffers(1 + random() % 20);
    size_t needed = 0;
    for (ArenaBuffer& b : buffers) {
      b.bytes = random() % 1000;
      b.first = random() % 10;
      b.last = b.first + random() % 5;
    }
    const size_t total = PlaceBuffers(buffers);
    for (uint32_t step = 0; step < 15; ++step) {
      size_t live = 0;
      for (const ArenaBuffer& b : buffers) live += b.first <= step && step <= b.last ? b.bytes : 0;
      needed = std::max(needed, live);
    }
    CHECK(total >= needed);
    CHECK(LargestLiveBytes(buffers) >= needed);  // multiples of the alignment
    CHECK(LargestLiveBytes(buffers) <= total);
    for (size_t i = 0; i < buffers.size(); ++i) {
      CHECK(buffers[i].offset % 64 == 0);
      CHECK(buffers[i].offset + buffers[i].bytes <= total);
      for (size_t j = 0; j < i; ++j) CHECK_FALSE(Overlap(buffers[i], buffers[j]));
    }
  }
}

}  // namespace
}  // namespace mpq
