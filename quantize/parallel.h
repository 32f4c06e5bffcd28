// Parallel loops of the quantiser. Work is split by index, never by thread, so results do not
// depend on the number of threads.
#ifndef MPQ_QUANTIZE_PARALLEL_H_
#define MPQ_QUANTIZE_PARALLEL_H_

#include <cstdint>
#include <functional>

#include "mpq/status.h"

namespace mpq {

// f(index, thread) for every index in 0..count-1, thread in 0..threads-1. Indices start in
// ascending order. Returns the error of the smallest index that failed; after an error no further
// index starts.
Status ParallelFor(uint32_t threads, uint32_t count,
                   const std::function<Status(uint32_t index, uint32_t thread)>& f);

// [first, last) of part `part` when `count` things are split into `parts` nearly equal parts.
inline uint32_t PartBegin(uint32_t count, uint32_t parts, uint32_t part) {
  return static_cast<uint32_t>(uint64_t{count} * part / parts);
}

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PARALLEL_H_
