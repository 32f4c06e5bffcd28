// Shows the quantiser's progress on standard error: a bar on a terminal, a line a stage otherwise.
#ifndef MPQ_APPS_PROGRESS_BAR_H_
#define MPQ_APPS_PROGRESS_BAR_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace mpq {

class ProgressBar {
 public:
  ProgressBar();
  void Show(const std::string& stage, uint64_t done, uint64_t total);

 private:
  using Clock = std::chrono::steady_clock;

  bool terminal_;
  Clock::time_point stage_start_{};
  Clock::time_point last_drawn_{};
};

}  // namespace mpq

#endif  // MPQ_APPS_PROGRESS_BAR_H_
