// A number that changes with everything that a stage of the quantiser depends on.
#ifndef MPQ_QUANTIZE_CACHE_FINGERPRINT_H_
#define MPQ_QUANTIZE_CACHE_FINGERPRINT_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "format/byte_writer.h"
#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/decisions.h"
#include "quantize/images.h"

namespace mpq {

class Fingerprint {
 public:
  // What all stages depend on: the model but for its provenance, the images, the seed that samples
  // them, what has been decided, who computes and for which CPU (float backend, BLAS), and this
  // software's version.
  static Result<Fingerprint> Create(const ModelData& model, const CalibrationImages& images,
                                    uint64_t seed, const Decisions& decisions);

  Fingerprint& Add(uint64_t number);
  Fingerprint& Add(float number);
  Fingerprint& Add(std::string_view text);
  Fingerprint& Add(std::span<const uint8_t> bytes);

  uint64_t value() const;

 private:
  void Add(const Decisions& decisions);

  ByteWriter writer_;
};

// In this machine's byte order: other machines have other fingerprints or the same order.
template <typename T>
std::span<const uint8_t> BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace mpq

#endif  // MPQ_QUANTIZE_CACHE_FINGERPRINT_H_
