// Places buffers with known lifetimes in one block of memory.
#ifndef MPQ_ENGINE_CORE_ARENA_H_
#define MPQ_ENGINE_CORE_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mpq {

// A buffer that is needed from step `first` to step `last`, both included.
struct ArenaBuffer {
  size_t bytes = 0;
  uint32_t first = 0, last = 0;
  size_t offset = 0;  // the result
};

// Sets the offsets (multiples of 64) such that buffers whose lifetimes meet do not overlap; returns
// the size of the block. Largest first, each at the lowest offset where it fits: the "greedy by
// size" of Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020.
size_t PlaceBuffers(std::span<ArenaBuffer> buffers);

// The most bytes that are alive at a time: no block can be smaller.
size_t LargestLiveBytes(std::span<const ArenaBuffer> buffers);

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_ARENA_H_
