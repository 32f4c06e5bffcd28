// Every operator in float, by bare loops: the oracle of the float backend, and what it falls back
// to for attributes its library refuses.
#ifndef MPQ_ENGINE_REF_FLOAT_OPS_H_
#define MPQ_ENGINE_REF_FLOAT_OPS_H_

#include <span>
#include <vector>

#include "engine/core/float_executor.h"
#include "format/graph.h"
#include "format/shape.h"
#include "mpq/status.h"

namespace mpq::ref {

// Packed floats, [batch][height][width][channels].
struct FloatView {
  float* data = nullptr;
  uint32_t batch = 1;
  Shape shape;

  size_t num_values() const { return batch * shape.num_values(); }
  float* pixel(uint32_t image, uint32_t y, uint32_t x) const {
    return data + ((size_t{image} * shape.height + y) * shape.width + x) * shape.channels;
  }
};

// Shapes of all tensors, or why this is no float graph that can run with these options.
Result<std::vector<Shape>> FloatShapes(const Graph& graph, const FloatExecutorOptions& options);

// Computes one node, its fused clip included. The views have the shapes of InferShapes. An average
// that counts padding divides by the window's part inside the padded input (a window that ceil_mode
// lets hang over counts less), as ONNX has it from operator set 19 on.
void RunFloatNode(const Graph& graph, const Node& node, std::span<const FloatView> src,
                  const FloatView& dst);

}  // namespace mpq::ref

#endif  // MPQ_ENGINE_REF_FLOAT_OPS_H_
