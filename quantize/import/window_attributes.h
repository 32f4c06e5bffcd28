// The sliding window of Conv and the pools, from attributes and from padding that is still pending.
#ifndef MPQ_QUANTIZE_IMPORT_WINDOW_ATTRIBUTES_H_
#define MPQ_QUANTIZE_IMPORT_WINDOW_ATTRIBUTES_H_

#include <cstdint>
#include <span>

#include "format/graph.h"
#include "quantize/import/operator_context.h"

namespace mpq::onnx_import {

// kernel_shape, strides, dilations, pads or auto_pad, ceil_mode. `kernel` is used where the node
// has no kernel_shape (Conv may leave it out), `in` is the input's size for auto_pad.
Result<Window> ReadWindow(const OperatorContext& context, std::span<const int64_t> kernel,
                          const Shape& in);

// Adds pending pads to the window's own.
void TakeOverPads(Window& window, Pending& pending);

}  // namespace mpq::onnx_import

#endif  // MPQ_QUANTIZE_IMPORT_WINDOW_ATTRIBUTES_H_
