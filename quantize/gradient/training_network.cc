#include "quantize/gradient/training_network.h"

#include <algorithm>

#include "engine/core/arena.h"
#include "format/message.h"
#include "quantize/gradient/operator_gradients.h"
#include "quantize/passes/graph_view.h"

namespace mpq {

namespace {

size_t AlignUp(size_t bytes) {
  return (bytes + AlignedMemory::kAlignment - 1) / AlignedMemory::kAlignment *
         AlignedMemory::kAlignment;
}

// The input is rounded like the result of a node without a clip.
ActivationQuantizer InputQuantizer(const TensorCodes& codes) {
  return ActivationQuantizer(Node(), codes);
}

}  // namespace

WeightGradients::WeightGradients(const Graph& graph) : nodes(graph.nodes.size()) {
  for (size_t n = 0; n < nodes.size(); ++n) {
    if (!IsConvolution(graph.nodes[n])) continue;
    const Weights& weights = graph.weights[graph.nodes[n].weights];
    nodes[n].weights.resize(weights.values.size());
    nodes[n].bias.resize(weights.out_channels);
  }
}

Result<std::unique_ptr<TrainingNetwork>> TrainingNetwork::Create(
    const Graph& graph, uint32_t batch, std::span<const TensorCodes> tensor_codes) {
  std::unique_ptr<TrainingNetwork> network(new TrainingNetwork(graph, batch));
  MPQ_ASSIGN_OR_RETURN(network->shapes_, ref::FloatShapes(graph, {.batch = batch}));
  if (!tensor_codes.empty() && tensor_codes.size() != graph.tensors.size()) {
    return Error(ErrorCode::kInvalidArgument, "codes of ", tensor_codes.size(),
                 " tensors, the graph has ", graph.tensors.size());
  }
  const auto codes = [&](uint32_t tensor) {
    return tensor_codes.empty() ? TensorCodes() : tensor_codes[tensor];
  };
  network->input_quantizer_ = InputQuantizer(codes(graph.input));
  network->convolutions_.resize(graph.nodes.size());
  for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
    network->quantizers_.emplace_back(graph.nodes[n], codes(graph.nodes[n].output));
    if (IsConvolution(graph.nodes[n])) MPQ_RETURN_IF_ERROR(network->AddConvolution(n));
  }
  network->PlanTape();
  return network;
}

Status TrainingNetwork::AddConvolution(uint32_t n) {
  const Node& node = graph_.nodes[n];
  const Weights& weights = graph_.weights[node.weights];
  ConvolutionShape shape;
  shape.batch = batch_;
  shape.src = shapes_[node.inputs[0]];
  shape.dst = shapes_[node.output];
  shape.window = node.window;
  shape.groups = shape.src.channels / weights.in_channels;
  Result<std::unique_ptr<DifferentiableConvolution>> made = MakeDifferentiableConvolution(shape);
  if (!made.ok()) return made.status().WithContext("layer '" + node.name + "'");
  convolutions_[n] = std::move(made).value();
  const std::vector<float> no_bias(weights.bias.empty() ? weights.out_channels : 0);
  return SetWeights(n, weights.values.span(),
                    weights.bias.empty() ? std::span<const float>(no_bias) : weights.bias.span());
}

Status TrainingNetwork::SetWeights(uint32_t node, std::span<const float> weights,
                                   std::span<const float> bias) {
  const Weights& expected = graph_.weights[graph_.nodes[node].weights];
  if (weights.size() != expected.values.size() || bias.size() != expected.out_channels) {
    return Error(ErrorCode::kInvalidArgument, "layer '", graph_.nodes[node].name,
                 "': ", weights.size(), " weights and ", bias.size(), " biases, expected ",
                 expected.values.size(), " and ", expected.out_channels);
  }
  return convolutions_[node]->SetWeights(weights.data(), bias.data());
}

void TrainingNetwork::PlanTape() {
  size_t bytes = 0;
  const auto take = [&bytes](size_t size) {
    const size_t offset = bytes;
    bytes += AlignUp(size);
    return offset;
  };
  size_t largest = 0;
  for (const Shape& shape : shapes_) {
    const size_t size = shape.num_values() * batch_ * sizeof(float);
    largest = std::max(largest, size);
    value_offsets_.push_back(take(size));
  }
  PlanGradients();
  for (size_t& offset : gradient_offsets_) offset += bytes;
  bytes += float_bytes_;
  addend_offset_ = take(largest);
  size_t scratch = 0;
  for (uint32_t n = 0; n < graph_.nodes.size(); ++n) {
    if (convolutions_[n]) scratch = std::max(scratch, convolutions_[n]->scratch_bytes());
    pass_offsets_.push_back(pass_bytes_);
    if (!quantizers_[n].is_identity()) {
      pass_bytes_ += shapes_[graph_.nodes[n].output].num_values() * batch_;
    }
  }
  scratch_offset_ = take(scratch);
  float_bytes_ = bytes;
}

// Step k of the backward pass is node N - 1 - k. A tensor's gradient lives from its last reader,
// which comes first, to its producer. Sets the gradients' offsets among themselves.
void TrainingNetwork::PlanGradients() {
  const GraphView view(graph_);
  const auto num_nodes = static_cast<uint32_t>(graph_.nodes.size());
  std::vector<ArenaBuffer> buffers;
  for (uint32_t t = 0; t < shapes_.size(); ++t) {
    ArenaBuffer buffer{shapes_[t].num_values() * batch_ * sizeof(float), 0, num_nodes};
    const auto readers = view.consumers(t);
    if (t != graph_.output && !readers.empty()) buffer.first = num_nodes - 1 - readers.back();
    if (view.producer(t) != kNone) buffer.last = num_nodes - 1 - view.producer(t);
    buffers.push_back(buffer);
  }
  float_bytes_ = PlaceBuffers(buffers);
  for (const ArenaBuffer& buffer : buffers) gradient_offsets_.push_back(buffer.offset);
}

uint64_t TrainingNetwork::tape_bytes() const { return float_bytes_ + pass_bytes_; }

uint64_t TrainingNetwork::weight_bytes() const {
  uint64_t bytes = 0;
  for (const auto& convolution : convolutions_) {
    if (convolution) bytes += convolution->weight_bytes();
  }
  return bytes;
}

Result<Tape> Tape::Create(const TrainingNetwork& network) {
  Tape tape(network);
  MPQ_ASSIGN_OR_RETURN(tape.floats_, AlignedMemory::Allocate(network.float_bytes_));
  MPQ_ASSIGN_OR_RETURN(tape.passes_, AlignedMemory::Allocate(network.pass_bytes_));
  return tape;
}

ref::FloatView Tape::Values(uint32_t tensor) const {
  auto* data = reinterpret_cast<float*>(floats_.data() + network_->value_offsets_[tensor]);
  return {data, network_->batch_, network_->shapes_[tensor]};
}

ref::FloatView Tape::Gradient(uint32_t tensor) const {
  auto* data = reinterpret_cast<float*>(floats_.data() + network_->gradient_offsets_[tensor]);
  return {data, network_->batch_, network_->shapes_[tensor]};
}

std::span<uint8_t> Tape::Passes(uint32_t node) const {
  const Shape& shape = network_->shapes_[network_->graph_.nodes[node].output];
  return {reinterpret_cast<uint8_t*>(passes_.data()) + network_->pass_offsets_[node],
          shape.num_values() * network_->batch_};
}

std::span<const float> Tape::Read(uint32_t tensor) const {
  const ref::FloatView values = Values(tensor);
  return {values.data, values.num_values()};
}

Status Tape::Forward(std::span<const float> src) {
  const Graph& graph = network_->graph_;
  const ref::FloatView input = Values(graph.input);
  if (src.size() != input.num_values()) {
    return Error(ErrorCode::kInvalidArgument, "input of ", src.size(), " values, expected ",
                 input.num_values());
  }
  std::copy(src.begin(), src.end(), input.data);
  network_->input_quantizer_.Round({input.data, input.num_values()});
  for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    const ref::FloatView dst = Values(node.output);
    if (network_->convolutions_[n]) {
      MPQ_RETURN_IF_ERROR(
          network_->convolutions_[n]->Forward(Values(node.inputs[0]).data, dst.data, scratch()));
    } else {
      std::vector<ref::FloatView> operands;
      for (const uint32_t tensor : node.inputs) operands.push_back(Values(tensor));
      Node unclipped = node;
      unclipped.clip_lo = Node().clip_lo;
      unclipped.clip_hi = Node().clip_hi;
      ref::RunFloatNode(graph, unclipped, operands, dst);
    }
    if (!network_->quantizers_[n].is_identity()) {
      network_->quantizers_[n].Forward({dst.data, dst.num_values()}, Passes(n));
    }
  }
  return Status();
}

Status Tape::Backward(std::span<const float> d_output, WeightGradients& gradients,
                      std::span<float> d_src) {
  const Graph& graph = network_->graph_;
  const ref::FloatView d_logits = Gradient(graph.output);
  const ref::FloatView d_input = Gradient(graph.input);
  if (d_output.size() != d_logits.num_values() ||
      (!d_src.empty() && d_src.size() != d_input.num_values())) {
    return Error(ErrorCode::kInvalidArgument, "gradients of ", d_output.size(), " outputs and ",
                 d_src.size(), " inputs, expected ", d_logits.num_values(), " and ",
                 d_input.num_values());
  }
  has_gradient_.assign(graph.tensors.size(), 0);
  std::copy(d_output.begin(), d_output.end(), d_logits.data);
  has_gradient_[graph.output] = 1;
  for (uint32_t n = static_cast<uint32_t>(graph.nodes.size()); n-- > 0;) {
    const Node& node = graph.nodes[n];
    const ref::FloatView d_dst = Gradient(node.output);
    if (has_gradient_[node.output] == 0) std::fill_n(d_dst.data, d_dst.num_values(), 0.0f);
    if (!network_->quantizers_[n].is_identity()) {
      ActivationQuantizer::Backward(Passes(n), {d_dst.data, d_dst.num_values()});
    }
    if (network_->convolutions_[n]) {
      const bool wants_d_src = node.inputs[0] != graph.input || !d_src.empty();
      MPQ_RETURN_IF_ERROR(BackwardConvolution(n, wants_d_src, gradients));
    } else {
      BackwardOperator(n);
    }
  }
  if (!d_src.empty()) std::copy_n(d_input.data, d_src.size(), d_src.data());
  return Status();
}

Status Tape::BackwardConvolution(uint32_t n, bool wants_d_src, WeightGradients& gradients) {
  const Node& node = network_->graph_.nodes[n];
  const uint32_t input = node.inputs[0];
  const ref::FloatView d_src = Gradient(input);
  // oneDNN overwrites: a second reader's part is added afterwards.
  const bool add = has_gradient_[input] != 0;
  auto* addend = reinterpret_cast<float*>(floats_.data() + network_->addend_offset_);
  float* target = add ? addend : d_src.data;
  ConvolutionGradient& gradient = gradients.nodes[n];
  MPQ_RETURN_IF_ERROR(network_->convolutions_[n]->Backward(
      Values(input).data, Gradient(node.output).data, wants_d_src ? target : nullptr,
      gradient.weights.data(), gradient.bias.data(), scratch()));
  if (add && wants_d_src) {
    for (size_t i = 0; i < d_src.num_values(); ++i) d_src.data[i] += addend[i];
  }
  has_gradient_[input] = 1;
  return Status();
}

void Tape::BackwardOperator(uint32_t n) {
  const Node& node = network_->graph_.nodes[n];
  std::vector<ref::FloatView> src;
  std::vector<ref::FloatView> d_src;
  for (const uint32_t tensor : node.inputs) {
    src.push_back(Values(tensor));
    d_src.push_back(Gradient(tensor));
    if (has_gradient_[tensor] == 0) {
      std::fill_n(d_src.back().data, d_src.back().num_values(), 0.0f);
      has_gradient_[tensor] = 1;
    }
  }
  AddOperatorGradients(node, src, Gradient(node.output), d_src);
}

}  // namespace mpq
