#include "quantize/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/core/no_throw.h"

namespace mpq {

namespace {

// The indices of one loop, handed out in ascending order, and its first error.
class Loop {
 public:
  Loop(uint32_t count, const std::function<Status(uint32_t, uint32_t)>& f) : count_(count), f_(f) {}

  void Work(uint32_t thread) {
    while (!failed_) {
      const uint32_t index = next_++;
      if (index >= count_) return;
      // An exception would end the program.
      Status status = WithoutThrowing("parallel loop", [&] { return f_(index, thread); });
      if (!status.ok()) Fail(index, std::move(status));
    }
  }

  Status TakeError() { return std::move(error_); }

 private:
  void Fail(uint32_t index, Status status) {
    const std::lock_guard lock(mutex_);
    if (error_.ok() || index < error_index_) {
      error_ = std::move(status);
      error_index_ = index;
    }
    failed_ = true;
  }

  const uint32_t count_;
  const std::function<Status(uint32_t, uint32_t)>& f_;
  std::atomic<uint32_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  Status error_;
  uint32_t error_index_ = 0;
};

}  // namespace

Status ParallelFor(uint32_t threads, uint32_t count,
                   const std::function<Status(uint32_t, uint32_t)>& f) {
  Loop loop(count, f);
  std::vector<std::jthread> workers;
  const uint32_t useful = std::min(std::max(threads, 1u), std::max(count, 1u));
  try {
    for (uint32_t thread = 1; thread < useful; ++thread) {
      workers.emplace_back([&loop, thread] { loop.Work(thread); });
    }
  } catch (const std::exception&) {  // no more threads: those that run do the work
  }
  loop.Work(0);
  workers.clear();  // joins
  return loop.TakeError();
}

}  // namespace mpq
