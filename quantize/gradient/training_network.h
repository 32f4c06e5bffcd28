// A float graph that can be differentiated (reverse mode): the forward pass keeps what the backward
// pass needs.
//
// A TrainingNetwork is the graph with the current weights, shared by all threads; a Tape is one
// thread's memory for one micro-batch. Convolutions run through oneDNN, everything else as loops.
// Each tensor may be rounded to codes as the integer model stores it, see activation_quantizer.h.
// All tensors are packed NHWC floats.
#ifndef MPQ_QUANTIZE_GRADIENT_TRAINING_NETWORK_H_
#define MPQ_QUANTIZE_GRADIENT_TRAINING_NETWORK_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/core/aligned_memory.h"
#include "engine/core/differentiable_convolution.h"
#include "engine/ref/float_ops.h"
#include "format/graph.h"
#include "format/shape.h"
#include "mpq/status.h"
#include "quantize/gradient/activation_quantizer.h"

namespace mpq {

struct ConvolutionGradient {
  std::vector<float> weights;  // ohwi
  std::vector<float> bias;     // [out_channels]
};

// dL/d(weights, bias) per node; empty for nodes that are no convolutions.
struct WeightGradients {
  std::vector<ConvolutionGradient> nodes;

  explicit WeightGradients(const Graph& graph);
  WeightGradients() = default;
};

class TrainingNetwork {
 public:
  // `graph` must outlive the network; its weights are the first ones. `tensor_codes`: how each
  // tensor is rounded, or empty for a float network. kUnsupported without oneDNN.
  static Result<std::unique_ptr<TrainingNetwork>> Create(const Graph& graph, uint32_t batch,
                                                         std::span<const TensorCodes> tensor_codes);

  // Not while a tape runs. bias: one value per output channel.
  Status SetWeights(uint32_t node, std::span<const float> weights, std::span<const float> bias);

  uint32_t batch() const { return batch_; }
  const Graph& graph() const { return graph_; }
  // What one tape takes, and what the weights take.
  uint64_t tape_bytes() const;
  uint64_t weight_bytes() const;

 private:
  friend class Tape;

  TrainingNetwork(const Graph& graph, uint32_t batch) : graph_(graph), batch_(batch) {}

  Status AddConvolution(uint32_t n);
  void PlanTape();
  void PlanGradients();

  const Graph& graph_;
  const uint32_t batch_;
  std::vector<Shape> shapes_;
  ActivationQuantizer input_quantizer_;
  std::vector<ActivationQuantizer> quantizers_;                           // per node
  std::vector<std::unique_ptr<DifferentiableConvolution>> convolutions_;  // per node, or null
  // The tape: all values, then the gradients, of which only those alive at one time have places of
  // their own, then a tensor's gradient before it is added to another, then scratch. In bytes.
  std::vector<size_t> value_offsets_, gradient_offsets_;  // per tensor
  std::vector<size_t> pass_offsets_;                      // per node; of its own block
  size_t addend_offset_ = 0, scratch_offset_ = 0;
  size_t float_bytes_ = 0, pass_bytes_ = 0;
};

class Tape {
 public:
  // The network must outlive the tape.
  static Result<Tape> Create(const TrainingNetwork& network);

  // src: [batch][height][width][channels].
  Status Forward(std::span<const float> src);
  // After Forward: a tensor's values; the graph's output are the logits, [batch][classes].
  std::span<const float> Read(uint32_t tensor) const;
  // After Forward, once: writes the gradients, given dL/dlogits. `d_src`, unless empty, receives
  // that of the input.
  Status Backward(std::span<const float> d_output, WeightGradients& gradients,
                  std::span<float> d_src = {});

 private:
  explicit Tape(const TrainingNetwork& network) : network_(&network) {}

  ref::FloatView Values(uint32_t tensor) const;
  ref::FloatView Gradient(uint32_t tensor) const;
  std::span<uint8_t> Passes(uint32_t node) const;
  void* scratch() const { return floats_.data() + network_->scratch_offset_; }
  Status BackwardConvolution(uint32_t n, bool wants_d_src, WeightGradients& gradients);
  void BackwardOperator(uint32_t n);

  const TrainingNetwork* network_;
  AlignedMemory floats_, passes_;
  std::vector<uint8_t> has_gradient_;  // per tensor, while Backward runs
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_GRADIENT_TRAINING_NETWORK_H_
