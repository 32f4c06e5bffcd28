#include "engine/core/plan.h"

#include <algorithm>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "engine/core/arena.h"
#include "engine/core/registry.h"
#include "format/message.h"
#include "format/node_fields.h"
#include "format/wire.h"

namespace mpq {

namespace {

// Kernels may read this far beyond a tensor (step.h); the gap also keeps one thread's over-read
// away from what another writes.
constexpr size_t kOverReadBytes = 64;
// Of one tensor with its batch.
constexpr uint32_t kMaxBatchElements = std::numeric_limits<int32_t>::max();

size_t ElementBytes(ElementType type) { return type == ElementType::kU8 ? 1 : 2; }

// Where a tensor lies: in memory of its own, or in a slice of a Concat output's.
struct Placement {
  uint32_t parent = kNone;
  uint32_t channel_offset = 0;  // in the parent
};

struct Root {
  uint32_t tensor;
  uint32_t channel_offset;
};

Root FindRoot(const std::vector<Placement>& placements, uint32_t tensor) {
  Root root{tensor, 0};
  while (placements[root.tensor].parent != kNone) {
    root.channel_offset += placements[root.tensor].channel_offset;
    root.tensor = placements[root.tensor].parent;
  }
  return root;
}

// True if every input of a Concat can be written straight into its slice of the output: slices
// start at multiples of 4 channels and no tensor is in two places.
bool InputsCanBeSlices(const Graph& graph, const Node& concat,
                       const std::vector<Placement>& placements) {
  std::set<uint32_t> seen;
  uint32_t offset = 0;
  for (const uint32_t input : concat.inputs) {
    if (input == graph.input || placements[input].parent != kNone || offset % 4 != 0 ||
        !seen.insert(input).second) {
      return false;
    }
    offset += graph.tensors[input].channels;
  }
  return true;
}

std::vector<Placement> PlaceConcatInputs(const Graph& graph) {
  std::vector<Placement> placements(graph.tensors.size());
  for (const Node& node : graph.nodes) {
    if (node.kind != OpKind::kConcat || !InputsCanBeSlices(graph, node, placements)) continue;
    uint32_t offset = 0;
    for (const uint32_t input : node.inputs) {
      placements[input] = {node.output, offset};
      offset += graph.tensors[input].channels;
    }
  }
  return placements;
}

bool IsSliceOf(const std::vector<Placement>& placements, const Node& concat) {
  return placements[concat.inputs[0]].parent == concat.output;
}

constexpr size_t kNoMemory = std::numeric_limits<size_t>::max();

class Planner {
 public:
  Planner(const Graph& graph, const PlanOptions& options) : graph_(graph), options_(options) {}

  Result<Plan> Run() {
    MPQ_ASSIGN_OR_RETURN(shapes_, InferShapesToLogits(graph_, options_.height, options_.width));
    placements_ = PlaceConcatInputs(graph_);
    MakeViews();
    MPQ_RETURN_IF_ERROR(CheckSizes());
    MPQ_RETURN_IF_ERROR(CheckPoolCounts());
    MakeSteps();
    MakeStages();
    if (!options_.keep_tensors) PlaceOutputsInResiduals();
    PlaceTensors();
    return std::move(plan_);
  }

 private:
  void MakeViews() {
    plan_.views.resize(graph_.tensors.size());
    for (uint32_t i = 0; i < plan_.views.size(); ++i) {
      const uint32_t root = FindRoot(placements_, i).tensor;
      TensorView& view = plan_.views[i];
      view.batch = options_.batch;
      view.height = shapes_[i].height;
      view.width = shapes_[i].width;
      view.channels = shapes_[i].channels;
      view.pixel_stride = ChannelStride(shapes_[root].channels, root == graph_.input);
    }
  }

  void MakeSteps() {
    num_uses_.resize(graph_.tensors.size());
    for (const Node& node : graph_.nodes) {
      for (const uint32_t input : node.inputs) ++num_uses_[input];
      if (node.kind == OpKind::kConcat && IsSliceOf(placements_, node)) continue;
      Step step;
      step.graph = &graph_;
      step.node = &node;
      for (const uint32_t input : node.inputs) {
        step.src_tensors.push_back(&graph_.tensors[input]);
        step.src.push_back(plan_.views[input]);
      }
      step.dst_tensor = &graph_.tensors[node.output];
      step.dst = plan_.views[node.output];
      if (node.weights != kNone) DescribeWeights(step);
      ChooseKernel(step, options_.isa);
      plan_.macs.push_back(NodeMacs(graph_, node, shapes_[node.output]));
      plan_.steps.push_back(std::move(step));
    }
  }

  void DescribeWeights(Step& step) {
    step.weights = &graph_.weights[step.node->weights];
    step.layout = MakeCodeLayout(graph_, *step.node);
    for (uint32_t block = 0; block < step.layout.blocks(); ++block) {
      // Validated: every block has a level set.
      const Result<Levels> levels = BlockLevels(*step.weights, block);
      step.max_level = std::max<uint32_t>(step.max_level, levels->max_magnitude());
    }
  }

  void MakeStages() {
    bool said_why = false;  // of a block: not again of its rest
    for (uint32_t first = 0; first < plan_.steps.size();) {
      Stage stage;
      stage.first_step = first;
      std::string refusal;
      stage.num_steps = ChooseChain(std::span(plan_.steps).subspan(first), LinkedSteps(first),
                                    options_.threads, stage.stripes, refusal);
      Step& step = plan_.steps[first];
      if (refusal.empty() || said_why) {
        said_why = false;
      } else {
        step.refusals.push_back(std::move(refusal));
        said_why = true;
      }
      const size_t scratch =
          stage.num_steps > 1 ? stage.stripes.scratch_bytes : step.kernel->scratch_bytes(step);
      plan_.scratch_bytes = std::max(plan_.scratch_bytes, scratch);
      if (stage.num_steps == 1) SplitWork(step, stage);
      first += stage.num_steps;
      plan_.stages.push_back(std::move(stage));
    }
  }

  // Shares of a convolution are ranges of positions where these are many: a thread then reads what
  // it has written in the layer before, and no two write to one cache line (with 64 channels,
  // shares of columns took 1.3 times as long). Each thread decodes all weights, which is little
  // beside many positions; with few, shares are columns.
  void SplitWork(const Step& step, Stage& stage) const {
    stage.work_items = step.kernel->work_items(step);
    if (options_.threads == 1 || step.kernel->work_columns == nullptr) return;
    const uint32_t columns = step.kernel->work_columns(step);
    const uint32_t ranges = stage.work_items / columns;
    if (ranges < kMinRangesPerThread * options_.threads) return;
    stage.columns = columns;
    stage.work_items = ranges;
  }

  // How many steps from `first` on form a chain whose inner tensors nobody else needs.
  uint32_t LinkedSteps(uint32_t first) const {
    uint32_t count = 1;
    while (first + count < plan_.steps.size() && IsLinked(first + count - 1)) ++count;
    return count;
  }

  // Only the next step reads the output of `step`, once, and not as a residual, and it has memory
  // of its own.
  bool IsLinked(uint32_t step) const {
    const uint32_t tensor = plan_.steps[step].node->output;
    if (options_.keep_tensors || tensor == graph_.output) return false;
    if (placements_[tensor].parent != kNone || graph_.tensors[tensor].type != ElementType::kU8) {
      return false;
    }
    const Node& next = *plan_.steps[step + 1].node;
    if (HasResidual(next) && next.inputs[1] == tensor) return false;
    return num_uses_[tensor] == 1 &&
           std::count(next.inputs.begin(), next.inputs.end(), tensor) == 1;
  }

  // A convolution whose residual nobody needs any more writes its output in the residual's place.
  void PlaceOutputsInResiduals() {
    std::vector<size_t> last_stages = LastStages();
    for (size_t i = 0; i < plan_.stages.size(); ++i) {
      const Step& step = plan_.StepsOf(plan_.stages[i]).back();
      if (!HasResidual(*step.node) || !CanReplaceResidual(plan_.stages[i], step)) continue;
      const uint32_t output = step.node->output;
      const uint32_t root = FindRoot(placements_, step.node->inputs[1]).tensor;
      if (last_stages[root] != i) continue;
      last_stages[root] = last_stages[output];
      placements_[output] = {step.node->inputs[1], 0};
    }
  }

  // The last stage that reads or writes each root.
  std::vector<size_t> LastStages() const {
    std::vector<size_t> last(graph_.tensors.size(), 0);
    for (size_t i = 0; i < plan_.stages.size(); ++i) {
      ForEachStoredTensor(plan_.stages[i],
                          [&](uint32_t tensor) { last[FindRoot(placements_, tensor).tensor] = i; });
    }
    last[FindRoot(placements_, graph_.output).tensor] = plan_.stages.size();
    return last;
  }

  // The views are the same, no step of the stage reads the residual's memory otherwise, and blocks
  // of channels are full, so that no kernel reads beyond what it writes (step.h).
  bool CanReplaceResidual(const Stage& stage, const Step& step) const {
    const uint32_t residual = step.node->inputs[1];
    const uint32_t output = step.node->output;
    const Root root = FindRoot(placements_, residual);
    if (placements_[output].parent != kNone || root.channel_offset != 0 ||
        plan_.views[residual].pixel_stride != plan_.views[output].pixel_stride ||
        step.layout.channels_per_group % kBlockChannels != 0) {
      return false;
    }
    uint32_t reads = 0;
    ForEachStoredTensor(stage, [&](uint32_t tensor) {
      reads += FindRoot(placements_, tensor).tensor == root.tensor ? 1 : 0;
    });
    return reads == 1;
  }

  size_t TensorBytes(uint32_t tensor) const {
    const TensorView& view = plan_.views[tensor];
    return view.batch * view.image_stride() * ElementBytes(graph_.tensors[tensor].type);
  }

  // Kernels count the elements of a batch, and what they are cut into, in 32 bits; offsets in bytes
  // and their sum over all tensors have 64.
  Status CheckSizes() const {
    for (uint32_t i = 0; i < plan_.views.size(); ++i) {
      const TensorView& view = plan_.views[i];
      const auto elements = static_cast<__uint128_t>(uint64_t{view.height} * view.width) *
                            view.pixel_stride * view.batch;
      if (elements > kMaxBatchElements) {
        return Error(ErrorCode::kLimitExceeded, "tensor '", graph_.tensors[i].name, "' of ",
                     view.batch, "x", view.height, "x", view.width, "x", view.channels,
                     " is too large: the limit is ", kMaxBatchElements, " elements");
      }
    }
    return Status();
  }

  // Validation knows the nominal input size only.
  Status CheckPoolCounts() const {
    for (const Node& node : graph_.nodes) {
      const uint64_t count = PixelsAveraged(node, shapes_[node.inputs[0]]);
      if (count > wire::kMaxPoolCount) {
        return Error(ErrorCode::kLimitExceeded, OpKindName(node.kind), " '", node.name,
                     "' averages ", count, " pixels of an input of ", options_.height, "x",
                     options_.width, ", the limit is ", wire::kMaxPoolCount);
      }
    }
    return Status();
  }

  void PlaceTensors() {
    const uint32_t num_stages = static_cast<uint32_t>(plan_.stages.size());
    const uint32_t num_tensors = static_cast<uint32_t>(graph_.tensors.size());
    std::vector<ArenaBuffer> buffers(num_tensors);
    for (uint32_t i = 0; i < num_tensors; ++i) buffers[i].first = num_stages;
    const auto extend = [&](uint32_t tensor, uint32_t time) {
      ArenaBuffer& buffer = buffers[FindRoot(placements_, tensor).tensor];
      buffer.first = std::min(buffer.first, time);
      buffer.last = std::max(buffer.last, time);
    };
    // Time 0 is the conversion of the pixels, so stage i of the plan is i + 1 here.
    extend(graph_.input, 0);
    for (uint32_t i = 0; i < num_stages; ++i) {
      ForEachStoredTensor(plan_.stages[i], [&](uint32_t tensor) { extend(tensor, i + 1); });
    }
    extend(graph_.output, num_stages + 1);
    for (uint32_t i = 0; i < num_tensors; ++i) {
      const bool used = buffers[i].first <= buffers[i].last;
      const bool root = placements_[i].parent == kNone;
      if (used && root) buffers[i].bytes = TensorBytes(i) + kOverReadBytes;
      if (options_.keep_tensors) {
        buffers[i].first = 0;
        buffers[i].last = num_stages + 1;
      }
    }
    plan_.arena_bytes = PlaceBuffers(buffers);
    plan_.arena_lower_bound = LargestLiveBytes(buffers);
    plan_.view_offsets.resize(num_tensors);
    for (uint32_t i = 0; i < num_tensors; ++i) {
      const Root root = FindRoot(placements_, i);
      const ArenaBuffer& buffer = buffers[root.tensor];
      plan_.view_offsets[i] =
          buffer.bytes == 0
              ? kNoMemory
              : buffer.offset + root.channel_offset * ElementBytes(graph_.tensors[i].type);
    }
  }

  // Calls f(tensor) for the inputs and outputs of a stage, but for those between its steps.
  template <typename F>
  void ForEachStoredTensor(const Stage& stage, F f) const {
    const std::span<const Step> steps = plan_.StepsOf(stage);
    uint32_t before = kNone;
    for (const Step& step : steps) {
      for (const uint32_t input : step.node->inputs) {
        if (input != before) f(input);
      }
      before = step.node->output;
    }
    f(before);
  }

  const Graph& graph_;
  const PlanOptions& options_;
  std::vector<Shape> shapes_;
  std::vector<Placement> placements_;
  std::vector<uint32_t> num_uses_;  // of each tensor, as an input
  Plan plan_;
};

}  // namespace

Result<std::vector<Shape>> InferShapesToLogits(const Graph& graph, uint32_t height,
                                               uint32_t width) {
  MPQ_ASSIGN_OR_RETURN(std::vector<Shape> shapes, InferShapes(graph, height, width));
  const Shape& out = shapes[graph.output];
  if (out.height == 1 && out.width == 1) return shapes;
  return Error(ErrorCode::kInvalidArgument, "an input of ", height, "x", width, " gives ",
               out.height, "x", out.width, " vectors of logits, not one");
}

void Plan::Bind(std::byte* arena) {
  for (size_t i = 0; i < views.size(); ++i) {
    views[i].data = view_offsets[i] == kNoMemory ? nullptr : arena + view_offsets[i];
  }
  for (Step& step : steps) {
    for (size_t i = 0; i < step.src.size(); ++i) step.src[i] = views[step.node->inputs[i]];
    step.dst = views[step.node->output];
  }
}

Result<Plan> MakePlan(const Graph& graph, const PlanOptions& options) {
  return Planner(graph, options).Run();
}

}  // namespace mpq
