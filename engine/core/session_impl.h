// What Session forwards to: one implementation for integer models, one for float models.
#ifndef MPQ_ENGINE_CORE_SESSION_IMPL_H_
#define MPQ_ENGINE_CORE_SESSION_IMPL_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mpq/session.h"

namespace mpq {

class SessionImpl {
 public:
  virtual ~SessionImpl() = default;
  // `pixels` holds exactly n images, 1 <= n <= batch.
  virtual Status Run(std::span<const uint8_t> pixels, uint32_t n) = 0;
  virtual std::span<const float> logits() const = 0;
  virtual std::span<const int16_t> integer_logits() const = 0;
  virtual Result<std::vector<float>> ReadTensor(uint32_t tensor) const = 0;
  virtual Result<std::vector<int16_t>> ReadTensorCodes(uint32_t tensor) const = 0;
  virtual MemoryPlan memory_plan() const = 0;
  virtual std::string isa() const = 0;
  virtual const std::vector<StepInfo>& steps() const = 0;
};

// `options` is complete: height, width, batch and threads are not 0.
Result<std::unique_ptr<SessionImpl>> MakeIntegerSession(const Model& model,
                                                        const SessionOptions& options);
Result<std::unique_ptr<SessionImpl>> MakeFloatSession(const Model& model,
                                                      const SessionOptions& options);

// An error if `bytes` is beyond the caller's limit.
Status CheckMemoryLimit(uint64_t bytes, uint64_t limit);

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_SESSION_IMPL_H_
