// Writes arrays for NumPy (NEP 1, format version 1.0).
#ifndef MPQ_APPS_NPY_FILE_H_
#define MPQ_APPS_NPY_FILE_H_

#include <cstdint>
#include <span>
#include <string>

#include "mpq/status.h"

namespace mpq {

// float32 in C order; the product of `shape` is the number of values.
Status WriteNpy(const std::string& path, std::span<const uint32_t> shape,
                std::span<const float> values);

}  // namespace mpq

#endif  // MPQ_APPS_NPY_FILE_H_
