#include "quantize/cache/fingerprint.h"

#include "engine/core/float_executor.h"
#include "format/checksum.h"
#include "format/writer.h"
#include "quantize/blas.h"

namespace mpq {

Result<Fingerprint> Fingerprint::Create(const ModelData& model, const CalibrationImages& images,
                                        uint64_t seed, const Decisions& decisions) {
  ModelData contents = model;
  contents.provenance.clear();
  MPQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> file, SerializeModel(contents));
  Fingerprint fingerprint;
  fingerprint.Add(std::string_view(MPQ_VERSION));
  fingerprint.Add(FloatBackendDescription());
  fingerprint.Add(FloatIsaName());
  fingerprint.Add(ProductsDescription());
  fingerprint.Add(seed);
  fingerprint.Add(file);
  fingerprint.Add(uint64_t{images.count});
  fingerprint.Add(images.pixels);
  for (size_t tensor = 0; tensor < model.graph.tensors.size(); ++tensor) {
    for (const float scale : decisions.equalization.scales(static_cast<uint32_t>(tensor))) {
      fingerprint.Add(scale);
    }
  }
  fingerprint.Add(decisions);
  return fingerprint;
}

Fingerprint& Fingerprint::Add(uint64_t number) {
  writer_.U64(number);
  return *this;
}

Fingerprint& Fingerprint::Add(float number) {
  writer_.F32(number);
  return *this;
}

Fingerprint& Fingerprint::Add(std::string_view text) {
  writer_.Text(text);
  return *this;
}

Fingerprint& Fingerprint::Add(std::span<const uint8_t> bytes) { return Add(Checksum(bytes)); }

void Fingerprint::Add(const Decisions& decisions) {
  for (const ActivationDecision& activation : decisions.activations) {
    Add(activation.scale);
    Add(static_cast<uint64_t>(activation.zero_point));
    Add(uint64_t{activation.bits});
  }
  for (const LayerDecision& layer : decisions.layers) {
    Add(static_cast<uint64_t>(layer.level_set));
    Add(layer.block_bits);
    Add(layer.block_shapes);
    Add(BytesOf(layer.tables));
    Add(layer.codes);
    Add(BytesOf(layer.scales));
    Add(BytesOf(layer.bias));
  }
}

uint64_t Fingerprint::value() const { return Checksum(writer_.span()); }

}  // namespace mpq
