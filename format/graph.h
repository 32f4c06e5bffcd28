// The graph of a model: one intermediate representation for float and for integer models, from the
// importer to the engine. Plain data; rules that tie the fields together are in validate.h.
#ifndef MPQ_FORMAT_GRAPH_H_
#define MPQ_FORMAT_GRAPH_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "format/buffer.h"
#include "format/level_set.h"
#include "format/requantize.h"

namespace mpq {

inline constexpr uint32_t kNone = 0xffffffffu;  // "no index"

enum class ElementType : uint8_t {
  kF32 = 0,
  kU8 = 1,   // real = scale * (code - zero_point)
  kS16 = 2,  // logits of an integer model: real = scale * code
};

// An activation tensor, one image of it: NHWC with the batch left out. Height and width are those
// at the model's nominal input size; InferShapes (shape.h) gives them for any other.
struct Tensor {
  std::string name;
  ElementType type = ElementType::kF32;
  uint32_t height = 0;
  uint32_t width = 0;
  uint32_t channels = 0;
  float scale = 0.0f;      // kU8 and kS16: > 0
  int32_t zero_point = 0;  // kU8: 0..255
  uint8_t bits = 8;        // kU8: codes lie in 0..2^bits - 1
};

enum class OpKind : uint8_t {
  kConv = 0,  // any kernel, stride, padding, dilation, groups; dense layers are convolutions
              // whose kernel is the whole input; integer: may add a residual, its second input
  kDepthwiseConv = 1,  // groups == input channels == output channels
  kMaxPool = 2,        // output has the input's scale and zero point
  kAvgPool = 3,
  kGlobalAvgPool = 4,
  kAdd = 5,       // two inputs of one shape
  kConcat = 6,    // along channels; integer: all inputs have the output's scale and zero point
  kClip = 7,      // clamp to [clip_lo, clip_hi]; integer: also to another scale and zero point
  kSlicePad = 8,  // zero padding, then every stride-th pixel, then channels_before + channels +
                  // channels_after (the parameter-free shortcut of CIFAR ResNets)
};
const char* OpKindName(OpKind kind);

// The sliding window of convolutions, pools and kSlicePad. Output size as in ONNX:
// (in + pads - dilation*(kernel-1) - 1) / stride + 1, rounded down, or up with ceil_mode (pools
// only; a window that would start in the end padding is dropped).
struct Window {
  uint32_t kernel_h = 1, kernel_w = 1;
  uint32_t stride_h = 1, stride_w = 1;
  uint32_t dilation_h = 1, dilation_w = 1;
  uint32_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
  bool ceil_mode = false;

  bool operator==(const Window&) const = default;
};

// The weights of one convolution: float (values, bias) or integer (the rest), never both.
struct Weights {
  uint32_t out_channels = 0;
  uint32_t kernel_h = 1, kernel_w = 1;
  uint32_t in_channels = 0;  // per group; 1 for depthwise

  // Float model.
  Buffer<float> values;  // ohwi: [out_channels][kernel_h][kernel_w][in_channels]
  Buffer<float> bias;    // [out_channels]

  // Integer model. Blocks of 16 output channels, see code_layout.h.
  LevelSetKind level_set = LevelSetKind::kUniform;
  Buffer<uint8_t> block_bits;      // bits a code, 1..8, one per block
  Buffer<uint8_t> block_shapes;    // kTwoRegion: one shape byte per block; else empty
  Buffer<int8_t> tables;           // kTable: for each width that occurs, ascending, 2^bits levels
  Buffer<uint8_t> codes;           // bit planes, see code_layout.h
  Buffer<ChannelParams> channels;  // [out_channels]: bias and requantisation

  bool is_float() const { return codes.empty(); }
};

struct Node {
  OpKind kind = OpKind::kConv;
  std::string name;
  std::vector<uint32_t> inputs;  // tensor indices
  uint32_t output = kNone;  // tensor index; every tensor but the graph's input has one producer
  Window window;            // kConv, kDepthwiseConv, kMaxPool, kAvgPool, kSlicePad
  uint32_t groups = 1;      // kConv, kDepthwiseConv
  bool count_include_pad = false;                    // kAvgPool
  uint32_t channels_before = 0, channels_after = 0;  // kSlicePad
  uint32_t weights = kNone;                          // kConv, kDepthwiseConv

  // The activation fused into the node, in real numbers (ReLU6: 0 and 6). Float engines apply it;
  // integer engines apply the codes below, which say the same.
  float clip_lo = -std::numeric_limits<float>::infinity();
  float clip_hi = std::numeric_limits<float>::infinity();

  // Integer graphs.
  uint8_t code_lo = 0;    // smallest output code: the output's zero point after ReLU
  uint8_t code_hi = 255;  // largest output code; convolutions have it per channel instead
  // kAdd (both), kClip, kAvgPool, kGlobalAvgPool (the first), see requantize.h. kAdd and kClip keep
  // multipliers within int16. A kConv with a residual has the residual's, without a shift.
  int32_t multiplier[2] = {0, 0};
  uint8_t shift = 0;
};

struct Graph {
  std::vector<Tensor> tensors;
  std::vector<Node> nodes;  // in an order in which they can run
  std::vector<Weights> weights;
  uint32_t input = kNone;   // tensor of the pixels, packed: its channel stride equals its channels
  uint32_t output = kNone;  // tensor of the logits, 1 x 1 x classes

  bool is_float() const {
    return input < tensors.size() && tensors[input].type == ElementType::kF32;
  }
};

}  // namespace mpq

#endif  // MPQ_FORMAT_GRAPH_H_
