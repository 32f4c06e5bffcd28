#include "quantize/distillation/block_refinement.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "mpq/model.h"
#include "mpq/session.h"
#include "quantize/augmentation.h"
#include "quantize/cache/fingerprint.h"
#include "quantize/cache/saved_layers.h"
#include "quantize/distillation/student.h"
#include "quantize/lower.h"
#include "quantize/parallel.h"
#include "quantize/passes/graph_view.h"
#include "quantize/rounding/float_checkpoint.h"

namespace mpq {

namespace {

// What the quantised network has computed of one tensor, for every view; nothing for the input.
class BlockInputs {
 public:
  BlockInputs(const ModelData& float_model, const Views& views, uint32_t tensor)
      : float_model_(float_model), views_(views), tensor_(tensor), codes_(views.count()) {}

  Status Run(const Decisions& decisions, uint32_t threads) {
    if (is_image()) return Status();
    stored_ = decisions.activations[tensor_];
    MPQ_ASSIGN_OR_RETURN(LoweredModel lowered, LowerModel(float_model_, decisions));
    MPQ_ASSIGN_OR_RETURN(const Model model, Model::FromData(std::move(lowered.data)));
    const uint32_t tensor = lowered.tensors[tensor_];
    std::vector<std::optional<Session>> sessions(std::max(threads, 1u));
    return ParallelFor(threads, views_.count(), [&](uint32_t view, uint32_t thread) -> Status {
      if (!sessions[thread].has_value()) {
        SessionOptions options;
        options.keep_tensors = true;
        options.wanted_tensors = {tensor};
        MPQ_ASSIGN_OR_RETURN(sessions[thread], Session::Create(model, options));
      }
      MPQ_RETURN_IF_ERROR(sessions[thread]->Run(views_.Pixels(view)));
      MPQ_ASSIGN_OR_RETURN(const std::vector<int16_t> codes,
                           sessions[thread]->ReadTensorCodes(tensor));
      codes_[view].assign(codes.begin(), codes.end());
      return Status();
    });
  }

  void Read(uint32_t view, std::span<float> values) const {
    if (is_image()) {
      NormalizePixels(float_model_.preprocessing, views_.Pixels(view), values);
      return;
    }
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = stored_.Real(codes_[view][i]);
    }
  }

 private:
  bool is_image() const { return tensor_ == float_model_.graph.input; }

  const ModelData& float_model_;
  const Views& views_;
  const uint32_t tensor_;
  ActivationDecision stored_;
  std::vector<std::vector<uint8_t>> codes_;  // per view
};

// One block in training: where its inputs and the float outputs come from, and the loss.
class BlockTraining {
 public:
  BlockTraining(const ModelData& float_model, const Views& views, const Block& block,
                const FloatCheckpoint& checkpoint, const Decisions& decisions, uint64_t seed)
      : float_model_(float_model),
        views_(views),
        block_(block),
        checkpoint_(checkpoint),
        decisions_(decisions),
        seed_(seed),
        student_part_(GraphBetween(float_model.graph, block.first, {&block.last, 1})),
        teacher_part_(GraphBetween(float_model.graph, checkpoint.tensor(), {&block.last, 1})),
        inputs_(float_model, views, block.first) {}

  Status Train(const RefinementOptions& options, uint32_t threads,
               std::vector<LayerDecision>& layers) {
    MPQ_RETURN_IF_ERROR(inputs_.Run(decisions_, threads));
    steps_per_epoch_ = std::max(views_.count() / kBatchImages, 1u);
    MPQ_ASSIGN_OR_RETURN(
        const std::unique_ptr<Student> student,
        Student::Create(student_part_, block_.first_node, float_model_.graph, decisions_,
                        {options.rates, options.epochs * steps_per_epoch_, threads}));
    for (uint32_t thread = 0; thread < student->threads(); ++thread) {
      teachers_.emplace_back(teacher_part_, float_model_.preprocessing);
    }
    targets_.resize(student->threads());
    const Student::Task task{[&](uint32_t part, uint32_t thread, std::span<float> src) {
                               return Fill(student->step(), part, thread, src);
                             },
                             [&](uint32_t, uint32_t thread, std::span<const float> output,
                                 std::span<float> d_output) -> Result<double> {
                               return Judge(targets_[thread], output, d_output);
                             }};
    while (student->step() < student->num_steps()) {
      if (student->step() % steps_per_epoch_ == 0) {
        order_ = ShuffledIndices(
            views_.count(), MixSeed(seed_, block_.first_node, student->step() / steps_per_epoch_));
      }
      MPQ_RETURN_IF_ERROR(student->Step(task).status());
    }
    student->Decide(layers);
    return Status();
  }

 private:
  Status Fill(uint32_t step, uint32_t part, uint32_t thread, std::span<float> src) {
    const size_t values = src.size() / kPartImages;
    const uint32_t first = step % steps_per_epoch_ * kBatchImages + part * kPartImages;
    targets_[thread].clear();
    for (uint32_t i = 0; i < kPartImages; ++i) {
      const uint32_t view = order_[(first + i) % views_.count()];
      inputs_.Read(view, src.subspan(i * values, values));
      MPQ_RETURN_IF_ERROR(AppendTarget(view, thread));
    }
    return Status();
  }

  // Logits are not clamped: they have room to spare.
  Status AppendTarget(uint32_t view, uint32_t thread) {
    FloatPart& teacher = teachers_[thread];
    MPQ_RETURN_IF_ERROR(checkpoint_.Run(view, teacher));
    MPQ_ASSIGN_OR_RETURN(const std::span<const float> output, teacher.Read(block_.last));
    std::vector<float>& targets = targets_[thread];
    const size_t begin = targets.size();
    targets.insert(targets.end(), output.begin(), output.end());
    if (block_.last == float_model_.graph.output) return Status();
    const ActivationDecision& stored = decisions_.activations[block_.last];
    for (size_t i = begin; i < targets.size(); ++i) {
      targets[i] = std::clamp(targets[i], stored.lowest(), stored.highest());
    }
    return Status();
  }

  double Judge(std::span<const float> targets, std::span<const float> output,
               std::span<float> d_output) const {
    const float step = TensorStep(float_model_.graph, block_.last, decisions_);
    const size_t image_values = output.size() / kPartImages;
    const auto values = static_cast<float>(image_values);
    double loss = 0;
    for (size_t i = 0; i < output.size(); ++i) {
      const float error = (output[i] - targets[i]) / step;
      loss += error * error / values;
      d_output[i] = 2 * error / (step * values * kBatchImages);
    }
    return loss;
  }

  const ModelData& float_model_;
  const Views& views_;
  const Block block_;
  const FloatCheckpoint& checkpoint_;
  const Decisions& decisions_;
  const uint64_t seed_;
  const Graph student_part_, teacher_part_;
  BlockInputs inputs_;
  uint32_t steps_per_epoch_ = 1;
  std::vector<FloatPart> teachers_;          // per thread
  std::vector<std::vector<float>> targets_;  // per thread: of the images that it is at
  std::vector<uint32_t> order_;              // of the views, this epoch
};

Result<uint64_t> RunFingerprint(const ModelData& float_model, const CalibrationImages& images,
                                uint32_t num_views, const RefinementOptions& options, uint64_t seed,
                                const Decisions& decisions) {
  MPQ_ASSIGN_OR_RETURN(Fingerprint fingerprint,
                       Fingerprint::Create(float_model, images, seed, decisions));
  fingerprint.Add(uint64_t{num_views}).Add(uint64_t{options.epochs});
  for (const float rate : {options.rates.weights, options.rates.scales, options.rates.bias}) {
    fingerprint.Add(rate);
  }
  return fingerprint.value();
}

}  // namespace

std::vector<Block> SplitIntoBlocks(const Graph& graph) {
  constexpr uint32_t kLeastConvolutions = 2;
  const std::vector<bool> bottlenecks = Bottlenecks(graph);
  std::vector<Block> blocks;
  Block block{graph.input, graph.input, 0, 0};
  uint32_t convolutions = 0;
  for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
    if (IsConvolution(graph.nodes[n])) ++convolutions;
    const bool ends = n + 1 == graph.nodes.size();
    if (!ends && (!bottlenecks[n] || convolutions < kLeastConvolutions)) continue;
    block.last = graph.nodes[n].output;
    block.end_node = n + 1;
    if (convolutions > 0) blocks.push_back(block);
    block = {block.last, block.last, n + 1, n + 1};
    convolutions = 0;
  }
  return blocks;
}

Status RefineBlocks(const ModelData& float_model, const CalibrationImages& images,
                    uint32_t num_views, const RefinementOptions& options, uint64_t seed,
                    uint32_t threads, const StageCache& cache, const Progress& progress,
                    Decisions& decisions) {
  uint64_t fingerprint = 0;
  if (cache.enabled()) {
    MPQ_ASSIGN_OR_RETURN(fingerprint,
                         RunFingerprint(float_model, images, num_views, options, seed, decisions));
  }
  const SavedLayers saved(cache, "refinement", fingerprint);
  MPQ_ASSIGN_OR_RETURN(size_t done, saved.Restore(decisions));
  const Views views(images, num_views, float_model.preprocessing.interpolation, seed);
  FloatCheckpoint checkpoint(float_model, views);
  const std::vector<Block> blocks = SplitIntoBlocks(float_model.graph);
  ProgressStage stage(progress, "refine blocks", blocks.size() - done);
  while (done < blocks.size()) {
    const Block& block = blocks[done];
    MPQ_RETURN_IF_ERROR(checkpoint.MoveFor({&block.first, 1}, threads));
    BlockTraining training(float_model, views, block, checkpoint, decisions, seed);
    MPQ_RETURN_IF_ERROR(training.Train(options, threads, decisions.layers));
    ++done;
    stage.Step();
    MPQ_RETURN_IF_ERROR(saved.Save(done, decisions));
  }
  return Status();
}

uint64_t EstimateRefinementBytes(const Graph& graph, uint32_t num_images, uint32_t num_views,
                                 uint32_t threads) {
  const uint64_t count = uint64_t{num_images} * num_views;
  // Three layouts of the weights, their moments, and a gradient for every part of a batch.
  constexpr uint64_t kCopiesOfWeights = 6;
  uint64_t most = 0;
  for (const Block& block : SplitIntoBlocks(graph)) {
    uint64_t values = 0;
    uint64_t weights = 0;
    for (uint32_t n = block.first_node; n < block.end_node; ++n) {
      values += NumValues(graph.tensors[graph.nodes[n].output]);
      if (IsConvolution(graph.nodes[n])) {
        weights += graph.weights[graph.nodes[n].weights].values.size();
      }
    }
    // Values and gradients of a tape, and targets.
    const uint64_t thread = uint64_t{3} * kPartImages * values;
    const uint64_t workers = std::clamp(threads, 1u, kBatchParts);
    const uint64_t codes = block.first == graph.input ? 0 : NumValues(graph.tensors[block.first]);
    most = std::max(
        most, count * codes +
                  sizeof(float) * ((kCopiesOfWeights + kBatchParts) * weights + workers * thread));
  }
  return most + FloatCheckpoint::EstimateBytes(graph, num_images * num_views);
}

}  // namespace mpq
