// From the bytes of RGB pixels to the codes of the graph's input.
#ifndef MPQ_ENGINE_KERNELS_INPUT_CODES_H_
#define MPQ_ENGINE_KERNELS_INPUT_CODES_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/core/isa.h"
#include "format/model_data.h"

namespace mpq {

// code = sat_u8((v * factor + offset) >> kShift)
struct InputLine {
  static constexpr int kShift = 21;
  int32_t factor = 0, offset = 0;
};

// The tables of pixel values to codes are lines, rounded. Where integers give exactly the same
// codes, vectors work them out; otherwise each byte is looked up. The preprocessing must outlive
// this object.
class InputCodes {
 public:
  // input_scale: of the graph's input tensor.
  InputCodes(const Preprocessing& preprocessing, double input_scale, Isa isa);

  bool is_vectorised() const { return convert_ != nullptr; }
  void Convert(const uint8_t* rgb, size_t pixels, uint8_t* codes) const;

 private:
  // Returns how many bytes are done.
  using ConvertFunction = size_t (*)(const std::array<InputLine, 3>& lines, const uint8_t* rgb,
                                     size_t bytes, uint8_t* codes);

  const Preprocessing* preprocessing_;
  std::array<InputLine, 3> lines_;
  ConvertFunction convert_ = nullptr;
};

}  // namespace mpq

#endif  // MPQ_ENGINE_KERNELS_INPUT_CODES_H_
