// One step of a plan: a node of the graph with its operands' memory and the kernel chosen for it.
#ifndef MPQ_ENGINE_CORE_STEP_H_
#define MPQ_ENGINE_CORE_STEP_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/isa.h"
#include "format/code_layout.h"
#include "format/graph.h"
#include "format/shape.h"

namespace mpq {

// An activation in the arena: [batch][height][width] pixels, pixel_stride elements apart, of which
// the first `channels` belong to this tensor. Integer activations have bytes (kU8) or int16 (kS16)
// elements. A slice of a Concat output has a pixel_stride larger than its channels: never write
// beyond `channels` of a pixel. Reading up to 64 bytes beyond the last pixel is allowed (the arena
// has a tail), and what lies between channels and the next multiple of 4 may be anything.
struct TensorView {
  void* data = nullptr;
  uint32_t batch = 1, height = 0, width = 0, channels = 0;
  size_t pixel_stride = 0;  // in elements

  size_t row_stride() const { return width * pixel_stride; }
  size_t image_stride() const { return height * row_stride(); }
  const uint8_t* u8() const { return static_cast<const uint8_t*>(data); }
  uint8_t* mutable_u8() const { return static_cast<uint8_t*>(data); }
  int16_t* mutable_s16() const { return static_cast<int16_t*>(data); }
};

struct Kernel;

struct Step {
  const Graph* graph = nullptr;
  const Node* node = nullptr;
  const Weights* weights = nullptr;        // convolutions
  CodeLayout layout;                       // convolutions
  std::vector<const Tensor*> src_tensors;  // scales and zero points of the operands
  const Tensor* dst_tensor = nullptr;
  // Views without memory while kernels are being chosen. The residual of a convolution is src[1];
  // `dst` may be the same memory, so each of its codes is read before the output there is written.
  std::vector<TensorView> src;
  TensorView dst;
  uint32_t max_level = 0;  // convolutions: largest |level| of the layer, 1..128

  // Stripes of a step (stripes.h) that share what Kernel::prepare has made of the weights.
  bool is_prepared = false;
  std::byte* prepared = nullptr;

  const Kernel* kernel = nullptr;
  std::vector<std::string> refusals;  // "conv.gemm.avx512vnni: reason", for every better one
};

// A way of computing a step. Kernels are stateless tables of functions; registry.h lists them in
// order of preference, the scalar reference last.
struct Kernel {
  const char* name;  // <op>.<way>.<isa>, e.g. "conv.gemm.avx512vnni"
  Isa isa;           // runs where IsaIncludes(chosen, isa)
  // Empty if the kernel can run the step, else the reason why not (shapes are set, memory is not).
  std::string (*refuse)(const Step& step);
  // Units of work that may run in any order on different threads, e.g. blocks of channels or rows.
  // Never depends on the number of threads.
  uint32_t (*work_items)(const Step& step);
  // Scratch that each thread needs, 64-byte aligned.
  size_t (*scratch_bytes)(const Step& step);
  // Computes units [first, last). Deterministic: the same bytes for every split.
  void (*run)(const Step& step, uint32_t first, uint32_t last, std::byte* scratch);

  // Optional, for steps that run in many stripes: decodes the weights once for all of them, into
  // prepared_bytes at step.prepared, 64-byte aligned. Both are independent of the stripe's rows.
  size_t (*prepared_bytes)(const Step& step) = nullptr;
  void (*prepare)(const Step& step, std::byte* scratch) = nullptr;

  // Optional: units are cut both by channels and by positions, and unit = column * ranges + range.
  // The number of columns, a divisor of work_items; every column has the same ranges.
  uint32_t (*work_columns)(const Step& step) = nullptr;
};

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_STEP_H_
