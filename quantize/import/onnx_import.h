// ONNX models become float graphs: NHWC tensors, OHWI weights, no batch norm operator, no reshapes,
// no shape arithmetic. Opset 7 to 21, as PyTorch, tf2onnx and Keras write them.
#ifndef MPQ_QUANTIZE_IMPORT_ONNX_IMPORT_H_
#define MPQ_QUANTIZE_IMPORT_ONNX_IMPORT_H_

#include <string>
#include <vector>

#include "format/graph.h"
#include "mpq/status.h"

namespace mpq {

struct ImportedModel {
  Graph graph;
  // XXH3-64 of the file, 16 hexadecimal digits; files of external weights, if any, are hashed after
  // it, in the order of their names.
  std::string source_hash;
  // What was changed on the way, one sentence each, e.g. that a closing Softmax was dropped.
  std::vector<std::string> notes;
};

// Every tensor of the result is kF32. Activations stay nodes of their own (kClip), a
// BatchNormalization becomes a 1x1 kDepthwiseConv: fusing is the passes' business. A batch
// dimension that is not fixed counts as 1; images of a batch never mix in what the graph can
// express. The error names the file, the node and the tensor.
Result<ImportedModel> ImportOnnx(const std::string& path);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_IMPORT_ONNX_IMPORT_H_
