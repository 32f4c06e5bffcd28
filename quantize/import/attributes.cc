#include "quantize/import/attributes.h"

#include <map>
#include <string_view>

#include "format/message.h"

namespace mpq::onnx_import {

namespace {

using onnx::AttributeProto;

// In ONNX one name has one type, whatever the operator, among the operators that we read.
const std::map<std::string_view, AttributeProto::AttributeType>& AttributeTypes() {
  static const auto* const kTypes = new std::map<std::string_view, AttributeProto::AttributeType>{
      {"allowzero", AttributeProto::INT},
      {"alpha", AttributeProto::FLOAT},
      {"auto_pad", AttributeProto::STRING},
      {"axes", AttributeProto::INTS},
      {"axis", AttributeProto::INT},
      {"beta", AttributeProto::FLOAT},
      {"ceil_mode", AttributeProto::INT},
      {"count_include_pad", AttributeProto::INT},
      {"dilations", AttributeProto::INTS},
      {"end", AttributeProto::INT},
      {"ends", AttributeProto::INTS},
      {"epsilon", AttributeProto::FLOAT},
      {"group", AttributeProto::INT},
      {"keepdims", AttributeProto::INT},
      {"kernel_shape", AttributeProto::INTS},
      {"max", AttributeProto::FLOAT},
      {"min", AttributeProto::FLOAT},
      {"mode", AttributeProto::STRING},
      {"noop_with_empty_axes", AttributeProto::INT},
      {"pads", AttributeProto::INTS},
      {"perm", AttributeProto::INTS},
      {"start", AttributeProto::INT},
      {"starts", AttributeProto::INTS},
      {"strides", AttributeProto::INTS},
      {"to", AttributeProto::INT},
      {"training_mode", AttributeProto::INT},
      {"transA", AttributeProto::INT},
      {"transB", AttributeProto::INT},
      {"value_float", AttributeProto::FLOAT},
      {"value_floats", AttributeProto::FLOATS},
      {"value_int", AttributeProto::INT},
      {"value_ints", AttributeProto::INTS},
  };
  return *kTypes;
}

}  // namespace

Status CheckAttributeTypes(const onnx::NodeProto& node) {
  for (const AttributeProto& attribute : node.attribute()) {
    const auto expected = AttributeTypes().find(attribute.name());
    // The first version of ONNX did not write types.
    if (expected == AttributeTypes().end() || !attribute.has_type()) continue;
    if (attribute.type() != expected->second) {
      return Error(ErrorCode::kCorrupt, "attribute '", attribute.name(), "' has type ",
                   AttributeProto::AttributeType_Name(attribute.type()), ", expected ",
                   AttributeProto::AttributeType_Name(expected->second));
    }
  }
  return {};
}

const AttributeProto* Attributes::Find(const char* name) const {
  for (const AttributeProto& attribute : node_.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

int64_t Attributes::Int(const char* name, int64_t otherwise) const {
  const AttributeProto* attribute = Find(name);
  return attribute == nullptr ? otherwise : attribute->i();
}

float Attributes::Float(const char* name, float otherwise) const {
  const AttributeProto* attribute = Find(name);
  return attribute == nullptr ? otherwise : attribute->f();
}

std::string Attributes::String(const char* name, const std::string& otherwise) const {
  const AttributeProto* attribute = Find(name);
  return attribute == nullptr ? otherwise : attribute->s();
}

std::vector<int64_t> Attributes::Ints(const char* name) const {
  const AttributeProto* attribute = Find(name);
  if (attribute == nullptr) return {};
  return {attribute->ints().begin(), attribute->ints().end()};
}

std::vector<float> Attributes::Floats(const char* name) const {
  const AttributeProto* attribute = Find(name);
  if (attribute == nullptr) return {};
  return {attribute->floats().begin(), attribute->floats().end()};
}

const onnx::TensorProto* Attributes::Tensor(const char* name) const {
  const AttributeProto* attribute = Find(name);
  return attribute != nullptr && attribute->has_t() ? &attribute->t() : nullptr;
}

}  // namespace mpq::onnx_import
