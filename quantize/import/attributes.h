// Attributes of one ONNX node, with the types checked once.
#ifndef MPQ_QUANTIZE_IMPORT_ATTRIBUTES_H_
#define MPQ_QUANTIZE_IMPORT_ATTRIBUTES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "mpq/status.h"
#include "onnx/onnx_pb.h"

namespace mpq::onnx_import {

// An error if an attribute that we read has another type than the ONNX specification gives it.
Status CheckAttributeTypes(const onnx::NodeProto& node);

class Attributes {
 public:
  // `node` has passed CheckAttributeTypes and outlives this.
  explicit Attributes(const onnx::NodeProto& node) : node_(node) {}

  bool Has(const char* name) const { return Find(name) != nullptr; }
  int64_t Int(const char* name, int64_t otherwise) const;
  float Float(const char* name, float otherwise) const;
  std::string String(const char* name, const std::string& otherwise) const;
  std::vector<int64_t> Ints(const char* name) const;        // empty if absent
  std::vector<float> Floats(const char* name) const;        // empty if absent
  const onnx::TensorProto* Tensor(const char* name) const;  // null if absent

 private:
  const onnx::AttributeProto* Find(const char* name) const;

  const onnx::NodeProto& node_;
};

}  // namespace mpq::onnx_import

#endif  // MPQ_QUANTIZE_IMPORT_ATTRIBUTES_H_
