// What an operator's converter works with.
#ifndef MPQ_QUANTIZE_IMPORT_OPERATOR_CONTEXT_H_
#define MPQ_QUANTIZE_IMPORT_OPERATOR_CONTEXT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mpq/status.h"
#include "onnx/onnx_pb.h"
#include "quantize/import/attributes.h"
#include "quantize/import/constant.h"
#include "quantize/import/graph_builder.h"
#include "quantize/import/model_file.h"

namespace mpq::onnx_import {

// A tensor of the ONNX graph: known now, or computed from the image.
using ConstantPtr = std::shared_ptr<const Constant>;
using Value = std::variant<ConstantPtr, Activation>;

inline Value MakeConstant(Constant constant) {
  return std::make_shared<const Constant>(std::move(constant));
}

struct OperatorContext {
  const onnx::NodeProto& node;
  Attributes attributes;
  int64_t opset;
  std::vector<Value*> inputs;  // null where an optional input is left out
  ModelFile& file;
  GraphBuilder& builder;
  std::vector<std::string>& notes;

  bool HasInput(size_t i) const { return i < inputs.size() && inputs[i] != nullptr; }
  bool IsConstant(size_t i) const {
    return HasInput(i) && std::holds_alternative<ConstantPtr>(*inputs[i]);
  }
  // The input as an activation, with whatever is pending.
  Result<Activation*> PendingActivation(size_t i) const;
  // The same after turning what is pending into a node.
  Result<Activation*> SettledActivation(size_t i) const;
  // The input as a constant; the error calls it `what`.
  Result<ConstantPtr> ConstantInput(size_t i, const char* what) const;
  Result<std::vector<int64_t>> IntsInput(size_t i, const char* what) const;
  // Ints that newer opsets pass as input i and older ones as an attribute; empty if there are none.
  Result<std::vector<int64_t>> IntsInputOrAttribute(size_t i, const char* name) const;

  // Starts a node that reads `activation`, named after the ONNX node.
  Node NewNode(OpKind kind, const Activation& activation) const;
  // Appends the node; the result has the ONNX node's output name and is seen through `view`.
  Result<Value> Emit(Node graph_node, const View& view) const;
};

using Converter = Result<Value> (*)(OperatorContext&);

struct OperatorEntry {
  Converter convert;
  bool is_view = false;  // only another view of the input: may stand behind a closing Softmax
};

// Converters by ONNX operator, for nodes with at least one input that is not constant.
using OperatorTable = std::map<std::string_view, OperatorEntry>;
void AddConvolutionOperators(OperatorTable& table);
void AddPoolingOperators(OperatorTable& table);
void AddElementwiseOperators(OperatorTable& table);
void AddShapeOperators(OperatorTable& table);
const OperatorTable& Operators();

}  // namespace mpq::onnx_import

#endif  // MPQ_QUANTIZE_IMPORT_OPERATOR_CONTEXT_H_
