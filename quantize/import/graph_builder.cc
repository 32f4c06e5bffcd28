#include "quantize/import/graph_builder.h"

#include <algorithm>
#include <utility>

#include "format/message.h"
#include "format/wire.h"

namespace mpq::onnx_import {

Activation GraphBuilder::SetInput(const std::string& name, const Shape& shape, const View& view) {
  graph_.input = 0;
  graph_.tensors.push_back(
      {.name = name, .height = shape.height, .width = shape.width, .channels = shape.channels});
  shapes_.push_back(shape);
  producers_.push_back(kNone);
  return {.tensor = 0, .shape = shape, .view = view, .pending = {}};
}

Result<uint32_t> GraphBuilder::AddNode(Node node, const std::string& output_name) {
  std::vector<Shape> inputs;
  for (const uint32_t tensor : node.inputs) inputs.push_back(shapes_[tensor]);
  MPQ_ASSIGN_OR_RETURN(const Shape shape, OutputShape(graph_, node, inputs));
  // Checked here and not only at the end, because converters allocate what shapes ask for.
  if (shape.channels > wire::kMaxChannels || std::max(shape.height, shape.width) > wire::kMaxSide ||
      graph_.nodes.size() >= wire::kMaxNodes) {
    return Error(ErrorCode::kLimitExceeded, "node ", graph_.nodes.size(), " gives ", shape.height,
                 "x", shape.width, "x", shape.channels, "; the limits are ", wire::kMaxNodes,
                 " nodes, ", wire::kMaxSide, "x", wire::kMaxSide, "x", wire::kMaxChannels);
  }
  const auto output = static_cast<uint32_t>(graph_.tensors.size());
  node.name = UniqueName(node.name, output_name);
  node.output = output;
  graph_.tensors.push_back({.name = output_name,
                            .height = shape.height,
                            .width = shape.width,
                            .channels = shape.channels});
  shapes_.push_back(shape);
  producers_.push_back(static_cast<uint32_t>(graph_.nodes.size()));
  graph_.nodes.push_back(std::move(node));
  return output;
}

uint32_t GraphBuilder::AddWeights(Weights weights) {
  graph_.weights.push_back(std::move(weights));
  return static_cast<uint32_t>(graph_.weights.size() - 1);
}

Status GraphBuilder::Settle(Activation& activation) {
  const Pending& pending = activation.pending;
  if (pending.empty()) return {};
  if (pending.has_pads() && pending.pad_value != 0) {
    return Error(ErrorCode::kUnsupported, "tensor '", graph_.tensors[activation.tensor].name,
                 "' is padded with ", pending.pad_value,
                 "; only zeros, or minus infinity before MaxPool, are supported");
  }
  Node node;
  node.kind = OpKind::kSlicePad;
  node.name = graph_.tensors[activation.tensor].name + "/slice_pad";
  node.inputs = {activation.tensor};
  node.window = {.stride_h = pending.stride_h,
                 .stride_w = pending.stride_w,
                 .pad_top = pending.pad_top,
                 .pad_left = pending.pad_left,
                 .pad_bottom = pending.pad_bottom,
                 .pad_right = pending.pad_right};
  node.channels_before = pending.channels_before;
  node.channels_after = pending.channels_after;
  const std::string name = node.name;
  MPQ_ASSIGN_OR_RETURN(activation.tensor, AddNode(std::move(node), name));
  activation.pending = {};
  activation.sole_reader = false;
  return {};
}

Node* GraphBuilder::producer(uint32_t tensor) {
  const uint32_t node = producers_[tensor];
  return node == kNone ? nullptr : &graph_.nodes[node];
}

std::string GraphBuilder::UniqueName(const std::string& name, const std::string& fallback) {
  if (node_names_.insert(name).second) return name;
  std::string unique = fallback;
  for (int i = 2; !node_names_.insert(unique).second; ++i) {
    unique = Message(fallback, "_", i);
  }
  return unique;
}

Graph GraphBuilder::Finish(uint32_t output) && {
  std::vector<bool> needed(graph_.tensors.size(), false);
  needed[output] = true;
  needed[graph_.input] = true;
  for (auto node = graph_.nodes.rbegin(); node != graph_.nodes.rend(); ++node) {
    if (!needed[node->output]) continue;
    for (const uint32_t input : node->inputs) needed[input] = true;
  }
  Graph result;
  std::vector<uint32_t> new_index(graph_.tensors.size(), kNone);
  for (size_t i = 0; i < graph_.tensors.size(); ++i) {
    if (!needed[i]) continue;
    new_index[i] = static_cast<uint32_t>(result.tensors.size());
    result.tensors.push_back(std::move(graph_.tensors[i]));
  }
  for (Node& node : graph_.nodes) {
    if (!needed[node.output]) continue;
    for (uint32_t& input : node.inputs) input = new_index[input];
    node.output = new_index[node.output];
    if (node.weights != kNone) {
      result.weights.push_back(std::move(graph_.weights[node.weights]));
      node.weights = static_cast<uint32_t>(result.weights.size() - 1);
    }
    result.nodes.push_back(std::move(node));
  }
  result.input = new_index[graph_.input];
  result.output = new_index[output];
  return result;
}

}  // namespace mpq::onnx_import
