#include "apps/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace mpq {

namespace {
constexpr int kBarWidth = 30;
constexpr std::chrono::milliseconds kRedrawInterval(50);
}  // namespace

ProgressBar::ProgressBar() : terminal_(isatty(STDERR_FILENO) == 1) {}

void ProgressBar::Show(const std::string& stage, uint64_t done, uint64_t total) {
  const Clock::time_point now = Clock::now();
  if (done == 0) stage_start_ = now;
  const bool finished = done == total;
  const double seconds = std::chrono::duration<double>(now - stage_start_).count();
  if (!terminal_) {
    if (finished) fmt::print(stderr, "{}: {} in {:.1f} s\n", stage, total, seconds);
    return;
  }
  if (!finished && now - last_drawn_ < kRedrawInterval) return;
  last_drawn_ = now;
  const int filled = total == 0 ? kBarWidth : static_cast<int>(kBarWidth * done / total);
  fmt::print(stderr, "\r{:<22} [{:#<{}}{:.<{}}] {}/{}  {:.1f} s{}", stage, "", filled, "",
             kBarWidth - filled, done, total, seconds, finished ? "\n" : "");
  std::fflush(stderr);
}

}  // namespace mpq
