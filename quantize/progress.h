// How long-running work tells what it is doing.
#ifndef MPQ_QUANTIZE_PROGRESS_H_
#define MPQ_QUANTIZE_PROGRESS_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

namespace mpq {

// Called with a stage's name and how much of it is done; never from two threads at once.
using Progress = std::function<void(const std::string& stage, uint64_t done, uint64_t total)>;

// Counts the steps of one stage from any thread.
class ProgressStage {
 public:
  ProgressStage(const Progress& progress, std::string stage, uint64_t total)
      : progress_(progress), stage_(std::move(stage)), total_(total) {
    if (progress_) progress_(stage_, 0, total_);
  }
  void Step() {
    if (!progress_) return;
    const std::lock_guard lock(mutex_);
    progress_(stage_, ++done_, total_);
  }

 private:
  const Progress& progress_;
  const std::string stage_;
  const uint64_t total_;
  std::mutex mutex_;
  uint64_t done_ = 0;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PROGRESS_H_
