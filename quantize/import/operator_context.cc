#include "quantize/import/operator_context.h"

#include "format/message.h"
#include "quantize/import/node_order.h"

namespace mpq::onnx_import {

namespace {

Status MissingInput(size_t i) { return Error(ErrorCode::kCorrupt, "input ", i, " is missing"); }

}  // namespace

Result<Activation*> OperatorContext::PendingActivation(size_t i) const {
  if (!HasInput(i)) return MissingInput(i);
  Activation* activation = std::get_if<Activation>(inputs[i]);
  if (activation == nullptr) {
    return Error(ErrorCode::kUnsupported, "input ", i, " '", node.input(static_cast<int>(i)),
                 "' is a constant; here only computed tensors are supported");
  }
  return activation;
}

Result<Activation*> OperatorContext::SettledActivation(size_t i) const {
  MPQ_ASSIGN_OR_RETURN(Activation * activation, PendingActivation(i));
  MPQ_RETURN_IF_ERROR(builder.Settle(*activation));
  return activation;
}

Result<ConstantPtr> OperatorContext::ConstantInput(size_t i, const char* what) const {
  if (!HasInput(i)) return MissingInput(i);
  const ConstantPtr* constant = std::get_if<ConstantPtr>(inputs[i]);
  if (constant == nullptr) {
    return Error(ErrorCode::kUnsupported, what, " '", node.input(static_cast<int>(i)),
                 "' depends on the image; only constants are supported");
  }
  return *constant;
}

Result<std::vector<int64_t>> OperatorContext::IntsInput(size_t i, const char* what) const {
  MPQ_ASSIGN_OR_RETURN(const ConstantPtr constant, ConstantInput(i, what));
  Result<std::vector<int64_t>> ints = constant->ToInts();
  if (!ints.ok()) return ints.status().WithContext(what);
  return ints;
}

Result<std::vector<int64_t>> OperatorContext::IntsInputOrAttribute(size_t i,
                                                                   const char* name) const {
  if (HasInput(i)) return IntsInput(i, name);
  return attributes.Ints(name);
}

Node OperatorContext::NewNode(OpKind kind, const Activation& activation) const {
  Node graph_node;
  graph_node.kind = kind;
  graph_node.name = NodeName(node);
  graph_node.inputs = {activation.tensor};
  return graph_node;
}

Result<Value> OperatorContext::Emit(Node graph_node, const View& view) const {
  MPQ_ASSIGN_OR_RETURN(const uint32_t tensor,
                       builder.AddNode(std::move(graph_node), node.output(0)));
  const Shape& shape = builder.shape(tensor);
  return Value(
      Activation{.tensor = tensor, .shape = shape, .view = view.Resized(shape), .pending = {}});
}

const OperatorTable& Operators() {
  static const OperatorTable* const kTable = [] {
    auto* table = new OperatorTable;
    AddConvolutionOperators(*table);
    AddPoolingOperators(*table);
    AddElementwiseOperators(*table);
    AddShapeOperators(*table);
    return table;
  }();
  return *kTable;
}

}  // namespace mpq::onnx_import
