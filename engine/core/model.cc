#include "mpq/model.h"

#include <cstring>
#include <optional>
#include <utility>

#include "engine/core/aligned_memory.h"
#include "engine/core/file_map.h"
#include "engine/core/no_throw.h"
#include "format/code_layout.h"
#include "format/message.h"
#include "format/model_data.h"
#include "format/reader.h"
#include "format/validate.h"

namespace mpq {

// The data's streams point into `map` or `copy`, or own themselves.
struct Model::Contents {
  std::optional<FileMap> map;
  AlignedMemory copy;
  ModelData data;
  uint64_t file_bytes = 0;
};

Result<Model> Model::Load(const std::string& path) {
  return WithoutThrowing(path.c_str(), [&]() -> Result<Model> {
    MPQ_ASSIGN_OR_RETURN(FileMap map, FileMap::Open(path));
    Result<ModelData> data = ReadModel(map.bytes());
    if (!data.ok()) return data.status().WithContext(path);
    auto contents = std::make_shared<Contents>();
    contents->file_bytes = map.bytes().size();
    contents->map = std::move(map);
    contents->data = std::move(data).value();
    return Model(std::move(contents));
  });
}

Result<Model> Model::FromMemory(std::span<const uint8_t> file) {
  return WithoutThrowing("model in memory", [&]() -> Result<Model> {
    if (reinterpret_cast<uintptr_t>(file.data()) % kStreamAlignment != 0) {
      return Error(ErrorCode::kInvalidArgument, "a model in memory must be aligned to ",
                   kStreamAlignment, " bytes");
    }
    MPQ_ASSIGN_OR_RETURN(ModelData data, ReadModel(file));
    auto contents = std::make_shared<Contents>();
    contents->file_bytes = file.size();
    contents->data = std::move(data);
    return Model(std::move(contents));
  });
}

Result<Model> Model::FromCopy(std::span<const uint8_t> file) {
  return WithoutThrowing("copy of a model", [&]() -> Result<Model> {
    MPQ_ASSIGN_OR_RETURN(AlignedMemory copy, AlignedMemory::Allocate(file.size()));
    if (!file.empty()) std::memcpy(copy.data(), file.data(), file.size());
    MPQ_ASSIGN_OR_RETURN(ModelData data,
                         ReadModel({reinterpret_cast<const uint8_t*>(copy.data()), file.size()}));
    auto contents = std::make_shared<Contents>();
    contents->file_bytes = file.size();
    contents->copy = std::move(copy);
    contents->data = std::move(data);
    return Model(std::move(contents));
  });
}

Result<Model> Model::FromData(ModelData data) {
  return WithoutThrowing("model", [&]() -> Result<Model> {
    MPQ_RETURN_IF_ERROR(Validate(data));
    auto contents = std::make_shared<Contents>();
    contents->data = std::move(data);
    return Model(std::move(contents));
  });
}

const ModelData& Model::data() const { return contents_->data; }
const std::vector<std::string>& Model::labels() const { return data().labels; }
bool Model::is_integer() const { return !data().graph.is_float(); }
uint32_t Model::input_height() const { return data().graph.tensors[data().graph.input].height; }
uint32_t Model::input_width() const { return data().graph.tensors[data().graph.input].width; }
uint32_t Model::input_channels() const { return data().graph.tensors[data().graph.input].channels; }
uint32_t Model::num_classes() const { return data().graph.tensors[data().graph.output].channels; }
uint64_t Model::file_bytes() const { return contents_->file_bytes; }

}  // namespace mpq
