#include "engine/kernels/tile_decode.h"
#include "format/code_layout.h"

namespace mpq {

void DecodeTilesScalar(const uint8_t* packed, size_t tiles, const TileLevels& levels, int8_t* dst,
                       size_t dst_stride) {
  const int half = 1 << (levels.bits - 1);
  for (size_t i = 0; i < tiles; ++i) {
    uint8_t codes[kTileCodes];
    UnpackTile(packed, levels.bits, codes);
    for (uint32_t j = 0; j < kTileCodes; ++j) {
      dst[j] = levels.uniform ? static_cast<int8_t>(codes[j] - half) : levels.table[codes[j]];
    }
    packed += size_t{levels.bits} * (kTileCodes / 8);
    dst += dst_stride;
  }
}

}  // namespace mpq
