// Chains of steps that run by stripes of rows, so that the tensors between them are never in
// memory: of each, the few rows that the next step needs lie in a buffer in the thread's scratch.
//
// A stripe of a step is itself a step: with fewer rows, and with a window that is padded only where
// it meets the border. So the steps keep their ordinary kernels, for every instruction set, and
// every bit of their results.
#ifndef MPQ_ENGINE_CORE_STRIPES_H_
#define MPQ_ENGINE_CORE_STRIPES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/core/step.h"

namespace mpq {

inline constexpr uint32_t kMaxChainSteps = 4;  // expand, depthwise, project, add

struct RowRange {
  uint32_t first = 0, last = 0;  // rows [first, last)

  uint32_t count() const { return last - first; }
  bool empty() const { return first == last; }
};

// How a chain is cut into stripes.
struct StripePlan {
  uint32_t rows = 0;                   // of the last step's output, in a stripe; 0: no chain
  uint32_t stripes = 0;                // of an image
  std::vector<size_t> buffer_offsets;  // in scratch: rows of the outputs of all steps but the last
  std::vector<size_t> prepared_offsets;  // in scratch: the decoded weights of each step
  size_t kernel_offset = 0;              // in scratch: what the kernels need, one after the other
  size_t scratch_bytes = 0;              // per thread
};

// How many of `steps`, from the first on, should run as one chain (1: the first runs alone), and
// their stripes. `linked` is how many could: each but the last has an output that only the next
// one reads. `refusal` says why a chain that is possible is not wanted.
uint32_t ChooseChain(std::span<const Step> steps, uint32_t linked, uint32_t threads,
                     StripePlan& plan, std::string& refusal);

// One thread's work on a chain.
class StripeRunner {
 public:
  // The steps' views have memory.
  StripeRunner(std::span<const Step> steps, const StripePlan& plan);

  uint32_t work_items() const { return links_.back().dst.batch * plan_.stripes; }
  // Computes stripes [first, last), counted through all images. Only the first one, and the first
  // of an image, compute rows that another share computes too. `seconds`: null, or for each step
  // the time that it takes is added.
  void Run(uint32_t first, uint32_t last, std::byte* scratch, double* seconds);

 private:
  struct Link {
    Step step;      // of the stripe at hand
    Node node;      // its own, for the window's padding
    Window window;  // of the whole step, as src and dst
    std::vector<TensorView> src;
    TensorView dst;
    uint32_t chained = kNone;  // which of src is the output of the link before
    size_t buffer_offset = 0;  // of dst, in all links but the last
    size_t prepared_offset = 0;
    RowRange held;  // rows of dst in the buffer, beginning with the first
    RowRange rows;  // of dst, to compute now
  };

  void PrepareWeights(std::byte* scratch, double* seconds);
  void RunStripe(uint32_t image, RowRange rows, std::byte* scratch, double* seconds);
  static void Require(Link& link, RowRange rows, std::byte* scratch);
  void PointAtRows(Link& link, const Link* before, uint32_t image, std::byte* scratch) const;

  const StripePlan plan_;
  std::vector<Link> links_;
};

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_STRIPES_H_
