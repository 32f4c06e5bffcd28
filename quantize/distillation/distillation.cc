#include "quantize/distillation/distillation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <numeric>
#include <optional>
#include <random>

#include "format/byte_reader.h"
#include "format/byte_writer.h"
#include "format/checksum.h"
#include "format/message.h"
#include "quantize/augmentation.h"
#include "quantize/cache/fingerprint.h"
#include "quantize/distillation/divergence.h"
#include "quantize/parallel.h"
#include "quantize/passes/graph_view.h"
#include "quantize/residuals.h"

namespace mpq {

namespace {

constexpr std::chrono::seconds kSaveInterval(60);
constexpr uint32_t kStateMagic = 0x3144504d;  // "MPD1"

// The scale of a code; of the logits, what it would be if they had 8 bits.
float ResultStep(const Graph& graph, const Node& node, const Decisions& decisions) {
  return node.output == graph.output ? 256 * decisions.logit_scale
                                     : decisions.activations[node.output].scale;
}

float RateFactor(uint32_t step, uint32_t num_steps) {
  constexpr double kWarmUp = 0.1;
  const double done = (step + 0.5) / num_steps;
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * done));
  return static_cast<float>(std::min(done / kWarmUp, 1.0) * cosine);
}

Result<uint64_t> RunFingerprint(const ModelData& model, const CalibrationImages& images,
                                const DistillationOptions& options, uint64_t seed,
                                const Decisions& decisions) {
  MPQ_ASSIGN_OR_RETURN(Fingerprint fingerprint,
                       Fingerprint::Create(model, images, seed, decisions));
  fingerprint.Add(uint64_t{options.epochs});
  for (const float setting :
       {options.rates.weights, options.rates.scales, options.rates.bias, options.temperature}) {
    fingerprint.Add(setting);
  }
  return fingerprint.value();
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

// What one thread needs for one part of a batch.
struct Distillation::Worker {
  explicit Worker(Tape tape_of_thread) : tape(std::move(tape_of_thread)) {}

  Tape tape;
  std::unique_ptr<FloatExecutor> teacher;
  std::vector<uint8_t> view;
  std::vector<float> src, d_logits;
};

Distillation::Distillation(const ModelData& model, const CalibrationImages& images,
                           const DistillationOptions& options, uint64_t seed, uint32_t threads)
    : model_(model),
      images_(images),
      options_(options),
      seed_(seed),
      threads_(std::clamp(threads, 1u, kBatchParts)) {}

Distillation::~Distillation() = default;

Result<std::unique_ptr<Distillation>> Distillation::Create(const ModelData& float_model,
                                                           const CalibrationImages& images,
                                                           const DistillationOptions& options,
                                                           uint64_t seed, uint32_t threads,
                                                           const Decisions& decisions) {
  MPQ_RETURN_IF_ERROR(CheckImages(images, float_model.graph));
  if (decisions.equalization.count() > 0) {
    return Error(ErrorCode::kUnsupported,
                 "distillation of equalised models: ", decisions.equalization.count(),
                 " tensors are equalised, expected 0");
  }
  std::unique_ptr<Distillation> distillation(
      new Distillation(float_model, images, options, seed, threads));
  MPQ_RETURN_IF_ERROR(distillation->Prepare(decisions));
  return distillation;
}

Status Distillation::Prepare(const Decisions& decisions) {
  const Graph& graph = model_.graph;
  // A part of an epoch's last batch would weigh more than others: images left over have their turn
  // in another epoch's order.
  steps_per_epoch_ = std::max(images_.count / kBatchImages, 1u);
  num_steps_ = options_.epochs * steps_per_epoch_;
  MPQ_ASSIGN_OR_RETURN(fingerprint_, RunFingerprint(model_, images_, options_, seed_, decisions));
  MPQ_ASSIGN_OR_RETURN(
      network_, TrainingNetwork::Create(graph, kPartImages, RoundedTensors(graph, decisions)));
  layers_.resize(graph.nodes.size());
  for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (!IsConvolution(node)) continue;
    MPQ_ASSIGN_OR_RETURN(layers_[n],
                         LatentLayer::Create(graph, node, decisions.layers[n],
                                             EffectiveWeights(graph, node, Equalization()),
                                             ResultStep(graph, node, decisions)));
    MPQ_RETURN_IF_ERROR(network_->SetWeights(n, layers_[n].QuantizedWeights(), layers_[n].bias()));
  }
  gradients_.assign(kBatchParts, WeightGradients(graph));
  for (uint32_t thread = 0; thread < threads_; ++thread) {
    MPQ_ASSIGN_OR_RETURN(Tape tape, Tape::Create(*network_));
    auto worker = std::make_unique<Worker>(std::move(tape));
    MPQ_ASSIGN_OR_RETURN(worker->teacher, MakeFloatExecutor(graph, {.batch = kPartImages}));
    worker->view.resize(images_.image_bytes());
    worker->src.resize(kPartImages * images_.image_bytes());
    worker->d_logits.resize(size_t{kPartImages} * graph.tensors[graph.output].channels);
    workers_.push_back(std::move(worker));
  }
  return Status();
}

// Fisher and Yates by hand: what std::shuffle does with a generator is not specified.
void Distillation::ShuffleEpoch(uint32_t epoch) {
  std::mt19937_64 random(MixSeed(seed_, epoch, ~uint64_t{0}));
  order_.resize(images_.count);
  std::iota(order_.begin(), order_.end(), 0u);
  for (uint32_t i = images_.count; i > 1; --i) std::swap(order_[i - 1], order_[random() % i]);
}

Result<double> Distillation::Step() {
  ShuffleEpoch(step_ / steps_per_epoch_);
  std::vector<double> losses(kBatchParts);
  MPQ_RETURN_IF_ERROR(ParallelFor(threads_, kBatchParts, [&](uint32_t part, uint32_t thread) {
    return RunPart(part, thread, losses[part]);
  }));
  MPQ_RETURN_IF_ERROR(
      ParallelFor(threads_, static_cast<uint32_t>(layers_.size()), [&](uint32_t n, uint32_t) {
        return IsConvolution(model_.graph.nodes[n]) ? UpdateLayer(n) : Status();
      }));
  ++step_;
  return std::accumulate(losses.begin(), losses.end(), 0.0) / kBatchImages;
}

Status Distillation::RunPart(uint32_t part, uint32_t thread, double& loss) {
  Worker& worker = *workers_[thread];
  const size_t image_values = images_.image_bytes();
  const uint32_t first = step_ % steps_per_epoch_ * kBatchImages + part * kPartImages;
  for (uint32_t i = 0; i < kPartImages; ++i) {
    // A set smaller than a batch comes several times, each time in another view.
    const uint32_t position = first + i;
    const uint32_t index = order_[position % images_.count];
    RandomView(images_, index, model_.preprocessing.interpolation, MixSeed(seed_, step_, position),
               worker.view);
    NormalizePixels(model_.preprocessing, worker.view,
                    std::span(worker.src).subspan(i * image_values, image_values));
  }
  MPQ_RETURN_IF_ERROR(worker.teacher->Run(worker.src));
  MPQ_ASSIGN_OR_RETURN(const std::span<const float> teacher,
                       worker.teacher->Read(model_.graph.output));
  MPQ_RETURN_IF_ERROR(worker.tape.Forward(worker.src));
  const std::span<const float> student = worker.tape.Read(model_.graph.output);
  const size_t classes = student.size() / kPartImages;
  loss = 0;
  for (uint32_t i = 0; i < kPartImages; ++i) {
    loss += DistillationLoss(teacher.subspan(i * classes, classes),
                             student.subspan(i * classes, classes), options_.temperature,
                             std::span(worker.d_logits).subspan(i * classes, classes));
  }
  for (float& d : worker.d_logits) d /= kBatchImages;
  return worker.tape.Backward(worker.d_logits, gradients_[part]);
}

Status Distillation::UpdateLayer(uint32_t node) {
  ConvolutionGradient& sum = gradients_[0].nodes[node];
  for (uint32_t part = 1; part < kBatchParts; ++part) {
    const ConvolutionGradient& addend = gradients_[part].nodes[node];
    for (size_t i = 0; i < sum.weights.size(); ++i) sum.weights[i] += addend.weights[i];
    for (size_t i = 0; i < sum.bias.size(); ++i) sum.bias[i] += addend.bias[i];
  }
  const float decay = RateFactor(step_, num_steps_);
  const LearningRates rates{decay * options_.rates.weights, decay * options_.rates.scales,
                            decay * options_.rates.bias};
  layers_[node].Step(step_ + 1, rates, sum);
  return network_->SetWeights(node, layers_[node].QuantizedWeights(), layers_[node].bias());
}

void Distillation::Decide(std::vector<LayerDecision>& layers) const {
  for (uint32_t n = 0; n < layers_.size(); ++n) {
    if (IsConvolution(model_.graph.nodes[n])) layers_[n].Decide(layers[n]);
  }
}

std::vector<uint8_t> Distillation::SaveState() {
  ByteWriter writer;
  writer.U32(kStateMagic);
  writer.U64(fingerprint_);
  writer.U32(step_);
  for (LatentLayer& layer : layers_) {
    layer.ForEachState([&](const std::vector<float>& state) { writer.Bytes(BytesOf(state)); });
  }
  writer.U64(Checksum(writer.span()));
  return writer.Take();
}

Status Distillation::RestoreState(std::span<const uint8_t> state) {
  constexpr size_t kChecksumBytes = 8;
  const auto read_u64 = [](ByteReader& reader, const char* what) {
    const uint64_t low = reader.U32(what);
    return low | uint64_t{reader.U32(what)} << 32;
  };
  const size_t contents = state.size() - std::min(state.size(), kChecksumBytes);
  ByteReader reader(state.first(contents), "training state", 0);
  const uint32_t magic = reader.U32("magic");
  const uint64_t fingerprint = read_u64(reader, "fingerprint");
  const uint32_t step = reader.U32("step");
  MPQ_RETURN_IF_ERROR(reader.status());
  ByteReader end(state.subspan(contents), "training state", contents);
  if (magic != kStateMagic || read_u64(end, "checksum") != Checksum(state.first(contents))) {
    return Error(ErrorCode::kCorrupt, "not a state of training, or a damaged one");
  }
  if (fingerprint != fingerprint_ || step > num_steps_) {
    return Error(ErrorCode::kInvalidArgument,
                 "a state of another model, other images, other settings or another CPU");
  }
  for (uint32_t n = 0; n < layers_.size(); ++n) {
    layers_[n].ForEachState([&](std::vector<float>& values) {
      const auto bytes = reader.Bytes("state", values.size() * sizeof(float));
      if (!bytes.empty())
        std::copy(bytes.begin(), bytes.end(), reinterpret_cast<uint8_t*>(values.data()));
    });
    if (!IsConvolution(model_.graph.nodes[n])) continue;
    MPQ_RETURN_IF_ERROR(network_->SetWeights(n, layers_[n].QuantizedWeights(), layers_[n].bias()));
  }
  reader.End();
  MPQ_RETURN_IF_ERROR(reader.status());
  step_ = step;
  return Status();
}

uint64_t Distillation::memory_bytes() const {
  uint64_t weights = 0;
  for (const ConvolutionGradient& gradient : gradients_[0].nodes) {
    weights += gradient.weights.size() + gradient.bias.size();
  }
  // Latent weights, two moments and a gradient a part.
  return network_->weight_bytes() + threads_ * network_->tape_bytes() +
         (3 + kBatchParts) * weights * sizeof(float);
}

Status Distill(const ModelData& float_model, const CalibrationImages& images,
               const DistillationOptions& options, uint64_t seed, uint32_t threads,
               const StageCache& cache, const Progress& progress, Decisions& decisions) {
  constexpr const char* kStage = "distillation";
  MPQ_ASSIGN_OR_RETURN(
      const std::unique_ptr<Distillation> distillation,
      Distillation::Create(float_model, images, options, seed, threads, decisions));
  const uint64_t fingerprint = distillation->fingerprint();
  MPQ_ASSIGN_OR_RETURN(const std::optional<std::vector<uint8_t>> state,
                       cache.Load(kStage, fingerprint));
  if (state.has_value()) MPQ_RETURN_IF_ERROR(distillation->RestoreState(*state));
  auto saved = std::chrono::steady_clock::now();
  if (progress) progress("distil", distillation->step(), distillation->num_steps());
  while (distillation->step() < distillation->num_steps()) {
    MPQ_RETURN_IF_ERROR(distillation->Step().status());
    if (progress) progress("distil", distillation->step(), distillation->num_steps());
    const auto now = std::chrono::steady_clock::now();
    const bool last = distillation->step() == distillation->num_steps();
    if (!cache.enabled() || (!last && now - saved < kSaveInterval)) continue;
    MPQ_RETURN_IF_ERROR(cache.Save(kStage, fingerprint, distillation->SaveState()));
    saved = now;
  }
  distillation->Decide(decisions.layers);
  return Status();
}

}  // namespace mpq
