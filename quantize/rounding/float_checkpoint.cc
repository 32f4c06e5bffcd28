#include "quantize/rounding/float_checkpoint.h"

#include <algorithm>

#include "quantize/images.h"
#include "quantize/parallel.h"
#include "quantize/passes/graph_view.h"

namespace mpq {

namespace {

uint64_t ValueBytes(const Tensor& tensor, uint32_t num_views) {
  return sizeof(float) * num_views * NumValues(tensor);
}

}  // namespace

std::vector<bool> Bottlenecks(const Graph& graph) {
  const GraphView view(graph);
  std::vector<bool> result;
  uint32_t last_reader = 0;  // of all tensors but the newest
  uint32_t newest = graph.input;
  for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
    if (!view.consumers(newest).empty()) {
      last_reader = std::max(last_reader, view.consumers(newest).back());
    }
    newest = graph.nodes[n].output;
    result.push_back(last_reader <= n);
  }
  return result;
}

uint32_t NodesUpTo(const Graph& graph, uint32_t tensor) {
  for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
    if (graph.nodes[n].output == tensor) return n + 1;
  }
  return 0;
}

Graph GraphBetween(const Graph& graph, uint32_t first, std::span<const uint32_t> tensors) {
  const uint32_t begin = NodesUpTo(graph, first);
  uint32_t end = begin;
  for (const uint32_t tensor : tensors) end = std::max(end, NodesUpTo(graph, tensor));
  Graph part = graph;
  part.input = first;
  part.nodes.assign(graph.nodes.begin() + begin, graph.nodes.begin() + end);
  part.output = part.nodes.empty() ? first : part.nodes.back().output;
  return part;
}

Status FloatPart::Run(std::span<const uint8_t> pixels, std::span<const float> values) {
  if (values.empty()) {
    src_.resize(pixels.size());
    NormalizePixels(preprocessing_, pixels, src_);
  } else {
    src_.assign(values.begin(), values.end());
  }
  if (graph_.nodes.empty()) return Status();
  if (executor_ == nullptr) {
    MPQ_ASSIGN_OR_RETURN(executor_, MakeFloatExecutor(graph_, {.keep_tensors = true}));
  }
  return executor_->Run(src_);
}

Result<std::span<const float>> FloatPart::Read(uint32_t tensor) const {
  if (tensor == graph_.input) return std::span<const float>(src_);
  return executor_->Read(tensor);
}

uint32_t FloatCheckpoint::BestFor(std::span<const uint32_t> tensors) const {
  const Graph& graph = model_->graph;
  auto end = static_cast<uint32_t>(graph.nodes.size());
  for (const uint32_t tensor : tensors) end = std::min(end, NodesUpTo(graph, tensor));
  const std::vector<bool> bottlenecks = Bottlenecks(graph);
  const uint32_t current = NodesUpTo(graph, tensor_);
  for (uint32_t n = end; n-- > current;) {
    const uint32_t tensor = graph.nodes[n].output;
    if (bottlenecks[n] && ValueBytes(graph.tensors[tensor], views_->count()) <= kMaxBytes) {
      return tensor;
    }
  }
  return tensor_;
}

Status FloatCheckpoint::Run(uint32_t view, FloatPart& part) const {
  const std::vector<float>& held = values_[view];
  return held.empty() ? part.Run(views_->Pixels(view), {}) : part.Run({}, held);
}

Status FloatCheckpoint::MoveFor(std::span<const uint32_t> tensors, uint32_t threads) {
  const uint32_t next = BestFor(tensors);
  if (next == tensor_) return Status();
  const Graph part = GraphBetween(model_->graph, tensor_, {&next, 1});
  std::vector<FloatPart> runs;
  for (uint32_t t = 0; t < std::max(threads, 1u); ++t) {
    runs.emplace_back(part, model_->preprocessing);
  }
  MPQ_RETURN_IF_ERROR(
      ParallelFor(threads, views_->count(), [&](uint32_t view, uint32_t thread) -> Status {
        MPQ_RETURN_IF_ERROR(Run(view, runs[thread]));
        MPQ_ASSIGN_OR_RETURN(const std::span<const float> values, runs[thread].Read(next));
        values_[view].assign(values.begin(), values.end());
        return Status();
      }));
  tensor_ = next;
  return Status();
}

uint64_t FloatCheckpoint::EstimateBytes(const Graph& graph, uint32_t num_views) {
  const std::vector<bool> bottlenecks = Bottlenecks(graph);
  uint64_t most = 0;
  for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
    const uint64_t bytes = ValueBytes(graph.tensors[graph.nodes[n].output], num_views);
    if (bottlenecks[n] && bytes <= kMaxBytes) most = std::max(most, bytes);
  }
  return most;
}

}  // namespace mpq
