// Which nodes of the ONNX graph run, and in which order.
#ifndef MPQ_QUANTIZE_IMPORT_NODE_ORDER_H_
#define MPQ_QUANTIZE_IMPORT_NODE_ORDER_H_

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "mpq/status.h"
#include "onnx/onnx_pb.h"

namespace mpq::onnx_import {

struct NodeOrder {
  std::vector<const onnx::NodeProto*> nodes;  // without those that the output does not need
  // How often these nodes (and the graph's output) read a tensor.
  std::unordered_map<std::string, uint32_t> uses;
};

// Orders what `output` needs. Errors: a tensor written twice, one that nobody writes, a cycle.
// Nodes may stand in the file in any order; if that order can run, it is kept.
Result<NodeOrder> OrderNodes(const onnx::GraphProto& graph, const std::string& output);

// The node's name, or that of its first output where it has none.
const std::string& NodeName(const onnx::NodeProto& node);

}  // namespace mpq::onnx_import

#endif  // MPQ_QUANTIZE_IMPORT_NODE_ORDER_H_
