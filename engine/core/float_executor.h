// Runs float graphs. The only implementation with speed is the oneDNN module (engine/onednn), a
// shared object opened on need so that libengine itself stays lean; without it the bare loops of
// engine/ref serve. Also the float teacher of the quantiser.
#ifndef MPQ_ENGINE_CORE_FLOAT_EXECUTOR_H_
#define MPQ_ENGINE_CORE_FLOAT_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "format/graph.h"
#include "mpq/status.h"

namespace mpq {

struct FloatExecutorOptions {
  uint32_t batch = 1;
  uint32_t height = 0, width = 0;  // 0: nominal
  bool keep_tensors = false;       // every tensor stays readable after Run
};

// Single-threaded: run several in several threads. Weights are read from the graph, which must
// outlive the executor.
class FloatExecutor {
 public:
  virtual ~FloatExecutor() = default;
  // src: [batch][height][width][channels] packed floats.
  virtual Status Run(std::span<const float> src) = 0;
  // After Run: a tensor as packed NHWC floats, [batch][h][w][c]. The graph's output is always
  // there, others only with keep_tensors. The span is valid until the next call of Run or Read.
  virtual Result<std::span<const float>> Read(uint32_t tensor) = 0;
};

// oneDNN if its module can be opened (MPQ_MODULE_PATH, the program's folder, the library's folder,
// their places in an installation and in the build tree, the system's search path), else the
// reference.
Result<std::unique_ptr<FloatExecutor>> MakeFloatExecutor(const Graph& graph,
                                                         const FloatExecutorOptions& options);
// The scalar oracle.
Result<std::unique_ptr<FloatExecutor>> MakeRefFloatExecutor(const Graph& graph,
                                                            const FloatExecutorOptions& options);
// What MakeFloatExecutor would take, and why: "onednn 2.6.3", "ref: libmpq_onednn.so: not found".
std::string FloatBackendDescription();

// Float results depend on the instruction set. Limits it to `name`, one of isa.h's; "scalar" takes
// the reference. Once per process, before the first executor and before FloatIsaName.
Status SetFloatIsa(std::string_view name);
// The instruction set of float arithmetic: "avx512", "avx2", "sse4", "neon", or "scalar" without
// oneDNN. For the provenance of what is computed from floats.
std::string FloatIsaName();

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_FLOAT_EXECUTOR_H_
