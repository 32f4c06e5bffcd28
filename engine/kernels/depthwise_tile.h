// The contract between the driver of the depthwise convolution (depthwise_conv.cc) and the
// micro-kernels. Plain data only, as in conv_gemm_tile.h.
//
// A micro-kernel works on `lanes` channels at once; where fewer are left, on the same 16 or 32
// channels of two or four output rows. The work of an output row has two parts:
//   interleave  Source columns become columns of tap groups in scratch: for each lane, the values
//               under group_taps vertically neighbouring taps side by side, as the multiplication
//               wants them. A column serves all outputs whose windows it belongs to.
//   compute     An output is a sum over kernel_w columns and the tap groups of each.
// A tap group of a column takes lanes * 4 bytes: 4 bytes or 2 int16 a lane.
#ifndef MPQ_ENGINE_KERNELS_DEPTHWISE_TILE_H_
#define MPQ_ENGINE_KERNELS_DEPTHWISE_TILE_H_

#include <cstddef>
#include <cstdint>

namespace mpq {

inline constexpr uint32_t kDepthwiseMaxLanes = 64;
inline constexpr uint32_t kDepthwiseMaxRows = 4;  // output rows side by side in the lanes
inline constexpr uint32_t kDepthwiseMaxGroupTaps = 4;

// How accumulators become codes; see GemmChannels. start, right and left are in the order of the
// accumulators, multiplier in that of the packed 16-bit values, code_hi in that of the lanes.
struct alignas(64) DepthwiseChannels {
  int32_t start[kDepthwiseMaxLanes];
  int32_t right[kDepthwiseMaxLanes];
  int32_t left[kDepthwiseMaxLanes];
  int16_t multiplier[kDepthwiseMaxLanes];
  uint8_t code_hi[kDepthwiseMaxLanes];
};

// The lines that one tap group reads: line[row * group_taps + tap] moves on by step[...] bytes from
// column to column (0 in the padding).
struct DepthwiseLines {
  const void* line[kDepthwiseMaxRows * kDepthwiseMaxGroupTaps];
  size_t step[kDepthwiseMaxRows * kDepthwiseMaxGroupTaps];
};

// One call of compute: some neighbouring outputs of `rows` rows.
struct DepthwiseTile {
  const std::byte* columns;  // of the first output's first tap
  size_t output_step;        // bytes to the first column of the next output
  size_t tap_step;           // bytes to the next column of the same output
  uint32_t kernel_w;
  uint32_t groups;           // tap groups of a column
  const std::byte* weights;  // [kernel_w][groups][lanes * 4 bytes]
  const DepthwiseChannels* params;
  uint8_t zero_point;
  uint8_t code_lo;
  bool left_shifts;  // some channel has left > 0

  uint8_t* dst[kDepthwiseMaxRows];
  size_t dst_stride;   // bytes from output to output
  uint32_t outputs;    // of each row
  uint32_t lane_rows;  // rows in the lanes: 1, 2 or 4
  uint32_t rows;       // of them to be written, 1..lane_rows
  uint32_t channels;   // bytes to write of each output, at most lanes / lane_rows
};

// Raw intrinsics, in files with flags of their own.
void ComputeDepthwiseAvx512Vnni(const DepthwiseTile& tile);
void ComputeDepthwiseAvxVnni(const DepthwiseTile& tile);

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_DEPTHWISE_TILE_H_
