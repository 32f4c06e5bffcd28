// A few threads that run one parallel loop at a time. No OpenMP in the engine: its threads would
// outlive us and spin beside the application's own.
#ifndef MPQ_ENGINE_CORE_THREAD_POOL_H_
#define MPQ_ENGINE_CORE_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "mpq/status.h"

namespace mpq {

class ThreadPool {
 public:
  // f(context, first, last, thread): units [first, last) on thread 0..threads-1.
  using Loop = void (*)(void* context, uint32_t first, uint32_t last, uint32_t thread);

  ThreadPool() = default;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  // Starts threads - 1 workers; the caller of Run is the last thread.
  Status Start(uint32_t threads);
  uint32_t threads() const { return static_cast<uint32_t>(workers_.size()) + 1; }

  // Splits units [0, count) into one contiguous share per thread and returns when all are done.
  // Which thread runs what depends on count and threads() alone.
  void Run(uint32_t count, Loop loop, void* context);

 private:
  void WorkerMain(uint32_t thread);
  void RunShare(uint32_t thread) const;

  std::vector<std::thread> workers_;
  Loop loop_ = nullptr;
  void* context_ = nullptr;
  uint32_t count_ = 0;
  std::atomic<uint32_t> epoch_{0};    // a new value starts a loop (or the end)
  std::atomic<uint32_t> pending_{0};  // workers that have not finished it
  std::atomic<bool> stop_{false};
};

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_THREAD_POOL_H_
