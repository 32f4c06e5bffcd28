// A session runs one model: it owns the plan, the arena and the threads. One session serves one
// caller at a time; make one per thread to run images independently.
#ifndef MPQ_SESSION_H_
#define MPQ_SESSION_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mpq/model.h"
#include "mpq/status.h"

namespace mpq {

struct SessionOptions {
  uint32_t threads = 1;
  uint32_t batch = 1;              // images a run; fewer may be passed
  uint32_t height = 0, width = 0;  // 0: the model's nominal size
  std::string isa;                 // "" = best, or what MPQ_ISA says; see IsaName
  uint64_t memory_limit = 0;  // bytes of arena and scratch; 0 = none. Refused before allocating
  bool keep_tensors = false;  // every tensor stays readable after Run; more memory, same bits
  bool profile = false;       // measure each step
  // With keep_tensors: what the caller reads. Runs of integer models end as soon as these tensors
  // are there; logits and later tensors then mean nothing. Empty: everything.
  std::vector<uint32_t> wanted_tensors;
};

// One line of the plan, for people and reports.
struct StepInfo {
  std::string node;
  std::string op;                     // "Conv", "Add", ...
  std::string kernel;                 // "conv.gemm.avx512vnni"
  std::vector<std::string> refusals;  // kernels that would have come first, and why not
  uint64_t macs = 0;                  // of one image
  double seconds = 0;                 // with profile: of the last run
  std::string fused;                  // "step 1 of 3, stripes of 4 rows", or empty
};

// What a session allocates for activations, before it runs.
struct MemoryPlan {
  uint64_t arena_bytes = 0;        // tensors that are in memory
  uint64_t arena_lower_bound = 0;  // the most of them that is needed at a time
  uint64_t scratch_bytes = 0;      // of one thread: decoded weights, rows of fused blocks
  uint32_t threads = 1;

  uint64_t total() const { return arena_bytes + scratch_bytes * threads; }
};

class Session {
 public:
  static Result<Session> Create(const Model& model, const SessionOptions& options = {});
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  // pixels: n images (1..batch) of packed [height][width][3] bytes, RGB, already resized and
  // cropped (image.h). Normalisation and channel order are the model's business.
  Status Run(std::span<const uint8_t> pixels, uint32_t n = 1);

  // After Run: [n][num_classes] in real numbers. Valid until the next Run.
  std::span<const float> logits() const;
  // Integer models: the same as int16 steps, bit-identical on every machine; empty for float
  // models.
  std::span<const int16_t> integer_logits() const;
  // Softmax of the logits of image i.
  std::vector<float> Probabilities(uint32_t image = 0) const;
  // With keep_tensors: a tensor by its index in the graph, as real numbers, packed [n][h][w][c].
  Result<std::vector<float>> ReadTensor(uint32_t tensor) const;
  // The same in codes (kU8 and kS16 tensors).
  Result<std::vector<int16_t>> ReadTensorCodes(uint32_t tensor) const;

  uint32_t height() const;
  uint32_t width() const;
  uint32_t batch() const;
  // Activations and scratch this session holds, all allocated by Create, and their sum in bytes.
  MemoryPlan memory_plan() const;
  uint64_t memory_bytes() const;
  // Name of the instruction set in use; float models: of the float backend.
  std::string isa() const;
  const std::vector<StepInfo>& steps() const;

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The k largest, as (class, value) in descending order; ties: the smaller class first.
std::vector<std::pair<uint32_t, float>> TopK(std::span<const float> values, uint32_t k);

}  // namespace mpq

#endif  // MPQ_SESSION_H_
