#ifndef MPQ_INTERPOLATION_H_
#define MPQ_INTERPOLATION_H_

#include <cstdint>

namespace mpq {

// Resampling filters, as Pillow names them. The values are those of the file format.
enum class Interpolation : uint8_t { kNearest = 0, kBilinear = 1, kBicubic = 2 };

}  // namespace mpq

#endif  // MPQ_INTERPOLATION_H_
