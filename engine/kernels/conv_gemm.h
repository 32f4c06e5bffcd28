// Convolution as matrix multiplication, with packed weights and without im2col. For every pair of
// blocks of 16 output channels the codes are decoded once into a scratch panel of levels; then a
// micro-kernel sweeps the output positions, reading activations in place through one pointer per
// position and run of k (format/code_layout.h). Padding is a pointer to a line of zero points.
#ifndef MPQ_ENGINE_KERNELS_CONV_GEMM_H_
#define MPQ_ENGINE_KERNELS_CONV_GEMM_H_

#include "engine/core/step.h"
#include "engine/kernels/conv_gemm_micro.h"

namespace mpq {

// The functions of a Kernel (engine/core/step.h) for a micro-kernel.
std::string ConvGemmRefuse(const Step& step, const GemmMicroKernel& micro);
uint32_t ConvGemmWorkItems(const Step& step, const GemmMicroKernel& micro);
uint32_t ConvGemmWorkColumns(const Step& step, const GemmMicroKernel& micro);
size_t ConvGemmScratchBytes(const Step& step, const GemmMicroKernel& micro);
void ConvGemmRun(const Step& step, const GemmMicroKernel& micro, uint32_t first, uint32_t last,
                 std::byte* scratch);
size_t ConvGemmPreparedBytes(const Step& step, const GemmMicroKernel& micro);
void ConvGemmPrepare(const Step& step, const GemmMicroKernel& micro, std::byte* scratch);

template <const GemmMicroKernel& kMicro>
constexpr Kernel MakeConvGemmKernel(const char* name, Isa isa) {
  return {name,
          isa,
          [](const Step& step) { return ConvGemmRefuse(step, kMicro); },
          [](const Step& step) { return ConvGemmWorkItems(step, kMicro); },
          [](const Step& step) { return ConvGemmScratchBytes(step, kMicro); },
          [](const Step& step, uint32_t first, uint32_t last, std::byte* scratch) {
            ConvGemmRun(step, kMicro, first, last, scratch);
          },
          [](const Step& step) { return ConvGemmPreparedBytes(step, kMicro); },
          [](const Step& step, std::byte* scratch) { ConvGemmPrepare(step, kMicro, scratch); },
          [](const Step& step) { return ConvGemmWorkColumns(step, kMicro); }};
}

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_CONV_GEMM_H_
