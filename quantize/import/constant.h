// A constant tensor of the ONNX graph: weights, and the small integers of shape arithmetic.
#ifndef MPQ_QUANTIZE_IMPORT_CONSTANT_H_
#define MPQ_QUANTIZE_IMPORT_CONSTANT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "mpq/status.h"

namespace mpq::onnx_import {

using Dims = std::vector<int64_t>;

// Product of dims; nothing if a dim is negative or the product is beyond kMaxElements.
std::optional<size_t> NumElements(std::span<const int64_t> dims);
inline constexpr size_t kMaxElements = size_t{1} << 31;

// "[1, 3, 224, 224]"
std::string DimsText(std::span<const int64_t> dims);

// All real types are held as float, all integers and booleans as int64. values has as many elements
// as dims say.
struct Constant {
  Dims dims;
  std::variant<std::vector<float>, std::vector<int64_t>> values;

  Constant() = default;
  Constant(Dims d, std::vector<float> v) : dims(std::move(d)), values(std::move(v)) {}
  Constant(Dims d, std::vector<int64_t> v) : dims(std::move(d)), values(std::move(v)) {}

  bool is_float() const { return values.index() == 0; }
  size_t size() const;
  const std::vector<float>& floats() const { return std::get<0>(values); }
  const std::vector<int64_t>& ints() const { return std::get<1>(values); }
  // The elements, converted where the constant holds the other type.
  std::vector<float> ToFloats() const;
  // An error if they are not integers.
  Result<std::vector<int64_t>> ToInts() const;
};

}  // namespace mpq::onnx_import

#endif  // MPQ_QUANTIZE_IMPORT_CONSTANT_H_
