// What there is to know about a model without running it.
#ifndef MPQ_APPS_INSPECTION_H_
#define MPQ_APPS_INSPECTION_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "format/shape.h"
#include "mpq/model.h"
#include "mpq/session.h"
#include "mpq/status.h"

namespace mpq {

// One node of the graph. The fields from `weights` on belong to convolutions.
struct LayerFacts {
  std::string name;
  std::string kind;        // "Conv", ...
  std::string attributes;  // "3x3 stride 2 pad 1"
  Shape output;
  uint64_t weights = 0;
  std::map<uint32_t, uint32_t> channels_by_bits;  // 32 in float models
  std::string level_set;                          // "uniform", ..., "float32"
  uint64_t code_bytes = 0;                        // the stream, with its padding
  uint64_t side_bytes = 0;                        // biases, requantisation, widths, shapes, tables
  uint64_t macs = 0;                              // of one image
  double bops = 0;                                // BitOperations, summed over channels
};

struct SectionFacts {
  std::string name;
  uint64_t offset = 0, bytes = 0, checksum = 0;
  bool required = false;
};

struct ModelFacts {
  std::vector<LayerFacts> layers;
  std::vector<SectionFacts> sections;
  LayerFacts total;           // sums; name, kind, output have no meaning
  uint64_t nominal_bits = 0;  // of all weights
  uint64_t file_bytes = 0;
  MemoryPlan memory;             // of a session with one thread, one image
  std::string activation_error;  // why there is no such session here
};

// `path` is the model's file; height and width, if not 0, replace the nominal input size.
Result<ModelFacts> InspectModel(const Model& model, const std::string& path, uint32_t height,
                                uint32_t width);

// What differs between two models, a line each; empty if nothing does.
std::vector<std::string> DiffModels(const Model& a, const Model& b);

}  // namespace mpq

#endif  // MPQ_APPS_INSPECTION_H_
