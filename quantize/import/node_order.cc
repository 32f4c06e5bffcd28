#include "quantize/import/node_order.h"

#include <algorithm>

#include "format/message.h"

namespace mpq::onnx_import {

namespace {

using Producers = std::unordered_map<std::string, int>;  // tensor -> index of its node
constexpr int kNoNode = -1;                              // an input or an initialiser

Status AddProducer(Producers& producers, const std::string& tensor, int node) {
  if (tensor.empty() || producers.emplace(tensor, node).second) return {};
  return Error(ErrorCode::kCorrupt, "tensor '", tensor, "' is defined twice");
}

Result<Producers> FindProducers(const onnx::GraphProto& graph) {
  Producers producers;
  for (const onnx::TensorProto& initializer : graph.initializer()) {
    MPQ_RETURN_IF_ERROR(AddProducer(producers, initializer.name(), kNoNode));
  }
  // Old files list initialisers as inputs too.
  for (const onnx::ValueInfoProto& input : graph.input()) producers.emplace(input.name(), kNoNode);
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const std::string& output : graph.node(i).output()) {
      MPQ_RETURN_IF_ERROR(
          AddProducer(producers, output, i).WithContext("node '" + NodeName(graph.node(i)) + "'"));
    }
  }
  return producers;
}

// Depth-first walk from the output with a stack of our own: files choose the depth.
class Walk {
 public:
  Walk(const onnx::GraphProto& graph, const Producers& producers)
      : graph_(graph),
        producers_(producers),
        states_(static_cast<size_t>(graph.node_size()), State::kNew) {}

  // Marks every node that `tensor` needs.
  Status Visit(const std::string& tensor, const std::string& reader) {
    MPQ_RETURN_IF_ERROR(Enter(tensor, reader));
    while (!stack_.empty()) {
      Frame& frame = stack_.back();
      const onnx::NodeProto& node = graph_.node(frame.node);
      if (frame.next_input == node.input_size()) {
        states_[static_cast<size_t>(frame.node)] = State::kDone;
        finished_.push_back(frame.node);
        stack_.pop_back();
        continue;
      }
      const std::string& input = node.input(frame.next_input++);
      if (!input.empty()) MPQ_RETURN_IF_ERROR(Enter(input, NodeName(node)));
    }
    return {};
  }

  // Indices of the nodes, each after those it reads from.
  const std::vector<int>& finished() const { return finished_; }

 private:
  enum class State : uint8_t { kNew, kOpen, kDone };
  struct Frame {
    int node;
    int next_input;
  };

  Status Enter(const std::string& tensor, const std::string& reader) {
    const auto producer = producers_.find(tensor);
    if (producer == producers_.end()) {
      return Error(ErrorCode::kCorrupt, "'", reader, "' reads tensor '", tensor,
                   "', which is neither an input, nor an initializer, nor any node's output");
    }
    if (producer->second == kNoNode) return {};
    State& state = states_[static_cast<size_t>(producer->second)];
    if (state == State::kOpen) {
      return Error(ErrorCode::kCorrupt, "node '", NodeName(graph_.node(producer->second)),
                   "' is part of a cycle: it needs its own output '", tensor, "'");
    }
    if (state == State::kNew) {
      state = State::kOpen;
      stack_.push_back({producer->second, 0});
    }
    return {};
  }

  const onnx::GraphProto& graph_;
  const Producers& producers_;
  std::vector<State> states_;
  std::vector<Frame> stack_;
  std::vector<int> finished_;
};

// Whether every one of `nodes` (ascending) reads only what nodes before it write.
bool IsFileOrdered(const onnx::GraphProto& graph, const Producers& producers,
                   const std::vector<int>& nodes) {
  for (const int index : nodes) {
    for (const std::string& input : graph.node(index).input()) {
      if (!input.empty() && producers.at(input) >= index) return false;
    }
  }
  return true;
}

}  // namespace

const std::string& NodeName(const onnx::NodeProto& node) {
  return node.name().empty() && node.output_size() > 0 ? node.output(0) : node.name();
}

Result<NodeOrder> OrderNodes(const onnx::GraphProto& graph, const std::string& output) {
  MPQ_ASSIGN_OR_RETURN(const Producers producers, FindProducers(graph));
  Walk walk(graph, producers);
  MPQ_RETURN_IF_ERROR(walk.Visit(output, "the graph's output"));
  std::vector<int> nodes = walk.finished();
  std::sort(nodes.begin(), nodes.end());
  if (!IsFileOrdered(graph, producers, nodes)) nodes = walk.finished();
  NodeOrder order;
  order.uses[output] = 1;
  for (const int index : nodes) {
    const onnx::NodeProto& node = graph.node(index);
    order.nodes.push_back(&node);
    for (const std::string& input : node.input()) ++order.uses[input];
  }
  return order;
}

}  // namespace mpq::onnx_import
