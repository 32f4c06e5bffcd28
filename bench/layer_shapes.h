// The convolutions of a network as a text file: one line a shape, with the number of layers that
// have it. Everything behind '#' is a comment.
//
//     # count operator size in_channels out_channels kernel stride
//     3       conv     56   64          256          1      1
#ifndef MPQ_BENCH_LAYER_SHAPES_H_
#define MPQ_BENCH_LAYER_SHAPES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mpq/status.h"

namespace mpq {

// A square convolution of one image, padded by half its kernel.
struct LayerShape {
  uint32_t count = 1;  // layers of the network
  bool depthwise = false;
  uint32_t size = 0;  // of the input
  uint32_t in_channels = 0, out_channels = 0;
  uint32_t kernel = 1, stride = 1;

  std::string Name() const;  // "56x56x64 -> 256 1x1 /1"
};

// Errors name `source`, the line and the value.
Result<std::vector<LayerShape>> ParseLayerShapes(std::string_view text, const std::string& source);
Result<std::vector<LayerShape>> ReadLayerShapes(const std::string& path);

}  // namespace mpq

#endif  // MPQ_BENCH_LAYER_SHAPES_H_
