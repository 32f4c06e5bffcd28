// How the accumulators of a block of channels become codes: from the model's ChannelParams to
// vectors. Every column and channel group does this in every run, so it has to be fast.
#ifndef MPQ_ENGINE_KERNELS_CHANNELS_H_
#define MPQ_ENGINE_KERNELS_CHANNELS_H_

#include <cstdint>

#include "engine/kernels/conv_gemm_tile.h"

namespace mpq {

struct ChannelParams;  // format/requantize.h

// What some channel needs.
struct ChannelFlags {
  bool left_shifts = false;     // left > 0
  bool right_shifts = false;    // right > 0
  bool saturate_first = false;  // sum << left may leave int32
  bool shifted = false;         // the shifted form
  bool clamps = false;          // code_hi < 255
};

// `count` channels, 0..16; the others of the block get harmless values. max_product_sum: the
// largest |sum| that their products can have. Adds to the flags.
using DescribeChannelsFunction = void (*)(const ChannelParams* params, uint32_t count,
                                          int64_t max_product_sum, GemmChannels& out,
                                          ChannelFlags& flags);

void DescribeChannelsScalar(const ChannelParams* params, uint32_t count, int64_t max_product_sum,
                            GemmChannels& out, ChannelFlags& flags);
// Only those of the target's family are defined.
void DescribeChannelsAvx512(const ChannelParams* params, uint32_t count, int64_t max_product_sum,
                            GemmChannels& out, ChannelFlags& flags);
void DescribeChannelsAvx2(const ChannelParams* params, uint32_t count, int64_t max_product_sum,
                          GemmChannels& out, ChannelFlags& flags);
void DescribeChannelsSse4(const ChannelParams* params, uint32_t count, int64_t max_product_sum,
                          GemmChannels& out, ChannelFlags& flags);
void DescribeChannelsNeon(const ChannelParams* params, uint32_t count, int64_t max_product_sum,
                          GemmChannels& out, ChannelFlags& flags);

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_CHANNELS_H_
