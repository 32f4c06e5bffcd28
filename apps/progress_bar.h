// Shows the quantiser's progress on standard error: a bar on a terminal; otherwise a line a stage,
// and one now and then in long stages. Both say how long the stage will take yet, if its remaining
// steps take as long as those before.
#ifndef MPQ_APPS_PROGRESS_BAR_H_
#define MPQ_APPS_PROGRESS_BAR_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace mpq {

// "41 s", "12 min", "2 h 5 min".
std::string DescribeDuration(double seconds);

// ", about 41 s left", or nothing before there is something to go by.
std::string DescribeTimeLeft(uint64_t done, uint64_t total, double seconds);

class ProgressBar {
 public:
  ProgressBar();
  void Show(const std::string& stage, uint64_t done, uint64_t total);

 private:
  using Clock = std::chrono::steady_clock;

  void Draw(const std::string& stage, uint64_t done, uint64_t total, double seconds) const;

  bool terminal_;
  Clock::time_point stage_start_{};
  Clock::time_point last_shown_{};
};

}  // namespace mpq

#endif  // MPQ_APPS_PROGRESS_BAR_H_
