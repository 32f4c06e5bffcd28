#include "quantize/import/constant.h"

#include "format/message.h"

namespace mpq::onnx_import {

std::optional<size_t> NumElements(std::span<const int64_t> dims) {
  size_t count = 1;
  bool empty = false;
  for (const int64_t dim : dims) {
    if (dim < 0) return std::nullopt;
    if (dim == 0) {
      empty = true;
      continue;
    }
    if (static_cast<uint64_t>(dim) > kMaxElements / count) return std::nullopt;
    count *= static_cast<size_t>(dim);
  }
  return empty ? 0 : count;
}

std::string DimsText(std::span<const int64_t> dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(dims[i]);
  }
  return text + "]";
}

size_t Constant::size() const {
  return std::visit([](const auto& v) { return v.size(); }, values);
}

std::vector<float> Constant::ToFloats() const {
  if (is_float()) return floats();
  return std::vector<float>(ints().begin(), ints().end());
}

Result<std::vector<int64_t>> Constant::ToInts() const {
  if (!is_float()) return ints();
  return Error(ErrorCode::kInvalidArgument, "expected integers, not real numbers");
}

}  // namespace mpq::onnx_import
