// Depthwise convolution: u8 x int8 over vertically interleaved taps (depthwise_tile.h).
#ifndef MPQ_ENGINE_KERNELS_DEPTHWISE_CONV_H_
#define MPQ_ENGINE_KERNELS_DEPTHWISE_CONV_H_

#include "engine/core/step.h"
#include "engine/kernels/depthwise_micro.h"

namespace mpq {

// The functions of a Kernel (engine/core/step.h) for a micro-kernel.
std::string DepthwiseRefuse(const Step& step, const DepthwiseMicroKernel& micro);
uint32_t DepthwiseWorkItems(const Step& step, const DepthwiseMicroKernel& micro);
size_t DepthwiseScratchBytes(const Step& step, const DepthwiseMicroKernel& micro);
void DepthwiseRun(const Step& step, const DepthwiseMicroKernel& micro, uint32_t first,
                  uint32_t last, std::byte* scratch);
size_t DepthwisePreparedBytes(const Step& step, const DepthwiseMicroKernel& micro);
void DepthwisePrepare(const Step& step, const DepthwiseMicroKernel& micro, std::byte* scratch);

template <const DepthwiseMicroKernel& kMicro>
constexpr Kernel MakeDepthwiseKernel(const char* name, Isa isa) {
  return {name,
          isa,
          [](const Step& step) { return DepthwiseRefuse(step, kMicro); },
          [](const Step& step) { return DepthwiseWorkItems(step, kMicro); },
          [](const Step& step) { return DepthwiseScratchBytes(step, kMicro); },
          [](const Step& step, uint32_t first, uint32_t last, std::byte* scratch) {
            DepthwiseRun(step, kMicro, first, last, scratch);
          },
          [](const Step& step) { return DepthwisePreparedBytes(step, kMicro); },
          [](const Step& step, std::byte* scratch) { DepthwisePrepare(step, kMicro, scratch); }};
}

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_DEPTHWISE_CONV_H_
