// Running kernels on steps that a test has built, with canaries around all they may write.
#ifndef MPQ_TESTS_KERNELS_KERNEL_RUN_H_
#define MPQ_TESTS_KERNELS_KERNEL_RUN_H_

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "engine/core/registry.h"
#include "engine/core/step.h"

namespace mpq {

inline constexpr uint8_t kCanary = 0xa5;

// A view without memory; `slack` elements of each pixel belong to others.
inline TensorView MakeView(uint32_t batch, const Shape& shape, uint32_t slack) {
  return {nullptr,        batch,
          shape.height,   shape.width,
          shape.channels, ChannelStride(shape.channels, /*is_graph_input=*/false) + slack};
}

// Runs units [first, last) in scratch full of garbage.
inline void RunItems(const Kernel& kernel, const Step& step, uint32_t first, uint32_t last) {
  constexpr size_t kTail = 256;
  const size_t bytes = kernel.scratch_bytes(step);
  std::vector<std::byte> memory(bytes + kTail + 64, std::byte{kCanary});
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  std::byte* scratch = memory.data() + (64 - address % 64) % 64;
  kernel.run(step, first, last, scratch);
  CHECK(std::all_of(scratch + bytes, scratch + bytes + kTail,
                    [](std::byte b) { return b == std::byte{kCanary}; }));
}

// Fills `dst`, the memory of step.dst, with canaries and runs all items: at once, or one by one
// from the last to the first.
inline void RunKernel(const Kernel& kernel, const Step& step, std::vector<uint8_t>& dst,
                      bool item_by_item = false) {
  std::fill(dst.begin(), dst.end(), kCanary);
  const uint32_t items = kernel.work_items(step);
  if (!item_by_item) return RunItems(kernel, step, 0, items);
  for (uint32_t item = items; item-- > 0;) RunItems(kernel, step, item, item + 1);
}

inline bool RunsHere(const Kernel& kernel) {
  return std::any_of(SupportedIsas().begin(), SupportedIsas().end(),
                     [&](Isa isa) { return IsaIncludes(isa, kernel.isa); });
}

// Every kernel of this machine writes what the reference (the last of the list) writes.
inline void CheckKernelsAgree(OpKind kind, const Step& step, std::vector<uint8_t>& dst) {
  const std::span<const Kernel* const> kernels = KernelsFor(kind);
  RunKernel(*kernels.back(), step, dst);
  const std::vector<uint8_t> expected = dst;
  for (const Kernel* kernel : kernels) {
    if (!RunsHere(*kernel) || !kernel->refuse(step).empty()) continue;
    INFO(kernel->name);
    RunKernel(*kernel, step, dst);
    CHECK(dst == expected);
    RunKernel(*kernel, step, dst, /*item_by_item=*/true);
    CHECK(dst == expected);
  }
}

// Outputs of step.dst that differ from expected(image, y, x, channel), and canaries between pixels
// that did not survive.
template <typename F>
size_t CountWrong(const Step& step, const std::vector<uint8_t>& dst, F expected) {
  const TensorView& view = step.dst;
  const bool s16 = step.dst_tensor->type == ElementType::kS16;
  size_t wrong = 0;
  size_t at = 0;
  for (uint32_t row = 0; row < view.batch * view.height; ++row) {
    for (uint32_t x = 0; x < view.width; ++x) {
      for (uint32_t i = 0; i < view.pixel_stride; ++i, ++at) {
        if (i >= view.channels) {
          wrong += dst[s16 ? at * 2 : at] != kCanary;
          continue;
        }
        int16_t wide = 0;
        if (s16) std::memcpy(&wide, &dst[at * 2], 2);
        const double got = s16 ? wide : dst[at];
        wrong += got != expected(row / view.height, row % view.height, x, i);
      }
    }
  }
  return wrong;
}

}  // namespace mpq

#endif  // MPQ_TESTS_KERNELS_KERNEL_RUN_H_
