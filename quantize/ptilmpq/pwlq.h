// Two regions as PWLQ defines them (Fang et al., "Post-training Piecewise Linear Quantization for
// Deep Neural Networks", ECCV 2020), on which PTILMPQ builds: a breakpoint p between a dense centre
// and sparse tails, N = 2^(b-1) levels in each of the four pieces [-m, -p), [-p, 0], [0, p], (p,
// m]. For comparison only: levels of unrelated steps have no exact integer form. What this project
// runs are two regions on one integer grid (two_region.h).
//
// "b bits" is the paper's count. The region is one bit more: b + 1 are stored.
#ifndef MPQ_QUANTIZE_PTILMPQ_PWLQ_H_
#define MPQ_QUANTIZE_PTILMPQ_PWLQ_H_

#include <span>
#include <vector>

namespace mpq {

// The best breakpoint of normally and of Laplace distributed weights of standard deviation 1 whose
// largest magnitude is m: the paper's approximations. (It prints them as p / m, its code uses them
// as p; only that agrees with its derivation.)
double GaussianBreakpoint(double m);
double LaplaceBreakpoint(double m);

// The root of the paper's condition for the normal distribution, by bisection in (0, m / 2):
//   p - 2 m + 2 m F(p) + m (2 p - m) f(p) = 0
double ExactGaussianBreakpoint(double m);

// The expected squared error of standard normal weights in [-m, m] with breakpoint p:
//   C(b - 1) ((m - p)^2 + m (2 p - m) (2 F(p) - 1)),  C(b) = 1 / (12 (2^b - 1)^2)
double GaussianPwlqError(double m, double p, int bits);

// All levels of a channel, ascending: 0 and the breakpoints, which two pieces share, stand once.
std::vector<double> PwlqLevels(double m, double p, int bits);

// Weights of a channel at their nearest levels; the breakpoint is the normal distribution's for the
// weights' deviation.
std::vector<float> QuantizePwlq(std::span<const float> weights, int bits);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PTILMPQ_PWLQ_H_
