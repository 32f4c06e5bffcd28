// Everything a .mpq file says: what the reader returns and the writer takes.
#ifndef MPQ_FORMAT_MODEL_DATA_H_
#define MPQ_FORMAT_MODEL_DATA_H_

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "format/graph.h"
#include "mpq/interpolation.h"

namespace mpq {

// From a decoded RGB image to the graph's input: resize the short side, centre-crop, normalise.
struct Preprocessing {
  uint32_t resize_short_side = 0;  // pixels; 0: resize straight to crop_height x crop_width
  uint32_t crop_height = 0, crop_width = 0;  // the graph's nominal input size
  Interpolation interpolation = Interpolation::kBilinear;
  bool bgr = false;             // channel order of the graph's input
  std::array<float, 3> mean{};  // on 0..255, in the graph's channel order
  std::array<float, 3> std{1, 1, 1};
  // Integer models: input code of each pixel value, [3][256] in the graph's channel order; it is
  // sat_u8(zp + round((v - mean) / std / scale)) worked out once by the quantiser, so that nobody
  // else rounds floats. Empty in float models.
  std::vector<uint8_t> input_codes;
};

// One key per fact, in a fixed order: tool version, method, settings, hash of the source model,
// calibration summary, float ISA. Free text for people and reports.
using Provenance = std::vector<std::pair<std::string, std::string>>;

struct ModelData {
  Graph graph;
  Preprocessing preprocessing;
  std::vector<std::string> labels;  // empty or one per output channel
  Provenance provenance;
};

}  // namespace mpq

#endif  // MPQ_FORMAT_MODEL_DATA_H_
