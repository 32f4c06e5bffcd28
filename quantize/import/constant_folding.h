// Evaluates nodes whose inputs are all constant: the shape arithmetic that exporters leave behind.
#ifndef MPQ_QUANTIZE_IMPORT_CONSTANT_FOLDING_H_
#define MPQ_QUANTIZE_IMPORT_CONSTANT_FOLDING_H_

#include <map>
#include <string_view>

#include "quantize/import/operator_context.h"

namespace mpq::onnx_import {

using FoldFunction = Result<Constant> (*)(OperatorContext&);

// The evaluator of each ONNX operator. All inputs of the node must be constant.
const std::map<std::string_view, FoldFunction>& FoldFunctions();

// What operators with shape arithmetic of their own share with the evaluator.
// One axis of a Slice, in the elements that remain: start, start + step, ...
struct SliceRange {
  size_t dim = 0;
  int64_t start = 0, step = 1, count = 0;
};
// The ranges that a Slice node asks of a tensor of shape `dims`.
Result<std::vector<SliceRange>> ReadSliceRanges(const OperatorContext& context, const Dims& dims);

// The part of a shape that a Shape node asks for.
Result<Constant> FoldShape(const OperatorContext& context, const Dims& dims);

// Dims after the view operators Reshape, Flatten, Squeeze and Unsqueeze, whose first input has
// shape `dims`. keep_batch: see SqueezedDims.
Result<Dims> ViewDims(const OperatorContext& context, const Dims& dims, bool keep_batch);

}  // namespace mpq::onnx_import

#endif  // MPQ_QUANTIZE_IMPORT_CONSTANT_FOLDING_H_
