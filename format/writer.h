// Writes .mpq files. The same model gives the same bytes, always.
#ifndef MPQ_FORMAT_WRITER_H_
#define MPQ_FORMAT_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "format/model_data.h"
#include "mpq/status.h"

namespace mpq {

// The bytes of the file, after Validate.
Result<std::vector<uint8_t>> SerializeModel(const ModelData& model);

// The same without Validate, for tests that need files with faults. Undefined if the graph has no
// input tensor.
std::vector<uint8_t> SerializeUnchecked(const ModelData& model);

// Serialises and writes atomically: a temporary file beside `path`, fsync, rename, fsync of the
// folder. A crash leaves the old file or the new one.
Status WriteModel(const ModelData& model, const std::string& path);

}  // namespace mpq

#endif  // MPQ_FORMAT_WRITER_H_
