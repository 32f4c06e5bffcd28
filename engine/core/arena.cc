#include "engine/core/arena.h"

#include <algorithm>
#include <numeric>

#include "engine/core/aligned_memory.h"
#include "format/rounding.h"

namespace mpq {

namespace {

size_t RoundedBytes(const ArenaBuffer& buffer) {
  return RoundUp(buffer.bytes, AlignedMemory::kAlignment);
}

}  // namespace

size_t PlaceBuffers(std::span<ArenaBuffer> buffers) {
  std::vector<uint32_t> order(buffers.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return buffers[a].bytes > buffers[b].bytes; });

  size_t total = 0;
  std::vector<const ArenaBuffer*> placed;  // ascending by offset
  for (const uint32_t index : order) {
    ArenaBuffer& buffer = buffers[index];
    const size_t bytes = RoundedBytes(buffer);
    size_t offset = 0;
    for (const ArenaBuffer* other : placed) {
      const bool meet = other->first <= buffer.last && buffer.first <= other->last;
      if (!meet) continue;
      if (offset + bytes <= other->offset) break;
      offset = std::max(offset, other->offset + RoundedBytes(*other));
    }
    buffer.offset = offset;
    total = std::max(total, offset + bytes);
    const auto at = std::upper_bound(
        placed.begin(), placed.end(), offset,
        [](size_t value, const ArenaBuffer* other) { return value < other->offset; });
    placed.insert(at, &buffer);
  }
  return total;
}

size_t LargestLiveBytes(std::span<const ArenaBuffer> buffers) {
  size_t largest = 0;
  for (const ArenaBuffer& start : buffers) {  // the sum only grows where a buffer begins
    size_t live = 0;
    for (const ArenaBuffer& b : buffers) {
      if (b.first <= start.first && start.first <= b.last) live += RoundedBytes(b);
    }
    largest = std::max(largest, live);
  }
  return largest;
}

}  // namespace mpq
