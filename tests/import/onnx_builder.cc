#include "tests/import/onnx_builder.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "engine/core/float_executor.h"

namespace mpq {

using onnx::AttributeProto;
using onnx::TensorProto;

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "mpq_import_XXXXXX").string();
  REQUIRE(mkdtemp(pattern.data()) != nullptr);
  folder_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  REQUIRE(file.good());
}

AttributeProto* NodeBuilder::Add(const std::string& name, AttributeProto::AttributeType type) {
  AttributeProto* attribute = node_->add_attribute();
  attribute->set_name(name);
  attribute->set_type(type);
  return attribute;
}

NodeBuilder& NodeBuilder::Int(const std::string& name, int64_t value) {
  Add(name, AttributeProto::INT)->set_i(value);
  return *this;
}

NodeBuilder& NodeBuilder::List(const std::string& name, const Ints& values) {
  AttributeProto* attribute = Add(name, AttributeProto::INTS);
  for (const int64_t value : values) attribute->add_ints(value);
  return *this;
}

NodeBuilder& NodeBuilder::Float(const std::string& name, float value) {
  Add(name, AttributeProto::FLOAT)->set_f(value);
  return *this;
}

NodeBuilder& NodeBuilder::Text(const std::string& name, const std::string& value) {
  Add(name, AttributeProto::STRING)->set_s(value);
  return *this;
}

OnnxBuilder::OnnxBuilder(const Ints& input_dims, int64_t opset) {
  model_.set_ir_version(8);
  model_.add_opset_import()->set_version(opset);
  graph().set_name("test");
  onnx::ValueInfoProto* input = graph().add_input();
  input->set_name("x");
  onnx::TypeProto::Tensor* type = input->mutable_type()->mutable_tensor_type();
  type->set_elem_type(TensorProto::FLOAT);
  for (const int64_t dim : input_dims) {
    onnx::TensorShapeProto::Dimension* out = type->mutable_shape()->add_dim();
    if (dim < 0) {
      out->set_dim_param("N");
    } else {
      out->set_dim_value(dim);
    }
  }
  graph().add_output()->set_name("y");
}

NodeBuilder OnnxBuilder::Node(const std::string& op, const Names& inputs, const Names& outputs) {
  onnx::NodeProto* node = graph().add_node();
  node->set_op_type(op);
  node->set_name(outputs[0]);
  for (const std::string& input : inputs) node->add_input(input);
  for (const std::string& output : outputs) node->add_output(output);
  return NodeBuilder(node);
}

TensorProto* OnnxBuilder::Floats(const std::string& name, const Ints& dims,
                                 const std::vector<float>& values) {
  TensorProto* tensor = graph().add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(TensorProto::FLOAT);
  for (const int64_t dim : dims) tensor->add_dims(dim);
  for (const float value : values) tensor->add_float_data(value);
  return tensor;
}

TensorProto* OnnxBuilder::Int64s(const std::string& name, const Ints& dims, const Ints& values) {
  TensorProto* tensor = graph().add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(TensorProto::INT64);
  for (const int64_t dim : dims) tensor->add_dims(dim);
  for (const int64_t value : values) tensor->add_int64_data(value);
  return tensor;
}

TensorProto* OnnxBuilder::Counting(const std::string& name, const Ints& dims, float step) {
  int64_t count = 1;
  for (const int64_t dim : dims) count *= dim;
  std::vector<float> values;
  for (int64_t i = 1; i <= count; ++i) values.push_back(step * static_cast<float>(i));
  return Floats(name, dims, values);
}

void OnnxBuilder::PoolToOutput(const std::string& tensor) {
  Node("GlobalAveragePool", {tensor}, {"pooled"});
  Node("Flatten", {"pooled"}, {"y"});
}

Result<ImportedModel> OnnxBuilder::Import() const {
  const TemporaryFolder folder;
  const std::string path = folder.path("model.onnx");
  WriteFile(path, Serialize());
  return ImportOnnx(path);
}

std::vector<float> RunGraph(const Graph& graph, const std::vector<float>& src) {
  Result<std::unique_ptr<FloatExecutor>> executor = MakeRefFloatExecutor(graph, {});
  REQUIRE_MESSAGE(executor.ok(), executor.status().message());
  const Status ran = (*executor)->Run(src);
  REQUIRE_MESSAGE(ran.ok(), ran.message());
  const Result<std::span<const float>> dst = (*executor)->Read(graph.output);
  REQUIRE_MESSAGE(dst.ok(), dst.status().message());
  return {dst->begin(), dst->end()};
}

std::string OpList(const Graph& graph) {
  std::string list;
  for (const Node& node : graph.nodes) {
    if (!list.empty()) list += ' ';
    list += OpKindName(node.kind);
  }
  return list;
}

}  // namespace mpq
