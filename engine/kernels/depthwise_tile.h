// The contract between the driver of the depthwise convolution (depthwise_conv.cc) and the
// micro-kernels. Plain data only, as in conv_gemm_tile.h.
//
// A micro-kernel computes a row of outputs in `lanes` channels. It interleaves the values under
// group_taps vertically neighbouring taps lane by lane (a tap group of a column, lanes * 4 bytes: 4
// bytes or 2 int16 a lane), as the multiplication wants them; a column serves all outputs whose
// windows it belongs to.
#ifndef MPQ_ENGINE_KERNELS_DEPTHWISE_TILE_H_
#define MPQ_ENGINE_KERNELS_DEPTHWISE_TILE_H_

#include <cstddef>
#include <cstdint>

namespace mpq {

inline constexpr uint32_t kDepthwiseMaxLanes = 64;
inline constexpr uint32_t kDepthwiseMaxGroupTaps = 4;
inline constexpr uint32_t kDepthwiseMaxSegments =
    4;  // stretches of a row side by side in the lanes

// How accumulators become codes; see GemmChannels. start, right and left are in the order of the
// accumulators, multiplier in that of the packed 16-bit values, code_hi in that of the lanes.
struct alignas(64) DepthwiseChannels {
  int32_t start[kDepthwiseMaxLanes];
  int32_t right[kDepthwiseMaxLanes];
  int32_t left[kDepthwiseMaxLanes];
  int16_t multiplier[kDepthwiseMaxLanes];
  uint8_t code_hi[kDepthwiseMaxLanes];
  bool left_shifts;   // some channel has left > 0
  bool right_shifts;  // some channel has right > 0
  bool clamps;        // some channel has code_hi < 255
  bool unusual;       // some channel has the shifted form, or may leave int32 when shifted left
};

// One call: a row of outputs, in as many channels as there are lanes.
//
// Where channels fill only a half or a quarter of the lanes, the driver has packed the same
// channels of other segments of the row beside them: segment s are the outputs from first[s] on.
// Segments may overlap.
struct DepthwiseTile {
  // Source rows under the taps, group_taps * groups. Column x of
  // line i is at line[i] + x * src_step, also in the lines of the padding.
  const uint8_t* const* line;
  size_t src_step;
  uint32_t src_width;  // columns
  uint8_t src_zero_point;

  uint32_t kernel_w, stride_w, dilation_w;
  uint32_t pad_left;
  uint32_t groups;           // tap groups of a column
  const std::byte* weights;  // [groups][kernel_w][lanes * 4 bytes]
  const DepthwiseChannels* params;
  uint8_t zero_point;
  uint8_t code_lo;

  uint8_t* dst;
  size_t dst_stride;  // bytes from output to output
  uint32_t segments;  // 1, 2 or 4
  uint32_t first[kDepthwiseMaxSegments];
  uint32_t outputs;    // of each segment
  uint32_t channels;   // bytes to write of each output, at most lanes / segments
  std::byte* scratch;  // DepthwiseMicroKernel::scratch_bytes
};

// Raw intrinsics, in files with flags of their own.
void ComputeDepthwiseAvx512Vnni(const DepthwiseTile& tile);
void ComputeDepthwiseAvxVnni(const DepthwiseTile& tile);
void ComputeDepthwiseAvx2(const DepthwiseTile& tile);  // levels up to 64

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_DEPTHWISE_TILE_H_
