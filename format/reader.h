// Reads .mpq files (docs/mpq_format.md). Hostile input is expected: every count is checked against
// wire.h's limits and the bytes that are left before anything is allocated.
#ifndef MPQ_FORMAT_READER_H_
#define MPQ_FORMAT_READER_H_

#include <cstdint>
#include <span>

#include "format/model_data.h"
#include "mpq/status.h"

namespace mpq {

// Parses and validates a whole file. The returned model's code and float streams point into `file`,
// which must outlive it and be 64-byte aligned (a mapping is); everything else is copied.
Result<ModelData> ReadModel(std::span<const uint8_t> file);

}  // namespace mpq

#endif  // MPQ_FORMAT_READER_H_
