#include "engine/core/thread_pool.h"

#include <system_error>

#include "format/message.h"

namespace mpq {

namespace {

// About 20 microseconds of polling bridge the gap between two layers without a system call; after
// that the thread sleeps, so an idle session costs nothing.
constexpr int kSpins = 1000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Returns when `value` is no longer `old`.
uint32_t WaitForChange(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    const uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    Pause();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

Status ThreadPool::Start(uint32_t threads) {
  try {
    for (uint32_t i = 1; i < threads; ++i) {
      workers_.emplace_back([this, i] { WorkerMain(i); });
    }
  } catch (const std::system_error& error) {
    return Error(ErrorCode::kOutOfMemory, "cannot start thread ", workers_.size() + 1, " of ",
                 threads, ": ", error.what());
  }
  return Status();
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(uint32_t count, Loop loop, void* context) {
  if (workers_.empty() || count <= 1) {
    if (count > 0) loop(context, 0, count, 0);
    return;
  }
  loop_ = loop;
  context_ = context;
  count_ = count;
  pending_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  RunShare(0);
  for (uint32_t left = pending_.load(std::memory_order_acquire); left != 0;) {
    left = WaitForChange(pending_, left);
  }
}

void ThreadPool::RunShare(uint32_t thread) const {
  const uint64_t n = threads();
  const uint32_t first = static_cast<uint32_t>(uint64_t{count_} * thread / n);
  const uint32_t last = static_cast<uint32_t>(uint64_t{count_} * (thread + 1) / n);
  if (first < last) loop_(context_, first, last, thread);
}

void ThreadPool::WorkerMain(uint32_t thread) {
  uint32_t epoch = 0;
  while (true) {
    epoch = WaitForChange(epoch_, epoch);
    if (stop_.load(std::memory_order_relaxed)) return;
    RunShare(thread);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_one();
  }
}

}  // namespace mpq
