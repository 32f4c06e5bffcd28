// Speed of single convolution kernels without a model.
#ifndef MPQ_BENCH_KERNEL_BENCH_H_
#define MPQ_BENCH_KERNEL_BENCH_H_

#include <cstdint>
#include <string>

#include "bench/layer_shapes.h"
#include "engine/core/isa.h"

namespace mpq {

struct KernelBenchResult {
  std::string kernel;
  uint64_t macs = 0;
  double min_us = 0;  // of a run of the whole layer on one thread
  double median_us = 0;
};

// Times the kernel that the registry chooses for `isa`, for about `seconds`. Codes have `bits`
// (1..8); several copies of them are used in turn, so they are not in L1 or L2.
KernelBenchResult KernelBench(const LayerShape& shape, int bits, Isa isa, double seconds);

}  // namespace mpq

#endif  // MPQ_BENCH_KERNEL_BENCH_H_
