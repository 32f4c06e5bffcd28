// Builds small ONNX models in the way exporters write them, for the importer's tests.
#ifndef MPQ_TESTS_IMPORT_ONNX_BUILDER_H_
#define MPQ_TESTS_IMPORT_ONNX_BUILDER_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mpq/status.h"
#include "onnx/onnx_pb.h"
#include "quantize/import/onnx_import.h"

namespace mpq {

using Ints = std::vector<int64_t>;
using Names = std::vector<std::string>;

// A folder that goes away with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

 private:
  std::filesystem::path folder_;
};

void WriteFile(const std::string& path, const std::string& bytes);

// Attributes of the node made last.
class NodeBuilder {
 public:
  explicit NodeBuilder(onnx::NodeProto* node) : node_(node) {}
  NodeBuilder& Int(const std::string& name, int64_t value);
  NodeBuilder& List(const std::string& name, const Ints& values);
  NodeBuilder& Float(const std::string& name, float value);
  NodeBuilder& Text(const std::string& name, const std::string& value);
  onnx::NodeProto* proto() { return node_; }

 private:
  onnx::AttributeProto* Add(const std::string& name, onnx::AttributeProto::AttributeType type);
  onnx::NodeProto* node_;
};

class OnnxBuilder {
 public:
  // One input 'x' of these dims; -1 is the symbol N. One output 'y'.
  explicit OnnxBuilder(const Ints& input_dims, int64_t opset = 13);

  // A node named after its first output.
  NodeBuilder Node(const std::string& op, const Names& inputs, const Names& outputs);
  onnx::TensorProto* Floats(const std::string& name, const Ints& dims,
                            const std::vector<float>& values);
  onnx::TensorProto* Int64s(const std::string& name, const Ints& dims, const Ints& values);
  // Values 1, 2, 3, ... scaled by `step`.
  onnx::TensorProto* Counting(const std::string& name, const Ints& dims, float step = 0.01f);
  // The usual end: GlobalAveragePool and Flatten to 'y'.
  void PoolToOutput(const std::string& tensor);

  onnx::ModelProto& model() { return model_; }
  onnx::GraphProto& graph() { return *model_.mutable_graph(); }

  std::string Serialize() const { return model_.SerializeAsString(); }
  // Writes the model into a folder of its own and imports it.
  Result<ImportedModel> Import() const;

 private:
  onnx::ModelProto model_;
};

// The graph's output for one image, by the reference executor. src: [h][w][c].
std::vector<float> RunGraph(const Graph& graph, const std::vector<float>& src);

// The graph's nodes in short: "Conv Clip GlobalAvgPool".
std::string OpList(const Graph& graph);

}  // namespace mpq

#endif  // MPQ_TESTS_IMPORT_ONNX_BUILDER_H_
