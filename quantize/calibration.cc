#include "quantize/calibration.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "engine/core/float_executor.h"
#include "quantize/parallel.h"
#include "quantize/passes/graph_view.h"
#include "quantize/patch_mean.h"

namespace mpq {

namespace {

// What one part gathers.
struct PartSums {
  explicit PartSums(const Graph& graph)
      : histograms(graph.tensors.size()), channel_magnitudes(graph.tensors.size()) {
    for (size_t t = 0; t < graph.tensors.size(); ++t) {
      channel_magnitudes[t].resize(graph.tensors[t].channels);
    }
    for (const Node& node : graph.nodes) {
      patch_sums.push_back(IsConvolution(node) ? PatchSum(graph, node) : PatchSum());
    }
  }

  void Merge(const PartSums& other) {
    for (size_t t = 0; t < histograms.size(); ++t) {
      histograms[t].Merge(other.histograms[t]);
      for (size_t c = 0; c < channel_magnitudes[t].size(); ++c) {
        channel_magnitudes[t][c] =
            std::max(channel_magnitudes[t][c], other.channel_magnitudes[t][c]);
      }
    }
    for (size_t n = 0; n < patch_sums.size(); ++n) patch_sums[n].Merge(other.patch_sums[n]);
  }

  std::vector<Histogram> histograms;
  std::vector<std::vector<float>> channel_magnitudes;
  std::vector<PatchSum> patch_sums;
};

void UpdateMagnitudes(std::span<const float> values, std::vector<float>& magnitudes) {
  const size_t channels = magnitudes.size();
  for (size_t i = 0; i < values.size(); i += channels) {
    for (size_t c = 0; c < channels; ++c) {
      magnitudes[c] = std::max(magnitudes[c], std::abs(values[i + c]));
    }
  }
}

std::span<const float> DivideChannels(std::span<const float> values, std::span<const float> scales,
                                      std::vector<float>& scratch) {
  if (scales.empty()) return values;
  std::vector<float> inverse(scales.size());
  for (size_t c = 0; c < scales.size(); ++c) inverse[c] = 1.0f / scales[c];
  scratch.resize(values.size());
  for (size_t i = 0; i < values.size(); i += scales.size()) {
    for (size_t c = 0; c < scales.size(); ++c) scratch[i + c] = values[i + c] * inverse[c];
  }
  return scratch;
}

class Calibrator {
 public:
  Calibrator(const Graph& graph, const Preprocessing& preprocessing,
             const CalibrationImages& images, const Equalization& equalization, uint32_t threads)
      : graph_(graph),
        preprocessing_(preprocessing),
        images_(images),
        equalization_(equalization),
        executors_(std::max(threads, 1u)),
        logits_(size_t{images.count} * graph.tensors[graph.output].channels) {
    for (uint32_t part = 0; part < kCalibrationParts; ++part) parts_.emplace_back(graph);
  }

  Status RunPart(uint32_t part, uint32_t thread, ProgressStage& stage) {
    if (executors_[thread] == nullptr) {
      MPQ_ASSIGN_OR_RETURN(executors_[thread], MakeFloatExecutor(graph_, {.keep_tensors = true}));
    }
    const uint32_t last = PartBegin(images_.count, kCalibrationParts, part + 1);
    for (uint32_t i = PartBegin(images_.count, kCalibrationParts, part); i < last; ++i) {
      MPQ_RETURN_IF_ERROR(RunImage(i, *executors_[thread], parts_[part]));
      stage.Step();
    }
    return Status();
  }

  Calibration Finish() {
    for (uint32_t part = 1; part < kCalibrationParts; ++part) parts_[0].Merge(parts_[part]);
    Calibration result;
    result.histograms = std::move(parts_[0].histograms);
    result.channel_magnitudes = std::move(parts_[0].channel_magnitudes);
    for (const PatchSum& sum : parts_[0].patch_sums) result.patch_means.push_back(sum.Mean());
    result.logits = std::move(logits_);
    result.num_images = images_.count;
    return result;
  }

 private:
  Status RunImage(uint32_t image, FloatExecutor& executor, PartSums& sums) {
    const std::span<const uint8_t> pixels = images_.image(image);
    std::vector<float> src(pixels.size());
    NormalizePixels(preprocessing_, pixels, src);
    MPQ_RETURN_IF_ERROR(executor.Run(src));
    std::vector<float> scratch;
    for (uint32_t t = 0; t < graph_.tensors.size(); ++t) {
      // The span of the graph's input is ours; executors keep what nodes make.
      std::span<const float> values = src;
      if (t != graph_.input) {
        MPQ_ASSIGN_OR_RETURN(values, executor.Read(t));
      }
      UpdateMagnitudes(values, sums.channel_magnitudes[t]);
      const Status added =
          sums.histograms[t].Add(DivideChannels(values, equalization_.scales(t), scratch));
      if (!added.ok()) return added.WithContext("tensor '" + graph_.tensors[t].name + "'");
      AddPatches(t, values, sums);
      if (t == graph_.output) {
        std::copy(values.begin(), values.end(), logits_.begin() + image * values.size());
      }
    }
    return Status();
  }

  void AddPatches(uint32_t tensor, std::span<const float> values, PartSums& sums) {
    for (const uint32_t n : view_.consumers(tensor)) {
      if (IsConvolution(graph_.nodes[n])) sums.patch_sums[n].Add(values);
    }
  }

  const Graph& graph_;
  const GraphView view_{graph_};
  const Preprocessing& preprocessing_;
  const CalibrationImages& images_;
  const Equalization& equalization_;
  std::vector<std::unique_ptr<FloatExecutor>> executors_;  // one a thread
  std::vector<PartSums> parts_;
  std::vector<float> logits_;
};

}  // namespace

Result<Calibration> Calibrate(const Graph& graph, const Preprocessing& preprocessing,
                              const CalibrationImages& images, const Equalization& equalization,
                              uint32_t threads, const Progress& progress) {
  MPQ_RETURN_IF_ERROR(CheckImages(images, graph));
  Calibrator calibrator(graph, preprocessing, images, equalization, threads);
  ProgressStage stage(progress, "calibrate", images.count);
  MPQ_RETURN_IF_ERROR(ParallelFor(threads, kCalibrationParts, [&](uint32_t part, uint32_t thread) {
    return calibrator.RunPart(part, thread, stage);
  }));
  return calibrator.Finish();
}

}  // namespace mpq
