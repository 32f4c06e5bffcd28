#include "quantize/distillation/distillation.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "format/byte_reader.h"
#include "format/byte_writer.h"
#include "format/checksum.h"
#include "format/message.h"
#include "quantize/augmentation.h"
#include "quantize/cache/fingerprint.h"
#include "quantize/distillation/divergence.h"

namespace mpq {

namespace {

constexpr std::chrono::seconds kSaveInterval(60);
constexpr uint32_t kStateMagic = 0x3144504d;  // "MPD1"

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

Result<std::unique_ptr<Distillation>> Distillation::Create(const ModelData& float_model,
                                                           const CalibrationImages& images,
                                                           const DistillationOptions& options,
                                                           uint64_t seed, uint32_t threads,
                                                           const Decisions& decisions) {
  MPQ_RETURN_IF_ERROR(CheckImages(images, float_model.graph));
  std::unique_ptr<Distillation> distillation(new Distillation(float_model, images, options, seed));
  MPQ_RETURN_IF_ERROR(distillation->Prepare(decisions, threads));
  return distillation;
}

Status Distillation::Prepare(const Decisions& decisions, uint32_t threads) {
  const Graph& graph = model_.graph;
  // A part of an epoch's last batch would weigh more than others: images left over have their turn
  // in another epoch's order.
  steps_per_epoch_ = std::max(images_.count / kBatchImages, 1u);
  MPQ_ASSIGN_OR_RETURN(fingerprint_, RunFingerprint(model_, images_, options_, seed_, decisions));
  MPQ_ASSIGN_OR_RETURN(
      student_, Student::Create(graph, 0, graph, decisions,
                                {options_.rates, options_.epochs * steps_per_epoch_, threads}));
  for (uint32_t thread = 0; thread < student_->threads(); ++thread) {
    MPQ_ASSIGN_OR_RETURN(teachers_.emplace_back(),
                         MakeFloatExecutor(graph, {.batch = kPartImages}));
  }
  return Status();
}

Result<double> Distillation::Step() {
  order_ = ShuffledIndices(images_.count, MixSeed(seed_, step() / steps_per_epoch_, ~uint64_t{0}));
  return student_->Step({[&](uint32_t part, uint32_t thread, std::span<float> src) {
                           return Fill(part, thread, src);
                         },
                         [&](uint32_t, uint32_t thread, std::span<const float> logits,
                             std::span<float> d_logits) -> Result<double> {
                           MPQ_ASSIGN_OR_RETURN(const std::span<const float> teacher,
                                                teachers_[thread]->Read(model_.graph.output));
                           return Judge(teacher, logits, d_logits);
                         }});
}

// Views, which the teacher sees as well.
Status Distillation::Fill(uint32_t part, uint32_t thread, std::span<float> src) {
  const size_t image_values = images_.image_bytes();
  const uint32_t first = step() % steps_per_epoch_ * kBatchImages + part * kPartImages;
  std::vector<uint8_t> view(image_values);
  for (uint32_t i = 0; i < kPartImages; ++i) {
    // A set smaller than a batch comes several times, each time in another view.
    const uint32_t position = first + i;
    const uint32_t index = order_[position % images_.count];
    RandomView(images_, index, model_.preprocessing.interpolation, MixSeed(seed_, step(), position),
               view);
    NormalizePixels(model_.preprocessing, view, src.subspan(i * image_values, image_values));
  }
  return teachers_[thread]->Run(src);
}

double Distillation::Judge(std::span<const float> teacher, std::span<const float> student,
                           std::span<float> d_logits) const {
  const size_t classes = student.size() / kPartImages;
  double loss = 0;
  for (uint32_t i = 0; i < kPartImages; ++i) {
    loss += DistillationLoss(teacher.subspan(i * classes, classes),
                             student.subspan(i * classes, classes), options_.temperature,
                             d_logits.subspan(i * classes, classes));
  }
  for (float& d : d_logits) d /= kBatchImages;
  return loss;
}

void Distillation::Decide(std::vector<LayerDecision>& layers) const { student_->Decide(layers); }

std::vector<uint8_t> Distillation::SaveState() {
  ByteWriter writer;
  writer.U32(kStateMagic);
  writer.U64(fingerprint_);
  writer.U32(step());
  student_->ForEachState([&](const std::vector<float>& state) { writer.Bytes(BytesOf(state)); });
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
  if (fingerprint != fingerprint_ || step > num_steps()) {
    return Error(ErrorCode::kInvalidArgument,
                 "a state of another model, other images, other settings or another CPU");
  }
  student_->ForEachState([&](std::vector<float>& values) {
    const auto bytes = reader.Bytes("state", values.size() * sizeof(float));
    if (!bytes.empty())
      std::copy(bytes.begin(), bytes.end(), reinterpret_cast<uint8_t*>(values.data()));
  });
  reader.End();
  MPQ_RETURN_IF_ERROR(reader.status());
  return student_->Resume(step);
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
