#include "engine/core/registry.h"

#include "engine/kernels/add.h"
#include "engine/kernels/conv_gemm.h"
#include "engine/kernels/depthwise_conv.h"
#include "engine/kernels/pool.h"
#include "engine/ref/add.h"
#include "engine/ref/conv.h"
#include "engine/ref/copy.h"
#include "engine/ref/depthwise_conv.h"
#include "engine/ref/pool.h"
#include "format/message.h"
#include "format/rounding.h"

namespace mpq {

namespace {

#if defined(__x86_64__)
constexpr Kernel kConvGemmSse4 = MakeConvGemmKernel<kGemmSse4>("conv.gemm.sse4", Isa::kSse4);
constexpr Kernel kConvGemmWideSse4 =
    MakeConvGemmKernel<kGemmWideSse4>("conv.gemm16.sse4", Isa::kSse4);
constexpr Kernel kConvGemmAvx2 = MakeConvGemmKernel<kGemmAvx2>("conv.gemm.avx2", Isa::kAvx2);
constexpr Kernel kConvGemmWideAvx2 =
    MakeConvGemmKernel<kGemmWideAvx2>("conv.gemm16.avx2", Isa::kAvx2);
constexpr Kernel kConvGemmAvxVnni =
    MakeConvGemmKernel<kGemmAvxVnni>("conv.gemm.avxvnni", Isa::kAvxVnni);
constexpr Kernel kConvGemmAvx512 =
    MakeConvGemmKernel<kGemmAvx512>("conv.gemm.avx512", Isa::kAvx512);
constexpr Kernel kConvGemmWideAvx512 =
    MakeConvGemmKernel<kGemmWideAvx512>("conv.gemm16.avx512", Isa::kAvx512);
constexpr Kernel kConvGemmAvx512Vnni =
    MakeConvGemmKernel<kGemmAvx512Vnni>("conv.gemm.avx512vnni", Isa::kAvx512Vnni);

// Tiles of 16 positions and 64 values along k pay where they are filled. Measured on a Xeon with
// AMX, 8-bit weights, against AVX-512 VNNI in the same process: 1x1 with 16 to 64 inputs 0.25x to
// 0.75x, the 7x7 stem of a ResNet 0.66x, a dense layer at batch 1 0.66x; 128 inputs and more 1.2x
// to 2.5x.
std::string RefuseUnfilledTiles(const Step& step) {
  constexpr uint32_t kTilePositions = 16;
  constexpr uint32_t kTileValues = 64;
  constexpr uint32_t kLeastValues = 128;
  const uint32_t run = step.layout.quads_per_run * 4;
  const uint32_t values = step.layout.runs * run;
  if (values < kLeastValues) {
    return Message(values, " values along k are fewer than ", kLeastValues);
  }
  if (8 * run < 7 * RoundUp(run, kTileValues)) {
    return Message("runs of ", run, " values leave an eighth of tiles of ", kTileValues, " empty");
  }
  const uint32_t positions = step.dst.batch * step.dst.height * step.dst.width;
  if (positions < kTilePositions) {
    return Message(positions, " positions are fewer than ", kTilePositions);
  }
  return {};
}

constexpr Kernel MakeAmxKernel() {
  Kernel kernel = MakeConvGemmKernel<kGemmAmx>("conv.gemm.amx", Isa::kAmx);
  kernel.refuse = RefuseUnfilledTiles;
  return kernel;
}
constexpr Kernel kConvGemmAmx = MakeAmxKernel();

constexpr Kernel kDepthwiseColumnsSse4 =
    MakeDepthwiseKernel<kDepthwisePairsSse4>("depthwise.columns.sse4", Isa::kSse4);
constexpr Kernel kDepthwiseColumnsAvx2 =
    MakeDepthwiseKernel<kDepthwisePairsAvx2>("depthwise.columns.avx2", Isa::kAvx2);
constexpr Kernel kDepthwiseColumnsAvx512 =
    MakeDepthwiseKernel<kDepthwisePairsAvx512>("depthwise.columns.avx512", Isa::kAvx512);
constexpr Kernel kDepthwiseRowsAvx2 =
    MakeDepthwiseKernel<kDepthwiseAvx2>("depthwise.rows.avx2", Isa::kAvx2);
constexpr Kernel kDepthwiseRowsAvxVnni =
    MakeDepthwiseKernel<kDepthwiseAvxVnni>("depthwise.rows.avxvnni", Isa::kAvxVnni);
constexpr Kernel kDepthwiseRowsAvx512Vnni =
    MakeDepthwiseKernel<kDepthwiseAvx512Vnni>("depthwise.rows.avx512vnni", Isa::kAvx512Vnni);
#elif defined(__aarch64__)
constexpr Kernel kDepthwiseColumnsNeon =
    MakeDepthwiseKernel<kDepthwisePairsNeon>("depthwise.columns.neon", Isa::kNeon);
constexpr Kernel kConvGemmNeon = MakeConvGemmKernel<kGemmNeon>("conv.gemm.neon", Isa::kNeon);
constexpr Kernel kConvGemmNeonDot =
    MakeConvGemmKernel<kGemmNeonDot>("conv.gemm.neondot", Isa::kNeonDot);
constexpr Kernel kConvGemmI8mm = MakeConvGemmKernel<kGemmI8mm>("conv.gemm.i8mm", Isa::kI8mm);
#endif

// The kernels of a Highway file, for the lists below.
#if defined(__x86_64__)
#define MPQ_KERNEL_LIST(op) \
  { &op##Avx512, &op##Avx2, &op##Sse4, &ref::op }
#elif defined(__aarch64__)
#define MPQ_KERNEL_LIST(op) \
  { &op##Neon, &ref::op }
#else
#define MPQ_KERNEL_LIST(op) \
  { &ref::op }
#endif

// Best first, the reference last.
constexpr const Kernel* kConvKernels[] = {
#if defined(__x86_64__)
    &kConvGemmAmx,  &kConvGemmAvx512Vnni, &kConvGemmAvx512, &kConvGemmWideAvx512, &kConvGemmAvxVnni,
    &kConvGemmAvx2, &kConvGemmWideAvx2,   &kConvGemmSse4,   &kConvGemmWideSse4,
#elif defined(__aarch64__)
    &kConvGemmI8mm,
    &kConvGemmNeonDot,
    &kConvGemmNeon,
#endif
    &ref::kConv,
};

constexpr const Kernel* kDepthwiseConvKernels[] = {
#if defined(__x86_64__)
    &kDepthwiseRowsAvx512Vnni, &kDepthwiseRowsAvxVnni, &kDepthwiseRowsAvx2,
    &kDepthwiseColumnsAvx512,  &kDepthwiseColumnsAvx2, &kDepthwiseColumnsSse4,
#elif defined(__aarch64__)
    &kDepthwiseColumnsNeon,
#endif
    &ref::kDepthwiseConv,
};

constexpr const Kernel* kMaxPoolKernels[] = MPQ_KERNEL_LIST(kMaxPool);
constexpr const Kernel* kAvgPoolKernels[] = MPQ_KERNEL_LIST(kAvgPool);
constexpr const Kernel* kGlobalAvgPoolKernels[] = MPQ_KERNEL_LIST(kGlobalAvgPool);
constexpr const Kernel* kAddKernels[] = MPQ_KERNEL_LIST(kAdd);
constexpr const Kernel* kClipKernels[] = MPQ_KERNEL_LIST(kClip);

// Bound by memory: the reference copies rows, there is nothing to gain.
constexpr const Kernel* kConcatKernels[] = {
    &ref::kConcat,
};
constexpr const Kernel* kSlicePadKernels[] = {
    &ref::kSlicePad,
};

std::string Refusal(const Kernel& kernel, const Step& step, Isa isa) {
  if (!IsaIncludes(isa, kernel.isa)) {
    return std::string(IsaName(isa)) + " does not include " + std::string(IsaName(kernel.isa));
  }
  return kernel.refuse(step);
}

}  // namespace

std::span<const Kernel* const> KernelsFor(OpKind kind) {
  switch (kind) {
    case OpKind::kConv:
      return kConvKernels;
    case OpKind::kDepthwiseConv:
      return kDepthwiseConvKernels;
    case OpKind::kMaxPool:
      return kMaxPoolKernels;
    case OpKind::kAvgPool:
      return kAvgPoolKernels;
    case OpKind::kGlobalAvgPool:
      return kGlobalAvgPoolKernels;
    case OpKind::kAdd:
      return kAddKernels;
    case OpKind::kConcat:
      return kConcatKernels;
    case OpKind::kClip:
      return kClipKernels;
    case OpKind::kSlicePad:
      return kSlicePadKernels;
  }
  return {};
}

void ChooseKernel(Step& step, Isa isa) {
  step.kernel = nullptr;
  step.refusals.clear();
  for (const Kernel* kernel : KernelsFor(step.node->kind)) {
    const std::string reason = Refusal(*kernel, step, isa);
    if (reason.empty()) {
      step.kernel = kernel;
      return;
    }
    step.refusals.push_back(std::string(kernel->name) + ": " + reason);
  }
}

}  // namespace mpq
