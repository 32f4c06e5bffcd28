// The ONNX file itself: protobuf parsing, weights inside and beside it.
#ifndef MPQ_QUANTIZE_IMPORT_MODEL_FILE_H_
#define MPQ_QUANTIZE_IMPORT_MODEL_FILE_H_

#include <cstdint>
#include <map>
#include <string>

#include "engine/core/file_map.h"
#include "mpq/status.h"
#include "onnx/onnx_pb.h"
#include "quantize/import/constant.h"

namespace mpq::onnx_import {

// What protobuf can parse; larger models keep their weights in external files.
inline constexpr uint64_t kMaxModelFileBytes = 0x7fffffff;

class ModelFile {
 public:
  // Maps and parses the file and checks that it is an ONNX model of an opset that we know.
  static Result<ModelFile> Load(const std::string& path);

  const onnx::GraphProto& graph() const { return model_.graph(); }
  // Version of the standard operators.
  int64_t opset() const { return opset_; }

  // The elements of `tensor` as float or int64, from wherever they lie. Errors name the tensor.
  Result<Constant> ReadTensor(const onnx::TensorProto& tensor);

  // Hash over the file and the external files read so far (onnx_import.h). Maps the file again.
  Result<std::string> SourceHash() const;

 private:
  explicit ModelFile(std::string path) : path_(std::move(path)) {}

  Status CheckModel();
  Result<std::span<const uint8_t>> ExternalBytes(const onnx::TensorProto& tensor,
                                                 uint64_t num_bytes);
  Result<const FileMap*> OpenExternal(const std::string& location);

  std::string path_;
  onnx::ModelProto model_;
  int64_t opset_ = 0;
  std::map<std::string, FileMap> external_files_;  // by location as the model writes it
};

}  // namespace mpq::onnx_import

#endif  // MPQ_QUANTIZE_IMPORT_MODEL_FILE_H_
