#include "quantize/import/model_file.h"

#include <google/protobuf/stubs/logging.h>
#include <xxhash.h>

#include <bit>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <type_traits>

#include "format/message.h"

namespace mpq::onnx_import {

namespace {

using onnx::TensorProto;

// From opset 7 on, the operators we know broadcast as NumPy does.
constexpr int64_t kMinOpset = 7;

static_assert(std::endian::native == std::endian::little, "raw_data is little endian");

bool IsStandardDomain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = half >> 10 & 31;
  const uint32_t mantissa = half & 0x3ff;
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t wide_exponent = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide_exponent << 23 | mantissa << 13);
}

float Bfloat16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

uint32_t BytesPerElement(int32_t type) {
  switch (type) {
    case TensorProto::BOOL:
    case TensorProto::INT8:
    case TensorProto::UINT8:
      return 1;
    case TensorProto::FLOAT16:
    case TensorProto::BFLOAT16:
    case TensorProto::INT16:
    case TensorProto::UINT16:
      return 2;
    case TensorProto::FLOAT:
    case TensorProto::INT32:
    case TensorProto::UINT32:
      return 4;
    case TensorProto::DOUBLE:
    case TensorProto::INT64:
    case TensorProto::UINT64:
      return 8;
    default:
      return 0;
  }
}

// TensorProto's enumeration as far as ONNX 1.17 has it; the installed classes may be older.
std::string TypeName(int32_t type) {
  static constexpr const char* kNames[] = {
      "undefined",      "float",      "uint8",          "int8",       "uint16",   "int16",
      "int32",          "int64",      "string",         "bool",       "float16",  "double",
      "uint32",         "uint64",     "complex64",      "complex128", "bfloat16", "float8e4m3fn",
      "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "uint4",      "int4",
  };
  if (type < 0 || type >= static_cast<int32_t>(std::size(kNames))) {
    return Message("type ", type);
  }
  return kNames[type];
}

template <typename Raw, typename Out, typename Convert>
std::vector<Out> FromRaw(std::span<const uint8_t> bytes, Convert convert) {
  std::vector<Out> out(bytes.size() / sizeof(Raw));
  for (size_t i = 0; i < out.size(); ++i) {
    Raw raw;
    std::memcpy(&raw, bytes.data() + i * sizeof(Raw), sizeof raw);
    out[i] = convert(raw);
  }
  return out;
}

template <typename Raw>
std::vector<int64_t> IntsFromRaw(std::span<const uint8_t> bytes) {
  return FromRaw<Raw, int64_t>(bytes, [](Raw raw) { return static_cast<int64_t>(raw); });
}

Constant DecodeRaw(Dims dims, int32_t type, std::span<const uint8_t> bytes) {
  switch (type) {
    case TensorProto::FLOAT:
      return {std::move(dims), FromRaw<float, float>(bytes, [](float raw) { return raw; })};
    case TensorProto::DOUBLE:
      return {std::move(dims),
              FromRaw<double, float>(bytes, [](double raw) { return static_cast<float>(raw); })};
    case TensorProto::FLOAT16:
      return {std::move(dims), FromRaw<uint16_t, float>(bytes, HalfToFloat)};
    case TensorProto::BFLOAT16:
      return {std::move(dims), FromRaw<uint16_t, float>(bytes, Bfloat16ToFloat)};
    case TensorProto::INT64:
    case TensorProto::UINT64:
      return {std::move(dims), IntsFromRaw<int64_t>(bytes)};
    case TensorProto::INT32:
      return {std::move(dims), IntsFromRaw<int32_t>(bytes)};
    case TensorProto::UINT32:
      return {std::move(dims), IntsFromRaw<uint32_t>(bytes)};
    case TensorProto::INT16:
      return {std::move(dims), IntsFromRaw<int16_t>(bytes)};
    case TensorProto::UINT16:
      return {std::move(dims), IntsFromRaw<uint16_t>(bytes)};
    case TensorProto::INT8:
      return {std::move(dims), IntsFromRaw<int8_t>(bytes)};
    default:  // BOOL, UINT8; BytesPerElement has refused the others
      return {std::move(dims), IntsFromRaw<uint8_t>(bytes)};
  }
}

template <typename Field>
std::vector<int64_t> IntsFromField(const Field& field) {
  return std::vector<int64_t>(field.begin(), field.end());
}

// Elements in the typed fields of the message. Small types travel in int32_data, halves as bits.
Constant DecodeFields(Dims dims, const TensorProto& tensor) {
  switch (tensor.data_type()) {
    case TensorProto::FLOAT:
      return {std::move(dims),
              std::vector<float>(tensor.float_data().begin(), tensor.float_data().end())};
    case TensorProto::DOUBLE: {
      const auto& data = tensor.double_data();
      return {std::move(dims), std::vector<float>(data.begin(), data.end())};
    }
    case TensorProto::FLOAT16:
    case TensorProto::BFLOAT16: {
      const auto convert =
          tensor.data_type() == TensorProto::FLOAT16 ? HalfToFloat : Bfloat16ToFloat;
      std::vector<float> floats;
      floats.reserve(static_cast<size_t>(tensor.int32_data_size()));
      for (const int32_t bits : tensor.int32_data()) {
        floats.push_back(convert(static_cast<uint16_t>(bits)));
      }
      return {std::move(dims), std::move(floats)};
    }
    case TensorProto::INT64:
      return {std::move(dims), IntsFromField(tensor.int64_data())};
    case TensorProto::UINT32:
    case TensorProto::UINT64:
      return {std::move(dims), IntsFromField(tensor.uint64_data())};
    default:
      return {std::move(dims), IntsFromField(tensor.int32_data())};
  }
}

// The external_data entry `key` of `tensor`, or null.
const std::string* ExternalEntry(const TensorProto& tensor, const char* key) {
  for (const onnx::StringStringEntryProto& entry : tensor.external_data()) {
    if (entry.key() == key) return &entry.value();
  }
  return nullptr;
}

Result<uint64_t> ExternalNumber(const TensorProto& tensor, const char* key, uint64_t otherwise) {
  const std::string* text = ExternalEntry(tensor, key);
  if (text == nullptr) return otherwise;
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc() || end != text->data() + text->size()) {
    return Error(ErrorCode::kCorrupt, "external data: ", key, " '", *text, "' is not a number");
  }
  return number;
}

// A model from elsewhere must not make us read files outside its own folder.
Status CheckLocation(const std::string& location) {
  const std::filesystem::path path(location);
  if (location.empty() || location.find('\0') != std::string::npos) {
    return Error(ErrorCode::kCorrupt, "external data: no usable file name");
  }
  if (path.is_absolute()) {
    return Error(ErrorCode::kCorrupt, "external data: '", location,
                 "' is an absolute path; it must lie in the model's folder");
  }
  for (const std::filesystem::path& part : path) {
    if (part == "..") {
      return Error(ErrorCode::kCorrupt, "external data: '", location,
                   "' leaves the model's folder");
    }
  }
  return {};
}

}  // namespace

Result<ModelFile> ModelFile::Load(const std::string& path) {
  MPQ_ASSIGN_OR_RETURN(const FileMap map, FileMap::Open(path));
  if (map.bytes().size() > kMaxModelFileBytes) {
    return Error(ErrorCode::kLimitExceeded, path, ": ", map.bytes().size(),
                 " bytes, but protobuf reads at most ", kMaxModelFileBytes,
                 "; save the model with external data");
  }
  ModelFile file(path);
  const google::protobuf::LogSilencer no_messages_on_stderr;
  if (!file.model_.ParseFromArray(map.bytes().data(), static_cast<int>(map.bytes().size()))) {
    return Error(ErrorCode::kCorrupt, path,
                 ": not an ONNX model, or a truncated one (protobuf cannot parse its ",
                 map.bytes().size(), " bytes)");
  }
  MPQ_RETURN_IF_ERROR(file.CheckModel().WithContext(path));
  return file;
}

Status ModelFile::CheckModel() {
  // Protobuf parses an empty file, and now and then a random one, without complaint.
  if (!model_.has_graph() || model_.graph().node_size() == 0) {
    return Error(ErrorCode::kCorrupt, "not an ONNX model: it has no graph");
  }
  for (const onnx::OperatorSetIdProto& set : model_.opset_import()) {
    if (IsStandardDomain(set.domain())) opset_ = set.version();
  }
  if (opset_ == 0) {
    return Error(ErrorCode::kCorrupt, "not a complete ONNX model: it names no operator set");
  }
  if (opset_ < kMinOpset) {
    return Error(ErrorCode::kUnsupportedVersion, "opset ", opset_, ", but ", kMinOpset,
                 " is the oldest supported; convert it with onnx.version_converter");
  }
  return {};
}

Result<Constant> ModelFile::ReadTensor(const TensorProto& tensor) {
  const auto fail = [&](ErrorCode code, const auto&... what) {
    return Error(code, "tensor '", tensor.name(), "': ", what...);
  };
  const Dims dims(tensor.dims().begin(), tensor.dims().end());
  const std::optional<size_t> count = NumElements(dims);
  if (!count) return fail(ErrorCode::kCorrupt, "impossible shape ", DimsText(dims));
  const uint32_t element_bytes = BytesPerElement(tensor.data_type());
  if (element_bytes == 0) {
    return fail(ErrorCode::kUnsupported, "elements of ", TypeName(tensor.data_type()),
                " are not supported");
  }
  if (tensor.has_segment()) return fail(ErrorCode::kUnsupported, "segments are not supported");
  const uint64_t num_bytes = uint64_t{*count} * element_bytes;
  if (tensor.data_location() == TensorProto::EXTERNAL) {
    Result<std::span<const uint8_t>> bytes = ExternalBytes(tensor, num_bytes);
    if (!bytes.ok()) return fail(bytes.status().code(), bytes.status().message());
    return DecodeRaw(dims, tensor.data_type(), *bytes);
  }
  if (tensor.has_raw_data()) {
    const std::string& raw = tensor.raw_data();
    if (raw.size() != num_bytes) {
      return fail(ErrorCode::kCorrupt, "shape ", DimsText(dims), " needs ", num_bytes,
                  " bytes, but there are ", raw.size());
    }
    return DecodeRaw(dims, tensor.data_type(),
                     {reinterpret_cast<const uint8_t*>(raw.data()), raw.size()});
  }
  Constant constant = DecodeFields(dims, tensor);
  if (constant.size() != *count) {
    return fail(ErrorCode::kCorrupt, "shape ", DimsText(dims), " needs ", *count,
                " elements, but there are ", constant.size());
  }
  return constant;
}

Result<std::span<const uint8_t>> ModelFile::ExternalBytes(const TensorProto& tensor,
                                                          uint64_t num_bytes) {
  const std::string* location = ExternalEntry(tensor, "location");
  if (location == nullptr) {
    return Error(ErrorCode::kCorrupt, "external data: no file is named");
  }
  MPQ_ASSIGN_OR_RETURN(const uint64_t offset, ExternalNumber(tensor, "offset", 0));
  MPQ_ASSIGN_OR_RETURN(const uint64_t length, ExternalNumber(tensor, "length", num_bytes));
  if (length != num_bytes) {
    return Error(ErrorCode::kCorrupt, "external data: length ", length, ", but the shape needs ",
                 num_bytes, " bytes");
  }
  MPQ_ASSIGN_OR_RETURN(const FileMap* map, OpenExternal(*location));
  const uint64_t size = map->bytes().size();
  if (offset > size || num_bytes > size - offset) {
    return Error(ErrorCode::kTruncated, "external data: '", *location, "' has ", size,
                 " bytes, but ", num_bytes, " are wanted from offset ", offset);
  }
  return map->bytes().subspan(offset, num_bytes);
}

Result<const FileMap*> ModelFile::OpenExternal(const std::string& location) {
  const auto known = external_files_.find(location);
  if (known != external_files_.end()) return &known->second;
  MPQ_RETURN_IF_ERROR(CheckLocation(location));
  const std::filesystem::path path = std::filesystem::path(path_).parent_path() / location;
  Result<FileMap> map = FileMap::Open(path.string());
  if (!map.ok()) return map.status().WithContext("external data");
  return &external_files_.emplace(location, std::move(map).value()).first->second;
}

Result<std::string> ModelFile::SourceHash() const {
  MPQ_ASSIGN_OR_RETURN(const FileMap map, FileMap::Open(path_));
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  if (state == nullptr) return Error(ErrorCode::kOutOfMemory, path_, ": no memory for hashing");
  XXH3_64bits_reset(state.get());
  XXH3_64bits_update(state.get(), map.bytes().data(), map.bytes().size());
  for (const auto& [location, file] : external_files_) {
    XXH3_64bits_update(state.get(), file.bytes().data(), file.bytes().size());
  }
  char text[17];
  std::snprintf(text, sizeof text, "%016llx",
                static_cast<unsigned long long>(XXH3_64bits_digest(state.get())));
  return std::string(text);
}

}  // namespace mpq::onnx_import
