#include "quantize/cache/layer_bytes.h"

#include <bit>
#include <cstdint>

namespace mpq {

namespace {

template <typename Byte>
void WriteBytes(const std::vector<Byte>& bytes, ByteWriter& writer) {
  writer.U64(bytes.size());
  writer.Bytes(std::span<const Byte>(bytes));
}

uint64_t ReadU64(ByteReader& reader, const char* what) {
  const uint64_t low = reader.U32(what);
  return low | uint64_t{reader.U32(what)} << 32;
}

template <typename Byte>
std::vector<Byte> ReadBytes(ByteReader& reader, const char* what) {
  const std::span<const uint8_t> bytes = reader.Bytes(what, ReadU64(reader, what));
  return {bytes.begin(), bytes.end()};
}

}  // namespace

void WriteDoubles(std::span<const double> values, ByteWriter& writer) {
  writer.U64(values.size());
  for (const double value : values) writer.U64(std::bit_cast<uint64_t>(value));
}

std::vector<double> ReadDoubles(ByteReader& reader) {
  const uint64_t count = ReadU64(reader, "count");
  std::vector<double> values;
  for (uint64_t i = 0; i < count && reader.ok(); ++i) {
    values.push_back(std::bit_cast<double>(ReadU64(reader, "value")));
  }
  return values;
}

void WriteLayer(const LayerDecision& layer, ByteWriter& writer) {
  writer.U8(static_cast<uint8_t>(layer.level_set));
  writer.U8(layer.shifted ? 1 : 0);
  WriteBytes(layer.block_bits, writer);
  WriteBytes(layer.block_shapes, writer);
  WriteBytes(layer.tables, writer);
  WriteBytes(layer.codes, writer);
  WriteDoubles(layer.scales, writer);
  WriteDoubles(layer.bias, writer);
}

LayerDecision ReadLayer(ByteReader& reader) {
  LayerDecision layer;
  layer.level_set = static_cast<LevelSetKind>(reader.U8("level set"));
  layer.shifted = reader.U8("shifted") != 0;
  layer.block_bits = ReadBytes<uint8_t>(reader, "bits");
  layer.block_shapes = ReadBytes<uint8_t>(reader, "shapes");
  layer.tables = ReadBytes<int8_t>(reader, "tables");
  layer.codes = ReadBytes<uint8_t>(reader, "codes");
  layer.scales = ReadDoubles(reader);
  layer.bias = ReadDoubles(reader);
  return layer;
}

}  // namespace mpq
