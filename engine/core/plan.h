// The plan of an integer model: its steps in order, the kernel of each, which of them run together
// by stripes, and where tensors lie.
#ifndef MPQ_ENGINE_CORE_PLAN_H_
#define MPQ_ENGINE_CORE_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/isa.h"
#include "engine/core/step.h"
#include "engine/core/stripes.h"
#include "format/graph.h"
#include "format/shape.h"
#include "mpq/status.h"

namespace mpq {

struct PlanOptions {
  uint32_t batch = 1;
  uint32_t height = 0, width = 0;
  uint32_t threads = 1;
  Isa isa = Isa::kScalar;
  bool keep_tensors = false;  // all tensors are in memory and no two share it
};

// Threads share ranges of positions of a step where there are so many for each; fewer make unequal
// shares.
inline constexpr uint32_t kMinRangesPerThread = 4;

// What runs at a time: a step, or a chain of them by stripes.
struct Stage {
  uint32_t first_step = 0, num_steps = 1;
  StripePlan stripes;
  // One step: threads have shares of `work_items` units of each of `columns` columns, one after the
  // other.
  uint32_t columns = 1, work_items = 0;
};

struct Plan {
  std::vector<Step> steps;           // views point to memory after Bind
  std::vector<Stage> stages;         // of all steps, in order
  std::vector<TensorView> views;     // of every tensor; null where it is never in memory
  std::vector<size_t> view_offsets;  // where each lies in the arena, in bytes
  std::vector<uint64_t> macs;        // of one image, per step
  size_t arena_bytes = 0;
  size_t arena_lower_bound = 0;  // of any placement of the same tensors
  size_t scratch_bytes = 0;      // per thread

  std::span<const Step> StepsOf(const Stage& stage) const {
    return std::span(steps).subspan(stage.first_step, stage.num_steps);
  }

  // Points all views at an arena of arena_bytes, aligned to 64.
  void Bind(std::byte* arena);
};

// The shape of every tensor. Fails if the input size does not fit the graph or does not give a
// single vector of logits.
Result<std::vector<Shape>> InferShapesToLogits(const Graph& graph, uint32_t height, uint32_t width);

// The graph must have been validated and outlive the plan. Fails like InferShapesToLogits.
Result<Plan> MakePlan(const Graph& graph, const PlanOptions& options);

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_PLAN_H_
