#include "apps/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

namespace mpq {

namespace {
constexpr int kBarWidth = 30;
constexpr std::chrono::milliseconds kRedrawInterval(50);
constexpr std::chrono::seconds kLineInterval(30);
// Before, a guess says little and nobody waits for it.
constexpr double kSecondsBeforeGuess = 3;
}  // namespace

std::string DescribeDuration(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  if (whole < 120) return fmt::format("{} s", whole);
  const int64_t minutes = (whole + 59) / 60;
  if (minutes < 120) return fmt::format("{} min", minutes);
  return fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

std::string DescribeTimeLeft(uint64_t done, uint64_t total, double seconds) {
  if (done == 0 || done >= total || seconds < kSecondsBeforeGuess) return "";
  const double each = seconds / static_cast<double>(done);
  return ", about " + DescribeDuration(each * static_cast<double>(total - done)) + " left";
}

ProgressBar::ProgressBar() : terminal_(isatty(STDERR_FILENO) == 1) {}

void ProgressBar::Show(const std::string& stage, uint64_t done, uint64_t total) {
  const Clock::time_point now = Clock::now();
  if (done == 0) {
    stage_start_ = now;
    last_shown_ = terminal_ ? Clock::time_point() : now;
  }
  const double seconds = std::chrono::duration<double>(now - stage_start_).count();
  const bool finished = done == total;
  const Clock::duration interval =
      terminal_ ? Clock::duration(kRedrawInterval) : Clock::duration(kLineInterval);
  if (!finished && now - last_shown_ < interval) return;
  last_shown_ = now;
  if (terminal_) return Draw(stage, done, total, seconds);
  if (finished) {
    fmt::print(stderr, "{}: {} in {:.1f} s\n", stage, total, seconds);
  } else {
    fmt::print(stderr, "{}: {} of {} in {:.1f} s{}\n", stage, done, total, seconds,
               DescribeTimeLeft(done, total, seconds));
  }
}

void ProgressBar::Draw(const std::string& stage, uint64_t done, uint64_t total,
                       double seconds) const {
  const int filled = total == 0 ? kBarWidth : static_cast<int>(kBarWidth * done / total);
  constexpr const char* kClearLine = "\x1b[K";  // what a longer line has left
  fmt::print(stderr, "\r{:<22} [{:#<{}}{:.<{}}] {}/{}  {:.1f} s{}{}{}", stage, "", filled, "",
             kBarWidth - filled, done, total, seconds, DescribeTimeLeft(done, total, seconds),
             kClearLine, done == total ? "\n" : "");
  std::fflush(stderr);
}

}  // namespace mpq
