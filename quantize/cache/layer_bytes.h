// A layer's decision as bytes, for the cache.
#ifndef MPQ_QUANTIZE_CACHE_LAYER_BYTES_H_
#define MPQ_QUANTIZE_CACHE_LAYER_BYTES_H_

#include <span>
#include <vector>

#include "format/byte_reader.h"
#include "format/byte_writer.h"
#include "quantize/decisions.h"

namespace mpq {

void WriteLayer(const LayerDecision& layer, ByteWriter& writer);
// What WriteLayer wrote. Errors stick to the reader.
LayerDecision ReadLayer(ByteReader& reader);

// The count and the values.
void WriteDoubles(std::span<const double> values, ByteWriter& writer);
std::vector<double> ReadDoubles(ByteReader& reader);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_CACHE_LAYER_BYTES_H_
