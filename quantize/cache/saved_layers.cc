#include "quantize/cache/saved_layers.h"

#include <optional>
#include <vector>

#include "format/byte_reader.h"
#include "format/byte_writer.h"
#include "quantize/cache/layer_bytes.h"

namespace mpq {

Result<size_t> SavedLayers::Restore(Decisions& decisions) const {
  if (!cache_.enabled()) return 0;
  MPQ_ASSIGN_OR_RETURN(const std::optional<std::vector<uint8_t>> found,
                       cache_.Load(stage_, fingerprint_));
  if (!found.has_value()) return 0;
  ByteReader reader(*found, stage_, 0);
  const size_t done = reader.U32("steps");
  std::vector<LayerDecision> layers;
  for (size_t n = 0; n < decisions.layers.size(); ++n) layers.push_back(ReadLayer(reader));
  reader.End();
  MPQ_RETURN_IF_ERROR(reader.status());
  decisions.layers = std::move(layers);
  return done;
}

Status SavedLayers::Save(size_t done, const Decisions& decisions) const {
  if (!cache_.enabled()) return Status();
  ByteWriter writer;
  writer.U32(static_cast<uint32_t>(done));
  for (const LayerDecision& layer : decisions.layers) WriteLayer(layer, writer);
  return cache_.Save(stage_, fingerprint_, writer.span());
}

}  // namespace mpq
