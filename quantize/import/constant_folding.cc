#include "quantize/import/constant_folding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "format/message.h"

namespace mpq::onnx_import {

namespace {

using onnx::TensorProto;

// A node may not blow up small inputs: shape arithmetic needs little.
constexpr size_t kMaxGrownElements = size_t{1} << 20;
// Weights may be put together from parts.
constexpr size_t kMaxJoinedElements = size_t{1} << 27;

Result<size_t> CheckedElements(const OperatorContext& context, const Dims& dims) {
  size_t limit = kMaxGrownElements;
  for (const Value* input : context.inputs) {
    const ConstantPtr* constant = input == nullptr ? nullptr : std::get_if<ConstantPtr>(input);
    if (constant != nullptr) limit = std::max(limit, (*constant)->size());
  }
  const std::optional<size_t> count = NumElements(dims);
  if (count && *count <= limit) return *count;
  return Error(ErrorCode::kLimitExceeded, "a constant of shape ", DimsText(dims),
               " would have more than ", limit, " elements");
}

// Row-major distances of neighbours.
std::vector<int64_t> Strides(const Dims& dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

// offsets[i]: where the i-th element of a row-major tensor of shape `dims` lies in a source with
// these strides.
std::vector<size_t> Offsets(const Dims& dims, const std::vector<int64_t>& strides, int64_t start,
                            size_t count) {
  std::vector<size_t> offsets(count);
  Dims index(dims.size(), 0);
  int64_t offset = start;
  for (size_t& out : offsets) {
    out = static_cast<size_t>(offset);
    for (size_t axis = dims.size(); axis-- > 0;) {
      offset += strides[axis];
      if (++index[axis] < dims[axis]) break;
      offset -= strides[axis] * dims[axis];
      index[axis] = 0;
    }
  }
  return offsets;
}

// A constant of shape `dims` with the elements of `source` at `offsets`.
Constant Pick(const Constant& source, Dims dims, const std::vector<size_t>& offsets) {
  return std::visit(
      [&](const auto& values) {
        std::decay_t<decltype(values)> picked;
        picked.reserve(offsets.size());
        for (const size_t offset : offsets) picked.push_back(values[offset]);
        return Constant(std::move(dims), std::move(picked));
      },
      source.values);
}

Result<Dims> BroadcastDims(const Dims& a, const Dims& b) {
  Dims out(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t da = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t db = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (da != db && da != 1 && db != 1) {
      return Error(ErrorCode::kInvalidArgument, "shapes ", DimsText(a), " and ", DimsText(b),
                   " do not broadcast");
    }
    out[out.size() - 1 - i] = da == 1 ? db : da;
  }
  return out;
}

// `source` repeated along its axes of size 1 to fill `dims`, with which it broadcasts.
Result<Constant> BroadcastTo(const OperatorContext& context, const Constant& source,
                             const Dims& dims) {
  if (source.dims == dims) return source;
  MPQ_ASSIGN_OR_RETURN(const size_t count, CheckedElements(context, dims));
  std::vector<int64_t> strides(dims.size(), 0);
  const std::vector<int64_t> own = Strides(source.dims);
  const size_t lead = dims.size() - source.dims.size();
  for (size_t i = 0; i < own.size(); ++i) {
    if (source.dims[i] != 1) strides[lead + i] = own[i];
  }
  return Pick(source, dims, Offsets(dims, strides, 0, count));
}

Result<const Constant*> Input(const OperatorContext& context, size_t i) {
  MPQ_ASSIGN_OR_RETURN(const ConstantPtr constant, context.ConstantInput(i, "input"));
  return constant.get();  // the context's values keep it alive
}

// Binary element-wise operators; an integer pair stays integer, anything else becomes float.
struct Operands {
  Constant a, b;
};
Result<Operands> BroadcastOperands(const OperatorContext& context, size_t first) {
  MPQ_ASSIGN_OR_RETURN(const Constant* a, Input(context, first));
  MPQ_ASSIGN_OR_RETURN(const Constant* b, Input(context, first + 1));
  MPQ_ASSIGN_OR_RETURN(const Dims dims, BroadcastDims(a->dims, b->dims));
  MPQ_ASSIGN_OR_RETURN(Constant wide_a, BroadcastTo(context, *a, dims));
  MPQ_ASSIGN_OR_RETURN(Constant wide_b, BroadcastTo(context, *b, dims));
  if (wide_a.is_float() != wide_b.is_float()) {
    wide_a.values = wide_a.ToFloats();
    wide_b.values = wide_b.ToFloats();
  }
  return Operands{std::move(wide_a), std::move(wide_b)};
}

template <typename T, typename Out, typename Function>
std::vector<Out> Combine(const std::vector<T>& a, const std::vector<T>& b, Function function) {
  std::vector<Out> out(a.size());
  for (size_t i = 0; i < a.size(); ++i) out[i] = static_cast<Out>(function(a[i], b[i]));
  return out;
}

template <typename Function>
Result<Constant> Arithmetic(OperatorContext& context, Function function) {
  MPQ_ASSIGN_OR_RETURN(const Operands in, BroadcastOperands(context, 0));
  if (in.a.is_float()) {
    return Constant(in.a.dims, Combine<float, float>(in.a.floats(), in.b.floats(), function));
  }
  return Constant(in.a.dims, Combine<int64_t, int64_t>(in.a.ints(), in.b.ints(), function));
}

template <typename Function>
Result<Constant> Comparison(OperatorContext& context, Function function) {
  MPQ_ASSIGN_OR_RETURN(const Operands in, BroadcastOperands(context, 0));
  if (in.a.is_float()) {
    return Constant(in.a.dims, Combine<float, int64_t>(in.a.floats(), in.b.floats(), function));
  }
  return Constant(in.a.dims, Combine<int64_t, int64_t>(in.a.ints(), in.b.ints(), function));
}

template <typename Function>
Result<Constant> Unary(OperatorContext& context, Function function) {
  MPQ_ASSIGN_OR_RETURN(const Constant* in, Input(context, 0));
  Constant out = *in;
  std::visit(
      [&](auto& values) {
        for (auto& v : values) v = static_cast<std::decay_t<decltype(v)>>(function(v));
      },
      out.values);
  return out;
}

// Integer arithmetic of hostile files wraps around instead of being undefined.
template <typename T, typename Function>
T Wrapping(T a, T b, Function function) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(function(static_cast<uint64_t>(a), static_cast<uint64_t>(b)));
  } else {
    return function(a, b);
  }
}

Result<Constant> FoldAdd(OperatorContext& context) {
  return Arithmetic(
      context, [](auto a, auto b) { return Wrapping(a, b, [](auto x, auto y) { return x + y; }); });
}
Result<Constant> FoldSub(OperatorContext& context) {
  return Arithmetic(
      context, [](auto a, auto b) { return Wrapping(a, b, [](auto x, auto y) { return x - y; }); });
}
Result<Constant> FoldMul(OperatorContext& context) {
  return Arithmetic(
      context, [](auto a, auto b) { return Wrapping(a, b, [](auto x, auto y) { return x * y; }); });
}

Result<Constant> FoldDiv(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Constant* divisor, Input(context, 1));
  if (!divisor->is_float()) {
    for (const int64_t value : divisor->ints()) {
      if (value == 0) return Error(ErrorCode::kInvalidArgument, "integer division by zero");
    }
  }
  return Arithmetic(context, [](auto a, auto b) {
    if constexpr (std::is_integral_v<decltype(a)>) {
      // The one quotient that int64 cannot hold.
      if (b == -1) return Wrapping(decltype(a){0}, a, [](auto x, auto y) { return x - y; });
    }
    return static_cast<decltype(a)>(a / b);
  });
}

Result<Constant> FoldMin(OperatorContext& context) {
  if (context.inputs.size() != 2) return Error(ErrorCode::kUnsupported, "expected two inputs");
  return Arithmetic(context, [](auto a, auto b) { return std::min(a, b); });
}
Result<Constant> FoldMax(OperatorContext& context) {
  if (context.inputs.size() != 2) return Error(ErrorCode::kUnsupported, "expected two inputs");
  return Arithmetic(context, [](auto a, auto b) { return std::max(a, b); });
}

Result<Constant> FoldEqual(OperatorContext& context) {
  return Comparison(context, [](auto a, auto b) { return a == b; });
}
Result<Constant> FoldLess(OperatorContext& context) {
  return Comparison(context, [](auto a, auto b) { return a < b; });
}
Result<Constant> FoldGreater(OperatorContext& context) {
  return Comparison(context, [](auto a, auto b) { return a > b; });
}
Result<Constant> FoldAnd(OperatorContext& context) {
  return Comparison(context, [](auto a, auto b) { return a != 0 && b != 0; });
}
Result<Constant> FoldOr(OperatorContext& context) {
  return Comparison(context, [](auto a, auto b) { return a != 0 || b != 0; });
}

Result<Constant> FoldNot(OperatorContext& context) {
  return Unary(context, [](auto v) { return v == 0; });
}
Result<Constant> FoldNeg(OperatorContext& context) {
  return Unary(context, [](auto v) {
    return Wrapping(decltype(v){0}, v, [](auto x, auto y) { return x - y; });
  });
}
Result<Constant> FoldSqrt(OperatorContext& context) {
  return Unary(context, [](auto v) { return std::sqrt(static_cast<float>(v)); });
}
Result<Constant> FoldReciprocal(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Constant* in, Input(context, 0));
  if (!in->is_float()) return Error(ErrorCode::kInvalidArgument, "expected real numbers");
  return Unary(context, [](auto v) { return 1 / static_cast<float>(v); });
}
Result<Constant> FoldFloor(OperatorContext& context) {
  return Unary(context, [](auto v) {
    if constexpr (std::is_integral_v<decltype(v)>) return v;
    return static_cast<decltype(v)>(std::floor(static_cast<float>(v)));
  });
}
Result<Constant> FoldCeil(OperatorContext& context) {
  return Unary(context, [](auto v) {
    if constexpr (std::is_integral_v<decltype(v)>) return v;
    return static_cast<decltype(v)>(std::ceil(static_cast<float>(v)));
  });
}

Result<Constant> FoldIdentity(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Constant* in, Input(context, 0));
  return *in;
}

Result<Constant> FoldConstant(OperatorContext& context) {
  const Attributes& attributes = context.attributes;
  if (const TensorProto* tensor = attributes.Tensor("value"))
    return context.file.ReadTensor(*tensor);
  if (attributes.Has("value_float")) {
    return Constant({}, std::vector<float>{attributes.Float("value_float", 0)});
  }
  if (attributes.Has("value_int")) {
    return Constant({}, std::vector<int64_t>{attributes.Int("value_int", 0)});
  }
  if (attributes.Has("value_floats")) {
    std::vector<float> values = attributes.Floats("value_floats");
    const auto count = static_cast<int64_t>(values.size());
    return Constant({count}, std::move(values));
  }
  if (attributes.Has("value_ints")) {
    std::vector<int64_t> values = attributes.Ints("value_ints");
    const auto count = static_cast<int64_t>(values.size());
    return Constant({count}, std::move(values));
  }
  return Error(ErrorCode::kUnsupported, "a constant that is neither a tensor nor numbers");
}

Result<Constant> FoldConstantOfShape(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Dims dims, context.IntsInput(0, "shape"));
  MPQ_ASSIGN_OR_RETURN(const size_t count, CheckedElements(context, dims));
  Constant element({}, std::vector<float>{0});
  if (const TensorProto* tensor = context.attributes.Tensor("value")) {
    MPQ_ASSIGN_OR_RETURN(element, context.file.ReadTensor(*tensor));
  }
  if (element.size() != 1) {
    return Error(ErrorCode::kInvalidArgument, "value has ", element.size(), " elements, not 1");
  }
  return Pick(element, dims, std::vector<size_t>(count, 0));
}

Result<Constant> FoldCast(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Constant* in, Input(context, 0));
  switch (context.attributes.Int("to", 0)) {
    case TensorProto::FLOAT:
    case TensorProto::DOUBLE:
    case TensorProto::FLOAT16:
    case TensorProto::BFLOAT16:
      return Constant(in->dims, in->ToFloats());
    case TensorProto::BOOL: {
      Result<Constant> truth = Unary(context, [](auto v) { return v != 0; });
      if (!truth.ok() || !truth->is_float()) return truth;
      return Constant(in->dims,
                      std::vector<int64_t>(truth->floats().begin(), truth->floats().end()));
    }
    case TensorProto::INT8:
    case TensorProto::UINT8:
    case TensorProto::INT16:
    case TensorProto::UINT16:
    case TensorProto::INT32:
    case TensorProto::UINT32:
    case TensorProto::INT64:
    case TensorProto::UINT64: {
      if (!in->is_float()) return *in;
      std::vector<int64_t> ints;
      ints.reserve(in->size());
      for (const float value : in->floats()) {
        // Beyond int64 the cast would be undefined; infinities stand for "to the end" here.
        const float bounded = std::isnan(value) ? 0 : std::clamp(value, -0x1p62f, 0x1p62f);
        ints.push_back(static_cast<int64_t>(bounded));
      }
      return Constant(in->dims, std::move(ints));
    }
    default:
      return Error(ErrorCode::kUnsupported, "conversion to type ", context.attributes.Int("to", 0),
                   " is not supported");
  }
}

Result<Constant> FoldShapeOfConstant(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Constant* in, Input(context, 0));
  return FoldShape(context, in->dims);
}

Result<Constant> FoldSize(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Constant* in, Input(context, 0));
  return Constant({}, std::vector<int64_t>{static_cast<int64_t>(in->size())});
}

Result<Constant> FoldGather(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Constant* in, Input(context, 0));
  MPQ_ASSIGN_OR_RETURN(const ConstantPtr indices, context.ConstantInput(1, "indices"));
  MPQ_ASSIGN_OR_RETURN(const std::vector<int64_t> picks, indices->ToInts());
  const int64_t axis = context.attributes.Int("axis", 0);
  const std::optional<size_t> dim = NormaliseDim(axis, in->dims.size());
  if (!dim) {
    return Error(ErrorCode::kInvalidArgument, "axis ", axis, " is not one of the shape ",
                 DimsText(in->dims));
  }
  const int64_t size = in->dims[*dim];
  Dims dims(in->dims.begin(), in->dims.begin() + static_cast<ptrdiff_t>(*dim));
  dims.insert(dims.end(), indices->dims.begin(), indices->dims.end());
  dims.insert(dims.end(), in->dims.begin() + static_cast<ptrdiff_t>(*dim) + 1, in->dims.end());
  MPQ_ASSIGN_OR_RETURN(const size_t count, CheckedElements(context, dims));
  const auto inner = static_cast<size_t>(Strides(in->dims)[*dim]);
  std::vector<size_t> offsets;
  offsets.reserve(count);
  const size_t outer = count == 0 ? 0 : count / (picks.size() * inner);
  for (size_t o = 0; o < outer; ++o) {
    for (const int64_t pick : picks) {
      if (pick < -size || pick >= size) {
        return Error(ErrorCode::kInvalidArgument, "index ", pick, " is not within ", size);
      }
      const size_t row =
          o * static_cast<size_t>(size) + static_cast<size_t>(pick < 0 ? pick + size : pick);
      for (size_t i = 0; i < inner; ++i) offsets.push_back(row * inner + i);
    }
  }
  return Pick(*in, std::move(dims), offsets);
}

Result<Constant> FoldConcat(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Constant* first, Input(context, 0));
  const int64_t axis = context.attributes.Int("axis", 0);
  const std::optional<size_t> dim = NormaliseDim(axis, first->dims.size());
  if (!dim) return Error(ErrorCode::kInvalidArgument, "axis ", axis, " does not exist");
  std::vector<const Constant*> parts;
  bool all_ints = true;
  Dims dims = first->dims;
  dims[*dim] = 0;
  for (size_t i = 0; i < context.inputs.size(); ++i) {
    MPQ_ASSIGN_OR_RETURN(const Constant* part, Input(context, i));
    Dims expected = first->dims;
    if (part->dims.size() == expected.size()) expected[*dim] = part->dims[*dim];
    if (part->dims != expected) {
      return Error(ErrorCode::kInvalidArgument, "shapes ", DimsText(first->dims), " and ",
                   DimsText(part->dims), " cannot be joined along axis ", axis);
    }
    dims[*dim] += part->dims[*dim];
    all_ints = all_ints && !part->is_float();
    parts.push_back(part);
  }
  const std::optional<size_t> total = NumElements(dims);
  if (!total || *total > kMaxJoinedElements) {
    return Error(ErrorCode::kLimitExceeded, "a constant of shape ", DimsText(dims),
                 " would have more than ", kMaxJoinedElements, " elements");
  }
  std::vector<float> floats;
  std::vector<int64_t> ints;
  size_t outer = 1;
  for (size_t i = 0; i < *dim; ++i) outer *= static_cast<size_t>(dims[i]);
  for (size_t o = 0; o < outer; ++o) {
    for (const Constant* part : parts) {
      const size_t run = part->size() / outer;
      for (size_t i = o * run; i < (o + 1) * run; ++i) {
        if (all_ints) {
          ints.push_back(part->ints()[i]);
        } else {
          floats.push_back(part->is_float() ? part->floats()[i]
                                            : static_cast<float>(part->ints()[i]));
        }
      }
    }
  }
  if (all_ints) return Constant(std::move(dims), std::move(ints));
  return Constant(std::move(dims), std::move(floats));
}

Result<Constant> FoldView(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Constant* in, Input(context, 0));
  MPQ_ASSIGN_OR_RETURN(Dims dims, ViewDims(context, in->dims, /*keep_batch=*/false));
  Constant out = *in;
  out.dims = std::move(dims);
  return out;
}

Result<Constant> FoldTranspose(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Constant* in, Input(context, 0));
  std::vector<int64_t> permutation = context.attributes.Ints("perm");
  const size_t rank = in->dims.size();
  if (permutation.empty()) {
    for (size_t i = rank; i-- > 0;) permutation.push_back(static_cast<int64_t>(i));
  }
  const std::vector<int64_t> own = Strides(in->dims);
  std::vector<bool> seen(rank, false);
  Dims dims;
  std::vector<int64_t> strides;
  for (const int64_t axis : permutation) {
    const std::optional<size_t> dim = NormaliseDim(axis, rank);
    if (!dim || seen[*dim]) break;
    seen[*dim] = true;
    dims.push_back(in->dims[*dim]);
    strides.push_back(own[*dim]);
  }
  if (dims.size() != rank || permutation.size() != rank) {
    return Error(ErrorCode::kInvalidArgument, DimsText(permutation), " does not permute the shape ",
                 DimsText(in->dims));
  }
  return Pick(*in, dims, Offsets(dims, strides, 0, in->size()));
}

Result<Constant> FoldSlice(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Constant* in, Input(context, 0));
  MPQ_ASSIGN_OR_RETURN(const std::vector<SliceRange> ranges, ReadSliceRanges(context, in->dims));
  Dims dims = in->dims;
  std::vector<int64_t> strides = Strides(in->dims);
  int64_t start = 0;
  for (const SliceRange& range : ranges) {
    dims[range.dim] = range.count;
    start += range.start * strides[range.dim];
    strides[range.dim] *= range.step;
  }
  const std::optional<size_t> count = NumElements(dims);  // at most as many as before
  return Pick(*in, dims, Offsets(dims, strides, start, count.value_or(0)));
}

Result<Constant> FoldExpand(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Constant* in, Input(context, 0));
  MPQ_ASSIGN_OR_RETURN(const Dims shape, context.IntsInput(1, "shape"));
  MPQ_ASSIGN_OR_RETURN(const Dims dims, BroadcastDims(in->dims, shape));
  return BroadcastTo(context, *in, dims);
}

Result<Constant> FoldRange(OperatorContext& context) {
  int64_t bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    MPQ_ASSIGN_OR_RETURN(const std::vector<int64_t> value, context.IntsInput(i, "bound"));
    if (value.size() != 1) return Error(ErrorCode::kInvalidArgument, "a bound is not a scalar");
    bounds[i] = value[0];
  }
  const auto [start, limit, step] = bounds;
  std::vector<int64_t> values;
  for (int64_t v = start; step > 0 ? v < limit : v > limit;) {
    values.push_back(v);
    if (step == 0 || values.size() > kMaxGrownElements || __builtin_add_overflow(v, step, &v)) {
      return Error(ErrorCode::kLimitExceeded, "the range has too many elements");
    }
  }
  const auto count = static_cast<int64_t>(values.size());
  return Constant({count}, std::move(values));
}

Result<Constant> FoldWhere(OperatorContext& context) {
  MPQ_ASSIGN_OR_RETURN(const Constant* condition, Input(context, 0));
  MPQ_ASSIGN_OR_RETURN(const Operands in, BroadcastOperands(context, 1));
  MPQ_ASSIGN_OR_RETURN(const Dims dims, BroadcastDims(condition->dims, in.a.dims));
  MPQ_ASSIGN_OR_RETURN(const Constant choose, BroadcastTo(context, *condition, dims));
  MPQ_ASSIGN_OR_RETURN(const Constant a, BroadcastTo(context, in.a, dims));
  MPQ_ASSIGN_OR_RETURN(const Constant b, BroadcastTo(context, in.b, dims));
  MPQ_ASSIGN_OR_RETURN(const std::vector<int64_t> truth, choose.ToInts());
  Constant out = b;
  std::visit(
      [&](auto& values) {
        const auto& chosen = std::get<std::decay_t<decltype(values)>>(a.values);
        for (size_t i = 0; i < values.size(); ++i) {
          if (truth[i] != 0) values[i] = chosen[i];
        }
      },
      out.values);
  return out;
}

// Products and sums of whole shapes.
Result<Constant> FoldReduceAll(OperatorContext& context, bool product) {
  MPQ_ASSIGN_OR_RETURN(const Constant* in, Input(context, 0));
  MPQ_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, context.IntsInputOrAttribute(1, "axes"));
  MPQ_ASSIGN_OR_RETURN(const std::vector<int64_t> values, in->ToInts());
  if (in->dims.size() > 1 || axes.size() > 1) {
    return Error(ErrorCode::kUnsupported, "only vectors of integers can be reduced");
  }
  uint64_t total = product ? 1 : 0;
  for (const int64_t value : values) {
    total = product ? total * static_cast<uint64_t>(value) : total + static_cast<uint64_t>(value);
  }
  const bool keep = context.attributes.Int("keepdims", 1) != 0;
  return Constant(keep ? Dims(in->dims.size(), 1) : Dims(),
                  std::vector<int64_t>{static_cast<int64_t>(total)});
}
Result<Constant> FoldReduceProd(OperatorContext& context) { return FoldReduceAll(context, true); }
Result<Constant> FoldReduceSum(OperatorContext& context) { return FoldReduceAll(context, false); }

int64_t ClampToDim(int64_t position, int64_t size, int64_t low, int64_t high) {
  return std::clamp(position < 0 ? position + size : position, low, high);
}

}  // namespace

const std::map<std::string_view, FoldFunction>& FoldFunctions() {
  static const auto* const kFunctions = new std::map<std::string_view, FoldFunction>{
      {"Add", FoldAdd},
      {"And", FoldAnd},
      {"Cast", FoldCast},
      {"Ceil", FoldCeil},
      {"Concat", FoldConcat},
      {"Constant", FoldConstant},
      {"ConstantOfShape", FoldConstantOfShape},
      {"Div", FoldDiv},
      {"Dropout", FoldIdentity},
      {"Equal", FoldEqual},
      {"Expand", FoldExpand},
      {"Flatten", FoldView},
      {"Floor", FoldFloor},
      {"Gather", FoldGather},
      {"Greater", FoldGreater},
      {"Identity", FoldIdentity},
      {"Less", FoldLess},
      {"Max", FoldMax},
      {"Min", FoldMin},
      {"Mul", FoldMul},
      {"Neg", FoldNeg},
      {"Not", FoldNot},
      {"Or", FoldOr},
      {"Range", FoldRange},
      {"Reciprocal", FoldReciprocal},
      {"ReduceProd", FoldReduceProd},
      {"ReduceSum", FoldReduceSum},
      {"Reshape", FoldView},
      {"Shape", FoldShapeOfConstant},
      {"Size", FoldSize},
      {"Slice", FoldSlice},
      {"Sqrt", FoldSqrt},
      {"Squeeze", FoldView},
      {"Sub", FoldSub},
      {"Transpose", FoldTranspose},
      {"Unsqueeze", FoldView},
      {"Where", FoldWhere},
  };
  return *kFunctions;
}

Result<std::vector<SliceRange>> ReadSliceRanges(const OperatorContext& context, const Dims& dims) {
  MPQ_ASSIGN_OR_RETURN(const std::vector<int64_t> starts,
                       context.IntsInputOrAttribute(1, "starts"));
  MPQ_ASSIGN_OR_RETURN(const std::vector<int64_t> ends, context.IntsInputOrAttribute(2, "ends"));
  MPQ_ASSIGN_OR_RETURN(std::vector<int64_t> axes, context.IntsInputOrAttribute(3, "axes"));
  std::vector<int64_t> steps;
  if (context.HasInput(4)) {
    MPQ_ASSIGN_OR_RETURN(steps, context.IntsInput(4, "steps"));
  }
  if (axes.empty()) {
    for (size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  }
  if (steps.empty()) steps.assign(starts.size(), 1);
  if (starts.empty() || ends.size() != starts.size() || axes.size() != starts.size() ||
      steps.size() != starts.size()) {
    return Error(ErrorCode::kInvalidArgument, starts.size(), " starts, ", ends.size(), " ends, ",
                 axes.size(), " axes and ", steps.size(), " steps");
  }
  std::vector<SliceRange> ranges;
  std::vector<bool> seen(dims.size(), false);
  for (size_t i = 0; i < starts.size(); ++i) {
    const std::optional<size_t> dim = NormaliseDim(axes[i], dims.size());
    if (!dim || seen[*dim] || steps[i] == 0) {
      return Error(ErrorCode::kInvalidArgument, "axis ", axes[i], " with step ", steps[i],
                   " does not slice the shape ", DimsText(dims));
    }
    seen[*dim] = true;
    const int64_t size = dims[*dim];
    SliceRange range;
    range.dim = *dim;
    // Steps beyond the size all mean "one element".
    range.step = std::clamp(steps[i], -size - 1, size + 1);
    if (range.step > 0) {
      range.start = ClampToDim(starts[i], size, 0, size);
      const int64_t end = ClampToDim(ends[i], size, 0, size);
      range.count = std::max<int64_t>(0, (end - range.start + range.step - 1) / range.step);
    } else {
      range.start = ClampToDim(starts[i], size, -1, size - 1);
      const int64_t end = ClampToDim(ends[i], size, -1, size - 1);
      range.count = std::max<int64_t>(0, (range.start - end - range.step - 1) / -range.step);
    }
    ranges.push_back(range);
  }
  return ranges;
}

Result<Constant> FoldShape(const OperatorContext& context, const Dims& dims) {
  const auto rank = static_cast<int64_t>(dims.size());
  const int64_t start = ClampToDim(context.attributes.Int("start", 0), rank, 0, rank);
  const int64_t end = ClampToDim(context.attributes.Int("end", rank), rank, 0, rank);
  std::vector<int64_t> part;
  for (int64_t i = start; i < end; ++i) part.push_back(dims[static_cast<size_t>(i)]);
  const auto count = static_cast<int64_t>(part.size());
  return Constant({count}, std::move(part));
}

Result<Dims> ViewDims(const OperatorContext& context, const Dims& dims, bool keep_batch) {
  const std::string& op = context.node.op_type();
  if (op == "Flatten") return FlattenedDims(dims, context.attributes.Int("axis", 1));
  if (op == "Reshape") {
    MPQ_ASSIGN_OR_RETURN(const std::vector<int64_t> request, context.IntsInput(1, "shape"));
    return ReshapedDims(dims, request, context.attributes.Int("allowzero", 0) != 0);
  }
  MPQ_ASSIGN_OR_RETURN(const std::vector<int64_t> axes, context.IntsInputOrAttribute(1, "axes"));
  if (op == "Squeeze") return SqueezedDims(dims, axes, keep_batch);
  return UnsqueezedDims(dims, axes);
}

}  // namespace mpq::onnx_import
