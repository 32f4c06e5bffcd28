// A method decides how the weights of every layer are quantised. The rest of the pipeline (passes,
// calibration, activation ranges, bias correction, lowering, writing) is the same for all methods;
// see docs/add_a_method.md.
#ifndef MPQ_QUANTIZE_METHOD_H_
#define MPQ_QUANTIZE_METHOD_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/graph.h"
#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/bit_widths.h"
#include "quantize/cache/stage_cache.h"
#include "quantize/calibration.h"
#include "quantize/decisions.h"
#include "quantize/images.h"
#include "quantize/passes/equalize.h"
#include "quantize/progress.h"
#include "quantize/ptilmpq/options.h"
#include "quantize/rounding/input_moments.h"

namespace mpq {

// What a method may look at. References outlive the call of Decide.
struct MethodInput {
  const Graph& graph;  // float, after the passes
  const Equalization& equalization;
  const Calibration* calibration;  // nullptr in a dry run: decide on sizes, values do not matter
  std::span<const InputMoments> moments;  // per node; empty if nothing measured them
  const BitWidths& bit_widths;            // what the user asked for
  uint64_t seed;
  uint32_t threads;
  const Progress& progress;
  // For methods that run models. Null in a dry run, and where the caller has only a layer.
  const ModelData* model = nullptr;           // float, with `graph`
  const CalibrationImages* images = nullptr;  // none of those behind `moments` (ShareImages)
  const Decisions* decisions = nullptr;       // equalisation and activations; no layers yet
  uint64_t target_bytes = 0;                  // of the file, for methods that choose bits; 0: none
  const StageCache* cache = nullptr;          // of what MeasureSensitivity finds
};

// What single methods can be told.
struct MethodOptions {
  PtilmpqOptions ptilmpq;
};

class Method {
 public:
  virtual ~Method() = default;
  virtual std::string_view name() const = 0;
  // Whether it chooses bits by itself, and keeps to MethodInput::target_bytes. If not, a target
  // size is the business of allocation/allocation.h.
  virtual bool chooses_bits() const { return false; }
  // One decision per node of the graph, left empty for nodes that are no convolutions. The biases
  // are the effective ones. Deterministic, whatever `threads` is.
  virtual Result<std::vector<LayerDecision>> Decide(const MethodInput& input) const = 0;
};

// For methods that take a layer and its bits at a time: all convolutions with the bits that the
// user asked for, in parallel.
using DecideLayer = Result<LayerDecision>(const MethodInput& input, uint32_t node, int bits);
std::unique_ptr<Method> MakeLayerwiseMethod(std::string_view name, DecideLayer* decide);

// By name; the error lists the names.
Result<std::unique_ptr<Method>> MakeMethod(std::string_view name,
                                           const MethodOptions& options = {});
std::vector<std::string_view> MethodNames();

}  // namespace mpq

#endif  // MPQ_QUANTIZE_METHOD_H_
