// Shapes of tensors from the input's size: the one place that knows each operator's output shape.
#ifndef MPQ_FORMAT_SHAPE_H_
#define MPQ_FORMAT_SHAPE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/graph.h"
#include "mpq/status.h"

namespace mpq {

// One image of an activation.
struct Shape {
  uint32_t height = 0, width = 0, channels = 0;

  uint64_t num_values() const { return uint64_t{height} * width * channels; }
  bool operator==(const Shape&) const = default;
};

// Output size of one axis of a window; 0 if the window does not fit.
uint32_t WindowOutput(uint32_t in, uint32_t kernel, uint32_t stride, uint32_t dilation,
                      uint32_t pad_begin, uint32_t pad_end, bool ceil_mode);

// The output shape of `node` for the given input shapes, or why there is none. Checks the inputs'
// number and sizes and that the weights' shape fits.
Result<Shape> OutputShape(const Graph& graph, const Node& node, std::span<const Shape> inputs);

// Shapes of all tensors for an input of height x width.
Result<std::vector<Shape>> InferShapes(const Graph& graph, uint32_t height, uint32_t width);

// The pixels behind one output value of an average, padding included; 1 for other operators.
uint64_t PixelsAveraged(const Node& node, const Shape& input);

// Multiply-accumulates of one image through `node` (convolutions only, else 0).
uint64_t NodeMacs(const Graph& graph, const Node& node, const Shape& output);

}  // namespace mpq

#endif  // MPQ_FORMAT_SHAPE_H_
