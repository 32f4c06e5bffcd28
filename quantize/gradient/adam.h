// Adam (Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015) for one array.
#ifndef MPQ_QUANTIZE_GRADIENT_ADAM_H_
#define MPQ_QUANTIZE_GRADIENT_ADAM_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mpq {

// m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
// p -= rate * m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon)
class Adam {
 public:
  explicit Adam(size_t count = 0) : mean_(count), square_(count) {}

  // Step t = 1, 2, ...; sizes are those of the constructor.
  void Step(uint32_t t, float rate, std::span<const float> gradient, std::span<float> parameters);

  // The state, for going on later.
  std::vector<float>& mean() { return mean_; }
  std::vector<float>& square() { return square_; }

 private:
  std::vector<float> mean_, square_;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_GRADIENT_ADAM_H_
