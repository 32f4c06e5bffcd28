#include "quantize/distillation/divergence.h"

#include <algorithm>
#include <cmath>

namespace mpq {

namespace {

// log sum exp(z / T)
double LogSum(std::span<const float> logits, double temperature) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float z : logits) sum += std::exp((z - largest) / temperature);
  return largest / temperature + std::log(sum);
}

}  // namespace

double DistillationLoss(std::span<const float> teacher, std::span<const float> student,
                        float temperature, std::span<float> gradient) {
  const double t = temperature;
  const double teacher_sum = LogSum(teacher, t);
  const double student_sum = LogSum(student, t);
  double divergence = 0;
  for (size_t i = 0; i < teacher.size(); ++i) {
    const double log_p = teacher[i] / t - teacher_sum;
    const double log_q = student[i] / t - student_sum;
    const double p = std::exp(log_p);
    divergence += p * (log_p - log_q);
    gradient[i] = static_cast<float>(t * (std::exp(log_q) - p));
  }
  return t * t * divergence;
}

}  // namespace mpq
