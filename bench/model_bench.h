// Speed and memory of one model: a fresh load, a warm-up, then inference for a given time.
#ifndef MPQ_BENCH_MODEL_BENCH_H_
#define MPQ_BENCH_MODEL_BENCH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "mpq/model.h"
#include "mpq/session.h"

namespace mpq {

// Resident memory of the process, in bytes.
struct MemoryPhases {
  uint64_t loaded = 0;     // the model is mapped and checked
  uint64_t session = 0;    // the plan is made, the arena allocated
  uint64_t first_run = 0;  // every page was touched
  uint64_t peak = 0;       // the most at any time
};

// Times are of a whole batch, in milliseconds.
struct ModelMeasurement {
  std::string model;
  uint32_t streams = 1, threads = 1, batch = 1;
  std::string isa;
  double load_ms = 0;          // map, check, parse
  double first_result_ms = 0;  // from the start of loading to the first logits
  std::vector<double> sorted_ms;
  double images_per_second = 0;  // of all streams
  uint64_t file_bytes = 0;
  uint64_t activation_bytes = 0;  // of all sessions
  MemoryPhases memory;
  std::vector<StepInfo> steps;       // of the first stream
  std::vector<double> step_seconds;  // the shortest of each

  // The time below which `fraction` of the runs stayed.
  double Percentile(double fraction) const;
  // MACs of one image.
  uint64_t macs() const;
  // MACs a second of the whole network: of the shortest run, or with streams of all of them.
  double mac_rate() const;
};

// `streams` sessions, each on a thread of its own, run at once; options.threads is of each. One
// stream measures latency, one a core throughput.
Result<ModelMeasurement> MeasureModel(const std::string& path, const SessionOptions& options,
                                      uint32_t streams, double seconds);

}  // namespace mpq

#endif  // MPQ_BENCH_MODEL_BENCH_H_
