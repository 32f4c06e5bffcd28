#include "quantize/lower.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "format/message.h"
#include "quantize/passes/graph_view.h"
#include "quantize/residuals.h"

namespace mpq {

namespace {

// A bias beyond this many accumulator steps belongs to a channel whose weights are nothing beside
// it (a dead batch norm): such a channel becomes a constant.
constexpr double kMaxBiasSteps = 1 << 29;
// The factor of constant channels: 1/64 of an output step, as fine as the epilogue resolves.
constexpr double kConstantFactor = 1.0 / 64;

uint8_t ToCode(double steps, const ActivationDecision& dst) {
  const double top = (1 << dst.bits) - 1;
  return static_cast<uint8_t>(std::clamp(std::round(dst.zero_point + steps), 0.0, top));
}

uint8_t LowCode(float clip_lo, const ActivationDecision& dst) {
  return std::isinf(clip_lo) ? 0 : ToCode(clip_lo / dst.scale, dst);
}

uint8_t HighCode(double clip_hi, const ActivationDecision& dst) {
  return std::isinf(clip_hi) ? static_cast<uint8_t>((1 << dst.bits) - 1)
                             : ToCode(clip_hi / dst.scale, dst);
}

class Lowering {
 public:
  Lowering(const Graph& graph, const Decisions& decisions) : float_(graph), decisions_(decisions) {}

  Result<LoweredGraph> Run() {
    result_ = float_;
    additions_ = ChooseResiduals(float_, decisions_);
    for (uint32_t t = 0; t < result_.tensors.size(); ++t) LowerTensor(t);
    for (uint32_t n = 0; n < result_.nodes.size(); ++n) {
      if (additions_[n] != kNone) TakeIn(result_.nodes[additions_[n]], result_.nodes[n]);
    }
    for (uint32_t n = 0; n < result_.nodes.size(); ++n) MPQ_RETURN_IF_ERROR(LowerNode(n));
    ReplaceAdditions();
    std::vector<uint32_t> tensors = DropUnmadeTensors();
    return LoweredGraph{std::move(result_), std::move(tensors)};
  }

 private:
  // The convolution makes what the addition makes.
  void TakeIn(const Node& addition, Node& conv) const {
    const uint32_t residual = OtherOperand(addition, conv.output);
    conv.inputs.push_back(residual);
    conv.multiplier[0] = ResidualMultiplier(decisions_.activations[residual],
                                            decisions_.activations[addition.output]);
    conv.output = addition.output;
    conv.clip_lo = addition.clip_lo;
    conv.clip_hi = addition.clip_hi;
  }

  // A convolution runs where its addition did: its residual is computed by then.
  void ReplaceAdditions() {
    std::vector<uint32_t> convs(additions_.size(), kNone);
    for (uint32_t n = 0; n < additions_.size(); ++n) {
      if (additions_[n] != kNone) convs[additions_[n]] = n;
    }
    std::vector<Node> nodes;
    for (uint32_t n = 0; n < additions_.size(); ++n) {
      if (additions_[n] != kNone) continue;
      nodes.push_back(std::move(result_.nodes[convs[n] == kNone ? n : convs[n]]));
    }
    result_.nodes = std::move(nodes);
  }

  // Of each tensor its new index, or kNone.
  std::vector<uint32_t> DropUnmadeTensors() {
    std::vector<uint32_t> renumbered(result_.tensors.size(), kNone);
    std::vector<bool> made(result_.tensors.size(), false);
    made[result_.input] = true;
    for (const Node& node : result_.nodes) made[node.output] = true;
    std::vector<Tensor> tensors;
    for (uint32_t t = 0; t < renumbered.size(); ++t) {
      if (!made[t]) continue;
      renumbered[t] = static_cast<uint32_t>(tensors.size());
      tensors.push_back(std::move(result_.tensors[t]));
    }
    for (Node& node : result_.nodes) {
      for (uint32_t& tensor : node.inputs) tensor = renumbered[tensor];
      node.output = renumbered[node.output];
    }
    result_.input = renumbered[result_.input];
    result_.output = renumbered[result_.output];
    result_.tensors = std::move(tensors);
    return renumbered;
  }

  void LowerTensor(uint32_t index) {
    Tensor& tensor = result_.tensors[index];
    if (index == float_.output) {
      tensor.type = ElementType::kS16;
      tensor.scale = decisions_.logit_scale;
      tensor.zero_point = 0;
      return;
    }
    const ActivationDecision& decision = decisions_.activations[index];
    tensor.type = ElementType::kU8;
    tensor.scale = decision.scale;
    tensor.zero_point = decision.zero_point;
    tensor.bits = decision.bits;
  }

  Status LowerNode(uint32_t index) {
    Node& node = result_.nodes[index];
    if (IsConvolution(node)) return LowerConv(index);
    if (node.output == float_.output) {
      return Error(ErrorCode::kInvalidArgument, "node '", node.name,
                   "' makes the logits, expected a convolution");
    }
    switch (node.kind) {
      case OpKind::kAdd:
        LowerBounds(node);
        SetMultipliers(node, ChooseAddMultipliers(Factor(node, 0), Factor(node, 1)));
        break;
      case OpKind::kClip:
        LowerBounds(node);
        SetMultipliers(node, ChooseAddMultipliers(Factor(node, 0), 0));
        break;
      case OpKind::kAvgPool:
      case OpKind::kGlobalAvgPool:
        LowerBounds(node);
        SetMultipliers(node, ChoosePoolMultiplier(Factor(node, 0)));
        break;
      default:  // these only move codes
        break;
    }
    return Status();
  }

  double Factor(const Node& node, size_t operand) const {
    return double{decisions_.activations[node.inputs[operand]].scale} /
           decisions_.activations[node.output].scale;
  }

  void LowerBounds(Node& node) const {
    const ActivationDecision& dst = decisions_.activations[node.output];
    node.code_lo = LowCode(node.clip_lo, dst);
    node.code_hi = HighCode(node.clip_hi, dst);
  }

  static void SetMultipliers(Node& node, const SharedShift& chosen) {
    node.multiplier[0] = chosen.multiplier[0];
    node.multiplier[1] = chosen.multiplier[1];
    node.shift = chosen.shift;
  }

  Status LowerConv(uint32_t index) {
    Node& node = result_.nodes[index];
    const LayerDecision& layer = decisions_.layers[index];
    MPQ_ASSIGN_OR_RETURN(const std::vector<int8_t> levels, LayerLevels(float_, node, layer));
    std::vector<uint8_t> codes = layer.codes;
    const CodeLayout layout = MakeCodeLayout(float_, node);
    MPQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> zero_codes, ZeroCodes(layout, node, layer));

    Weights& weights = result_.weights[node.weights];
    const size_t row = codes.size() / weights.out_channels;
    std::vector<ChannelParams> channels(weights.out_channels);
    for (uint32_t block = 0; block < layout.blocks(); ++block) {
      const uint32_t first = layout.FirstChannel(block);
      for (uint32_t c = first; c < first + layout.BlockChannels(block); ++c) {
        const std::span<const int8_t> row_levels(levels.data() + c * row, row);
        bool constant = false;
        channels[c] = LowerChannel(node, layer, c, row_levels, constant);
        if (constant) std::fill_n(codes.begin() + c * row, row, zero_codes[block]);
      }
    }
    weights.values = {};
    weights.bias = {};
    weights.level_set = layer.level_set;
    weights.codes = PackCodes(layout, codes, layer.block_bits, zero_codes);
    weights.block_bits = layer.block_bits;
    weights.block_shapes = layer.block_shapes;
    weights.tables = layer.tables;
    weights.channels = std::move(channels);
    // Convolutions have their upper bound per channel.
    if (node.output != float_.output) {
      node.code_lo = LowCode(node.clip_lo, decisions_.activations[node.output]);
    }
    return Status();
  }

  static Result<std::vector<uint8_t>> ZeroCodes(const CodeLayout& layout, const Node& node,
                                                const LayerDecision& layer) {
    if (layer.block_bits.size() != layout.blocks()) {
      return Error(ErrorCode::kInvalidArgument, "layer '", node.name, "': bits of ",
                   layer.block_bits.size(), " blocks, expected ", layout.blocks());
    }
    const Weights description = Description(layer);
    std::vector<uint8_t> zero_codes;
    for (uint32_t block = 0; block < layout.blocks(); ++block) {
      MPQ_ASSIGN_OR_RETURN(const Levels levels, BlockLevels(description, block));
      zero_codes.push_back(levels.zero_code());
    }
    return zero_codes;
  }

  // The scale of a step of the output: of a code, or of the 16-bit result u, of which the scaled
  // form's factor counts 64 to a code.
  double OutputStep(const Node& node) const {
    return node.output == float_.output ? 64.0 * decisions_.logit_scale
                                        : double{decisions_.activations[node.output].scale};
  }

  ChannelParams LowerChannel(const Node& node, const LayerDecision& layer, uint32_t channel,
                             std::span<const int8_t> levels, bool& constant) const {
    const ActivationDecision& src = decisions_.activations[node.inputs[0]];
    const double step = OutputStep(node);
    double accumulator_scale = double{src.scale} * layer.scales[channel];
    int64_t sum = 0;
    int64_t magnitude = 0;
    for (const int8_t level : levels) {
      sum += level;
      magnitude += std::abs(static_cast<int>(level));
    }
    const double bias = layer.bias[channel];
    constant = magnitude == 0 || std::abs(bias) > kMaxBiasSteps * accumulator_scale;
    if (constant) {
      accumulator_scale = kConstantFactor * step;
      sum = 0;
      magnitude = 0;
    }
    const auto limit = static_cast<double>(std::max<int64_t>(kMaxAccumulator - 255 * magnitude, 0));
    ChannelParams params;
    params.bias = static_cast<int32_t>(
        std::clamp(std::round(bias / accumulator_scale) - static_cast<double>(src.zero_point * sum),
                   -limit, limit));
    params.requant = MakeRequantizer(node, layer, channel, accumulator_scale / step).Pack();
    return params;
  }

  Requantizer MakeRequantizer(const Node& node, const LayerDecision& layer, uint32_t channel,
                              double factor) const {
    uint8_t code_hi = 255;
    double shifted_factor = factor;
    if (node.output == float_.output) {
      shifted_factor *= 64;  // the shifted form has no fraction bits
    } else {
      const float scale = decisions_.equalization.scale(node.output, channel);
      code_hi = HighCode(double{node.clip_hi} / scale, decisions_.activations[node.output]);
    }
    if (!layer.shifted) return Requantizer::FromFactor(factor, code_hi);
    return Requantizer::FromShift(static_cast<int>(std::lround(-std::log2(shifted_factor))),
                                  code_hi);
  }

  const Graph& float_;
  const Decisions& decisions_;
  std::vector<uint32_t> additions_;  // per node, see ChooseResiduals
  Graph result_;
};

}  // namespace

Result<LoweredGraph> LowerGraph(const Graph& graph, const Decisions& decisions) {
  if (decisions.activations.size() != graph.tensors.size() ||
      decisions.layers.size() != graph.nodes.size()) {
    return Error(ErrorCode::kInvalidArgument, "decisions on ", decisions.activations.size(),
                 " tensors and ", decisions.layers.size(), " nodes, the graph has ",
                 graph.tensors.size(), " and ", graph.nodes.size());
  }
  return Lowering(graph, decisions).Run();
}

Result<LoweredModel> LowerModel(const ModelData& float_model, const Decisions& decisions) {
  MPQ_ASSIGN_OR_RETURN(LoweredGraph lowered, LowerGraph(float_model.graph, decisions));
  ModelData model;
  model.graph = std::move(lowered.graph);
  model.preprocessing = float_model.preprocessing;
  model.preprocessing.input_codes =
      MakeInputCodes(float_model.preprocessing, decisions.activations[float_model.graph.input]);
  model.labels = float_model.labels;
  model.provenance = float_model.provenance;
  return LoweredModel{std::move(model), std::move(lowered.tensors)};
}

std::vector<uint8_t> MakeInputCodes(const Preprocessing& preprocessing,
                                    const ActivationDecision& input) {
  std::vector<uint8_t> codes(size_t{3} * 256);
  for (int c = 0; c < 3; ++c) {
    for (int v = 0; v < 256; ++v) {
      const double real = (v - double{preprocessing.mean[c]}) / preprocessing.std[c];
      codes[c * 256 + v] = ToCode(real / input.scale, input);
    }
  }
  return codes;
}

SharedShift ChooseAddMultipliers(double factor_a, double factor_b) {
  constexpr int kMaxShift = 30;
  constexpr double kMaxMultiplier = 32767;
  SharedShift chosen;
  const double largest = std::max(factor_a, factor_b);
  int shift = kMaxShift;
  while (shift > 1 && std::round(std::ldexp(largest, shift)) > kMaxMultiplier) --shift;
  const auto multiplier = [&](double factor) {
    return static_cast<int32_t>(std::min(std::round(std::ldexp(factor, shift)), kMaxMultiplier));
  };
  chosen.multiplier[0] = multiplier(factor_a);
  chosen.multiplier[1] = multiplier(factor_b);
  chosen.shift = static_cast<uint8_t>(shift);
  return chosen;
}

SharedShift ChoosePoolMultiplier(double factor) {
  constexpr int kMaxShift = 30;
  constexpr int kMultiplierBits = 24;
  int exponent = 0;
  std::frexp(factor, &exponent);  // factor < 2^exponent
  const int shift = std::clamp(kMultiplierBits - exponent, 0, kMaxShift);
  SharedShift chosen;
  chosen.multiplier[0] = static_cast<int32_t>(
      std::min(std::round(std::ldexp(factor, shift)), static_cast<double>(1 << 30)));
  chosen.shift = static_cast<uint8_t>(shift);
  return chosen;
}

}  // namespace mpq
