#include "quantize/distillation/student.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "format/message.h"
#include "quantize/parallel.h"
#include "quantize/passes/graph_view.h"
#include "quantize/residuals.h"

namespace mpq {

namespace {

float RateFactor(uint32_t step, uint32_t num_steps) {
  constexpr double kWarmUp = 0.1;
  const double done = (step + 0.5) / num_steps;
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * done));
  return static_cast<float>(std::min(done / kWarmUp, 1.0) * cosine);
}

}  // namespace

std::vector<TensorCodes> RoundedTensors(const Graph& graph, const Decisions& decisions) {
  std::vector<TensorCodes> codes(graph.tensors.size());
  for (uint32_t t = 0; t < codes.size(); ++t) {
    const ActivationDecision& decision = decisions.activations[t];
    codes[t] = {decision.scale, decision.zero_point, decision.bits};
  }
  codes[graph.output] = TensorCodes();
  const std::vector<uint32_t> additions = ChooseResiduals(graph, decisions);
  for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
    if (additions[n] != kNone) codes[graph.nodes[n].output] = TensorCodes();
  }
  return codes;
}

float TensorStep(const Graph& graph, uint32_t tensor, const Decisions& decisions) {
  return tensor == graph.output ? 256 * decisions.logit_scale : decisions.activations[tensor].scale;
}

Result<std::unique_ptr<Student>> Student::Create(const Graph& graph, uint32_t first_node,
                                                 const Graph& whole, const Decisions& decisions,
                                                 const StudentOptions& options) {
  if (decisions.equalization.count() > 0) {
    return Error(ErrorCode::kUnsupported,
                 "training of equalised models: ", decisions.equalization.count(),
                 " tensors are equalised, expected 0");
  }
  StudentOptions checked = options;
  checked.threads = std::clamp(options.threads, 1u, kBatchParts);
  std::unique_ptr<Student> student(new Student(graph, first_node, checked));
  MPQ_RETURN_IF_ERROR(student->Prepare(whole, decisions));
  return student;
}

Status Student::Prepare(const Graph& whole, const Decisions& decisions) {
  MPQ_ASSIGN_OR_RETURN(
      network_, TrainingNetwork::Create(graph_, kPartImages, RoundedTensors(whole, decisions)));
  layers_.resize(graph_.nodes.size());
  for (uint32_t n = 0; n < graph_.nodes.size(); ++n) {
    const Node& node = graph_.nodes[n];
    if (!IsConvolution(node)) continue;
    MPQ_ASSIGN_OR_RETURN(layers_[n],
                         LatentLayer::Create(graph_, node, decisions.layers[first_node_ + n],
                                             EffectiveWeights(graph_, node, Equalization()),
                                             TensorStep(whole, node.output, decisions)));
    MPQ_RETURN_IF_ERROR(network_->SetWeights(n, layers_[n].QuantizedWeights(), layers_[n].bias()));
  }
  gradients_.assign(kBatchParts, WeightGradients(graph_));
  for (uint32_t thread = 0; thread < options_.threads; ++thread) {
    MPQ_ASSIGN_OR_RETURN(Tape tape, Tape::Create(*network_));
    Worker& worker = workers_.emplace_back(Worker{std::move(tape), {}, {}});
    worker.src.resize(worker.tape.Read(graph_.input).size());
    worker.d_output.resize(worker.tape.Read(graph_.output).size());
  }
  return Status();
}

Result<double> Student::Step(const Task& task) {
  std::vector<double> losses(kBatchParts);
  MPQ_RETURN_IF_ERROR(ParallelFor(
      options_.threads, kBatchParts,
      [&](uint32_t part, uint32_t thread) { return RunPart(task, part, thread, losses[part]); }));
  MPQ_RETURN_IF_ERROR(ParallelFor(
      options_.threads, static_cast<uint32_t>(layers_.size()), [&](uint32_t n, uint32_t) {
        return IsConvolution(graph_.nodes[n]) ? UpdateLayer(n) : Status();
      }));
  ++step_;
  return std::accumulate(losses.begin(), losses.end(), 0.0) / kBatchImages;
}

Status Student::RunPart(const Task& task, uint32_t part, uint32_t thread, double& loss) {
  Worker& worker = workers_[thread];
  MPQ_RETURN_IF_ERROR(task.fill(part, thread, worker.src));
  MPQ_RETURN_IF_ERROR(worker.tape.Forward(worker.src));
  MPQ_ASSIGN_OR_RETURN(loss,
                       task.judge(part, thread, worker.tape.Read(graph_.output), worker.d_output));
  return worker.tape.Backward(worker.d_output, gradients_[part]);
}

Status Student::UpdateLayer(uint32_t node) {
  ConvolutionGradient& sum = gradients_[0].nodes[node];
  for (uint32_t part = 1; part < kBatchParts; ++part) {
    const ConvolutionGradient& addend = gradients_[part].nodes[node];
    for (size_t i = 0; i < sum.weights.size(); ++i) sum.weights[i] += addend.weights[i];
    for (size_t i = 0; i < sum.bias.size(); ++i) sum.bias[i] += addend.bias[i];
  }
  const float decay = RateFactor(step_, options_.num_steps);
  const LearningRates rates{decay * options_.rates.weights, decay * options_.rates.scales,
                            decay * options_.rates.bias};
  layers_[node].Step(step_ + 1, rates, sum);
  return network_->SetWeights(node, layers_[node].QuantizedWeights(), layers_[node].bias());
}

void Student::Decide(std::vector<LayerDecision>& layers) const {
  for (uint32_t n = 0; n < layers_.size(); ++n) {
    if (IsConvolution(graph_.nodes[n])) layers_[n].Decide(layers[first_node_ + n]);
  }
}

Status Student::Resume(uint32_t step) {
  for (uint32_t n = 0; n < layers_.size(); ++n) {
    if (!IsConvolution(graph_.nodes[n])) continue;
    MPQ_RETURN_IF_ERROR(network_->SetWeights(n, layers_[n].QuantizedWeights(), layers_[n].bias()));
  }
  step_ = step;
  return Status();
}

uint64_t Student::memory_bytes() const {
  uint64_t weights = 0;
  for (const ConvolutionGradient& gradient : gradients_[0].nodes) {
    weights += gradient.weights.size() + gradient.bias.size();
  }
  // Latent weights, two moments and a gradient a part.
  return network_->weight_bytes() + options_.threads * network_->tape_bytes() +
         (3 + kBatchParts) * weights * sizeof(float);
}

}  // namespace mpq
