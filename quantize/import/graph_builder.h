// Grows the graph of the result, node by node.
#ifndef MPQ_QUANTIZE_IMPORT_GRAPH_BUILDER_H_
#define MPQ_QUANTIZE_IMPORT_GRAPH_BUILDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "format/graph.h"
#include "format/shape.h"
#include "quantize/import/constant.h"
#include "quantize/import/view.h"

namespace mpq::onnx_import {

// Padding and striding that are not a node yet, because the operator that follows may take them
// over: first pads, then every stride-th pixel, then channels added before and behind.
struct Pending {
  uint32_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  float pad_value = 0;
  uint32_t stride_h = 1, stride_w = 1;
  uint32_t channels_before = 0, channels_after = 0;

  bool has_pads() const { return (pad_top | pad_left | pad_bottom | pad_right) != 0; }
  bool has_strides() const { return stride_h != 1 || stride_w != 1; }
  bool has_channels() const { return (channels_before | channels_after) != 0; }
  bool empty() const { return !has_pads() && !has_strides() && !has_channels(); }
};

// A tensor of the result as the ONNX graph sees it.
struct Activation {
  uint32_t tensor = kNone;
  Shape shape;  // after `pending`
  View view;
  Pending pending;
  bool sole_reader = true;  // whoever gets this value is the only one to read the tensor
  bool is_softmax = false;  // a Softmax lies between the tensor and this value
};

class GraphBuilder {
 public:
  Activation SetInput(const std::string& name, const Shape& shape, const View& view);

  // Appends `node`, whose name, inputs and attributes are set, and its output tensor. Shapes follow
  // from the inputs.
  Result<uint32_t> AddNode(Node node, const std::string& output_name);
  uint32_t AddWeights(Weights weights);

  // Turns what is pending into a kSlicePad node.
  Status Settle(Activation& activation);

  const Shape& shape(uint32_t tensor) const { return shapes_[tensor]; }
  // The node that writes the tensor, or null for the input. Valid until the next AddNode.
  Node* producer(uint32_t tensor);
  Weights& weights(uint32_t index) { return graph_.weights[index]; }

  // The graph, without nodes that `output` does not need.
  Graph Finish(uint32_t output) &&;

 private:
  std::string UniqueName(const std::string& name, const std::string& fallback);

  Graph graph_;
  std::vector<Shape> shapes_;
  std::vector<uint32_t> producers_;  // of each tensor: node or kNone
  std::unordered_set<std::string> node_names_;
};

}  // namespace mpq::onnx_import

#endif  // MPQ_QUANTIZE_IMPORT_GRAPH_BUILDER_H_
