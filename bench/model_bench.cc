#include "bench/model_bench.h"

#include <algorithm>
#include <chrono>
#include <latch>
#include <thread>

#include "apps/process_memory.h"

namespace mpq {

namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

std::vector<uint8_t> TestPixels(size_t size) {
  std::vector<uint8_t> pixels(size);
  for (size_t i = 0; i < size; ++i) pixels[i] = static_cast<uint8_t>(i * 2654435761u >> 24);
  return pixels;
}

// One session and its times.
struct Stream {
  Session session;
  std::vector<double> run_ms;
  std::vector<double> step_seconds;
  double elapsed_ms = 0;
  Status status;

  explicit Stream(Session&& s) : session(std::move(s)) {}

  void Run(std::span<const uint8_t> pixels, uint32_t batch, double seconds) {
    for (const StepInfo& step : session.steps()) step_seconds.push_back(step.seconds);
    const Clock::time_point begin = Clock::now();
    do {
      const Clock::time_point start = Clock::now();
      status = session.Run(pixels, batch);
      if (!status.ok()) return;
      run_ms.push_back(MillisecondsSince(start));
      for (size_t i = 0; i < step_seconds.size(); ++i) {
        step_seconds[i] = std::min(step_seconds[i], session.steps()[i].seconds);
      }
      elapsed_ms = MillisecondsSince(begin);
    } while (elapsed_ms < seconds * 1e3);
  }
};

// All streams start together. The calling thread serves the first.
void RunTogether(std::vector<Stream>& streams, std::span<const uint8_t> pixels, uint32_t batch,
                 double seconds) {
  std::latch ready(static_cast<std::ptrdiff_t>(streams.size()));
  std::vector<std::jthread> threads;
  for (size_t i = 1; i < streams.size(); ++i) {
    threads.emplace_back([&, i] {
      ready.arrive_and_wait();
      streams[i].Run(pixels, batch, seconds);
    });
  }
  ready.arrive_and_wait();
  streams[0].Run(pixels, batch, seconds);
}

Status Collect(const std::vector<Stream>& streams, ModelMeasurement& result) {
  for (const Stream& stream : streams) {
    MPQ_RETURN_IF_ERROR(stream.status);
    result.sorted_ms.insert(result.sorted_ms.end(), stream.run_ms.begin(), stream.run_ms.end());
    result.images_per_second +=
        1e3 * result.batch * static_cast<double>(stream.run_ms.size()) / stream.elapsed_ms;
  }
  std::sort(result.sorted_ms.begin(), result.sorted_ms.end());
  result.steps = streams[0].session.steps();
  result.step_seconds = streams[0].step_seconds;
  return Status();
}

}  // namespace

double ModelMeasurement::Percentile(double fraction) const {
  const auto last = static_cast<double>(sorted_ms.size() - 1);
  return sorted_ms[static_cast<size_t>(fraction * last + 0.5)];
}

uint64_t ModelMeasurement::macs() const {
  uint64_t sum = 0;
  for (const StepInfo& step : steps) sum += step.macs;
  return sum;
}

double ModelMeasurement::mac_rate() const {
  const double images = streams > 1 ? images_per_second : 1e3 * batch / sorted_ms.front();
  return static_cast<double>(macs()) * images;
}

Result<ModelMeasurement> MeasureModel(const std::string& path, const SessionOptions& options,
                                      uint32_t stream_count, double seconds) {
  ModelMeasurement result;
  result.model = path;
  result.streams = stream_count;
  result.threads = options.threads;
  result.batch = options.batch;
  ResetPeakMemory();
  const Clock::time_point start = Clock::now();
  MPQ_ASSIGN_OR_RETURN(const Model model, Model::Load(path));
  result.load_ms = MillisecondsSince(start);
  result.file_bytes = model.file_bytes();
  result.memory.loaded = ResidentMemory();
  std::vector<Stream> streams;
  for (uint32_t i = 0; i < stream_count; ++i) {
    MPQ_ASSIGN_OR_RETURN(Session session, Session::Create(model, options));
    result.activation_bytes += session.memory_bytes();
    streams.emplace_back(std::move(session));
  }
  const Session& first = streams[0].session;
  result.isa = first.isa();
  result.memory.session = ResidentMemory();
  const std::vector<uint8_t> pixels =
      TestPixels(size_t{options.batch} * first.height() * first.width() * model.input_channels());
  for (Stream& stream : streams) {
    MPQ_RETURN_IF_ERROR(stream.session.Run(pixels, options.batch));
    if (&stream == &streams[0]) result.first_result_ms = MillisecondsSince(start);
  }
  result.memory.first_run = ResidentMemory();
  RunTogether(streams, pixels, options.batch, seconds);
  MPQ_RETURN_IF_ERROR(Collect(streams, result));
  result.memory.peak = PeakMemory();
  return result;
}

}  // namespace mpq
