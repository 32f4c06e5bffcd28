// The loop of every instruction set's peak. Each file that includes it is compiled with flags of
// its own, so everything has internal linkage.
#ifndef MPQ_ENGINE_KERNELS_PEAK_PEAK_LOOP_INL_H_
#define MPQ_ENGINE_KERNELS_PEAK_PEAK_LOOP_INL_H_

#include <cstdint>

#if defined(__aarch64__)
#define MPQ_VECTOR_REGISTER "w"
#else
#define MPQ_VECTOR_REGISTER "x"
#endif
// 12 sums hide a latency of 5 or 6 cycles on two units and fit 16 registers. Named variables: g++
// 12 keeps arrays of vectors on the stack.
#define MPQ_FOR_SUMS(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)

namespace mpq {

namespace {

constexpr uint64_t kPeakSums = 12;

// `rounds` times sum = multiply_add(sum, a, b) for all sums. The empty asm keeps compilers from
// taking products out of the loop or making one of equal ones.
template <typename Vector, typename MultiplyAdd>
void PeakLoop(Vector a, Vector b, MultiplyAdd multiply_add, uint64_t rounds) {
#define MPQ_START(i) Vector sum##i = b;
#define MPQ_MULTIPLY(i)                 \
  asm("" : "+" MPQ_VECTOR_REGISTER(a)); \
  sum##i = multiply_add(sum##i, a, b);
#define MPQ_USE(i) asm volatile("" : : MPQ_VECTOR_REGISTER(sum##i));
  MPQ_FOR_SUMS(MPQ_START)
  for (; rounds > 0; --rounds) {
    MPQ_FOR_SUMS(MPQ_MULTIPLY)
  }
  MPQ_FOR_SUMS(MPQ_USE)
#undef MPQ_START
#undef MPQ_MULTIPLY
#undef MPQ_USE
}

}  // namespace

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_PEAK_PEAK_LOOP_INL_H_
