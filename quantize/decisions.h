// What the quantiser decides: everything that, with the float graph, determines the integer graph.
// Methods fill the layers' part, calibration the activations', bias correction adjusts the biases;
// lower.h turns the whole into integers.
#ifndef MPQ_QUANTIZE_DECISIONS_H_
#define MPQ_QUANTIZE_DECISIONS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/code_layout.h"
#include "format/graph.h"
#include "quantize/passes/equalize.h"

namespace mpq {

// The weights of one convolution. The effective weight (see EffectiveWeights) of code q in output
// channel c is scales[c] * level(q).
struct LayerDecision {
  LevelSetKind level_set = LevelSetKind::kUniform;
  std::vector<uint8_t> block_bits;    // one per block of 16 output channels
  std::vector<uint8_t> block_shapes;  // kTwoRegion
  std::vector<int8_t> tables;         // kTable
  std::vector<uint8_t> codes;         // ohwi
  std::vector<double> scales;         // per output channel, > 0
  std::vector<double> bias;           // per output channel, effective, real
  // Requantisation by shifts alone: the scales, and the activations' too, are powers of two.
  bool shifted = false;
};

// How a tensor is stored: real = channel scale * scale * (code - zero_point).
struct ActivationDecision {
  float scale = 1.0f;
  int32_t zero_point = 0;
  uint8_t bits = 8;

  // What it can hold, in stored units (without a channel's scale).
  float lowest() const { return scale * static_cast<float>(-zero_point); }
  float highest() const { return scale * static_cast<float>((1 << bits) - 1 - zero_point); }
  float Real(int32_t code) const { return scale * static_cast<float>(code - zero_point); }
};

struct Decisions {
  Equalization equalization;
  std::vector<ActivationDecision> activations;  // per tensor
  std::vector<LayerDecision> layers;            // per node; only convolutions' are used
  float logit_scale = 1.0f;                     // of the kS16 output
};

// Weights that have the layer's level sets and nothing else: what BlockLevels looks at.
Weights Description(const LayerDecision& layer);

// The integer levels of a layer's codes, ohwi.
Result<std::vector<int8_t>> LayerLevels(const Graph& graph, const Node& node,
                                        const LayerDecision& layer);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_DECISIONS_H_
