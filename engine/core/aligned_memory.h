// A block of memory aligned for streams and vectors, whose allocation can fail without throwing.
#ifndef MPQ_ENGINE_CORE_ALIGNED_MEMORY_H_
#define MPQ_ENGINE_CORE_ALIGNED_MEMORY_H_

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "format/message.h"
#include "format/rounding.h"

namespace mpq {

class AlignedMemory {
 public:
  static constexpr size_t kAlignment = 64;

  // Contents are undefined. size 0 gives an empty block.
  static Result<AlignedMemory> Allocate(size_t size) {
    AlignedMemory memory;
    if (size == 0) return memory;
    const size_t rounded = RoundUp(size, kAlignment);
    if (rounded < size) return Error(ErrorCode::kOutOfMemory, size, " bytes: out of memory");
    memory.data_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)));
    if (memory.data_ == nullptr) {
      return Error(ErrorCode::kOutOfMemory, rounded, " bytes: out of memory");
    }
    memory.size_ = rounded;
    return memory;
  }

  std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte[], Free> data_;
  size_t size_ = 0;
};

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_ALIGNED_MEMORY_H_
