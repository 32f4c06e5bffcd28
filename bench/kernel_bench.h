// Speed of single convolution kernels on the shapes of real networks, without a model.
#ifndef MPQ_BENCH_KERNEL_BENCH_H_
#define MPQ_BENCH_KERNEL_BENCH_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/isa.h"

namespace mpq {

// A square convolution of one image, padded so that stride 1 keeps the size.
struct KernelBenchShape {
  const char* network;
  uint32_t size, in_channels, out_channels, kernel, stride;
};

// The distinct convolutions of ResNet-50 and MobileNetV2 at 224x224.
std::span<const KernelBenchShape> KernelBenchShapes();

struct KernelBenchResult {
  std::string kernel;
  uint64_t macs = 0;
  double microseconds = 0;       // of a run of the whole layer on one thread: the median
  double best_microseconds = 0;  // and the shortest
  double gmacs_per_second() const { return static_cast<double>(macs) / microseconds * 1e-3; }
};

// Times the kernel that the registry chooses for `isa`, for about `seconds`. Weights are uniform
// codes of `bits` (2..8); several copies of them are used in turn, so they are not in L1 or L2.
KernelBenchResult KernelBench(const KernelBenchShape& shape, int bits, Isa isa, double seconds);

}  // namespace mpq

#endif  // MPQ_BENCH_KERNEL_BENCH_H_
