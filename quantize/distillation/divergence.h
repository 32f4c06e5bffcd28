// The loss of distillation.
#ifndef MPQ_QUANTIZE_DISTILLATION_DIVERGENCE_H_
#define MPQ_QUANTIZE_DISTILLATION_DIVERGENCE_H_

#include <span>

namespace mpq {

// T^2 KL(softmax(teacher / T) || softmax(student / T)) of one image, in nats; writes its gradient
// with respect to the student's logits, T (softmax(student / T) - softmax(teacher / T)).
double DistillationLoss(std::span<const float> teacher, std::span<const float> student,
                        float temperature, std::span<float> gradient);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_DISTILLATION_DIVERGENCE_H_
