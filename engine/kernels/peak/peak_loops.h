// One loop for each instruction set: runs 12 independent multiply-adds `rounds` times and returns
// how many products of 8-bit codes that was. Only where the CPU has the instructions.
#ifndef MPQ_ENGINE_KERNELS_PEAK_PEAK_LOOPS_H_
#define MPQ_ENGINE_KERNELS_PEAK_PEAK_LOOPS_H_

#include <cstdint>

namespace mpq {

uint64_t PeakLoopSse4(uint64_t rounds);
uint64_t PeakLoopAvx2(uint64_t rounds);
uint64_t PeakLoopAvxVnni(uint64_t rounds);
uint64_t PeakLoopAvx512(uint64_t rounds);
uint64_t PeakLoopAvx512Vnni(uint64_t rounds);
uint64_t PeakLoopNeon(uint64_t rounds);
uint64_t PeakLoopNeonDot(uint64_t rounds);
uint64_t PeakLoopI8mm(uint64_t rounds);

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_PEAK_PEAK_LOOPS_H_
