#include "quantize/rounding/input_moments.h"

#include <Eigen/Core>
#include <algorithm>
#include <memory>

#include "engine/core/float_executor.h"
#include "quantize/parallel.h"
#include "quantize/passes/graph_view.h"
#include "quantize/rounding/patch_sampler.h"

namespace mpq {

namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixView = Eigen::Map<Matrix>;
using ConstMatrixView = Eigen::Map<const Matrix>;

// Images whose samples are held at a time: enough for every thread, and for products of some rows.
constexpr uint32_t kImagesAtOnce = 8;

// Sums of one convolution.
class MomentSums {
 public:
  explicit MomentSums(const PatchSampler& sampler)
      : groups_(sampler.groups()), size_(sampler.size()), samples_(sampler.samples()) {
    moments_.groups = groups_;
    moments_.size = size_;
    moments_.covariance.resize(size_t{groups_} * size_ * size_);
    means_.resize(size_t{groups_} * size_);
  }

  void Add(std::span<const float> patches) {
    for (uint32_t g = 0; g < groups_; ++g) {
      const ConstMatrixView x(patches.data() + size_t{g} * samples_ * size_, samples_, size_);
      MatrixView sum(moments_.group(g).data(), size_, size_);
      sum.selfadjointView<Eigen::Lower>().rankUpdate(x.transpose());
      for (uint32_t s = 0; s < samples_; ++s) {
        for (uint32_t i = 0; i < size_; ++i) means_[size_t{g} * size_ + i] += x(s, i);
      }
    }
    count_ += samples_;
  }

  InputMoments Finish() {
    const auto count = static_cast<double>(count_);
    for (uint32_t g = 0; g < groups_; ++g) {
      MatrixView sum(moments_.group(g).data(), size_, size_);
      const double* mean = means_.data() + size_t{g} * size_;
      for (uint32_t i = 0; i < size_; ++i) {
        for (uint32_t j = 0; j <= i; ++j) {
          const double value = sum(i, j) / count - mean[i] / count * (mean[j] / count);
          sum(i, j) = sum(j, i) = static_cast<float>(value);
        }
      }
    }
    return std::move(moments_);
  }

 private:
  uint32_t groups_, size_, samples_;
  InputMoments moments_;
  std::vector<double> means_;
  uint64_t count_ = 0;
};

class MomentMeasurement {
 public:
  MomentMeasurement(const Graph& graph, const Preprocessing& preprocessing,
                    const CalibrationImages& images, const Equalization& equalization,
                    uint64_t seed, uint32_t threads)
      : graph_(graph),
        preprocessing_(preprocessing),
        images_(images),
        equalization_(equalization),
        seed_(seed),
        executors_(std::max(threads, 1u)) {
    for (uint32_t n = 0; n < graph.nodes.size(); ++n) {
      if (!IsConvolution(graph.nodes[n])) continue;
      nodes_.push_back(n);
      samplers_.emplace_back(graph, graph.nodes[n], images.count);
      sums_.emplace_back(samplers_.back());
      patches_.emplace_back(kImagesAtOnce);
    }
  }

  Result<std::vector<InputMoments>> Run(const Progress& progress) {
    ProgressStage stage(progress, "measure inputs", images_.count);
    const auto threads = static_cast<uint32_t>(executors_.size());
    for (uint32_t first = 0; first < images_.count; first += kImagesAtOnce) {
      const uint32_t count = std::min(kImagesAtOnce, images_.count - first);
      MPQ_RETURN_IF_ERROR(ParallelFor(threads, count, [&](uint32_t slot, uint32_t thread) {
        Status status = SampleImage(first + slot, slot, thread);
        stage.Step();
        return status;
      }));
      MPQ_RETURN_IF_ERROR(
          ParallelFor(threads, static_cast<uint32_t>(nodes_.size()), [&](uint32_t i, uint32_t) {
            for (uint32_t s = 0; s < count; ++s) {
              sums_[i].Add(patches_[i][s]);
            }
            return Status();
          }));
    }
    std::vector<InputMoments> result(graph_.nodes.size());
    for (size_t i = 0; i < nodes_.size(); ++i) result[nodes_[i]] = sums_[i].Finish();
    return result;
  }

 private:
  Status SampleImage(uint32_t image, uint32_t slot, uint32_t thread) {
    if (executors_[thread] == nullptr) {
      MPQ_ASSIGN_OR_RETURN(executors_[thread], MakeFloatExecutor(graph_, {.keep_tensors = true}));
    }
    FloatExecutor& executor = *executors_[thread];
    std::vector<float> src(images_.image_bytes());
    NormalizePixels(preprocessing_, images_.image(image), src);
    MPQ_RETURN_IF_ERROR(executor.Run(src));
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const uint32_t tensor = graph_.nodes[nodes_[i]].inputs[0];
      std::span<const float> values = src;
      if (tensor != graph_.input) {
        MPQ_ASSIGN_OR_RETURN(values, executor.Read(tensor));
      }
      std::vector<float>& patches = patches_[i][slot];
      patches.resize(samplers_[i].values());
      samplers_[i].Sample(values, SampleOffset(seed_, image, nodes_[i]), patches);
      Equalize(samplers_[i], tensor, patches);
    }
    return Status();
  }

  // Values as they will be stored.
  void Equalize(const PatchSampler& sampler, uint32_t tensor, std::span<float> patches) const {
    const std::span<const float> scales = equalization_.scales(tensor);
    if (scales.empty()) return;
    const size_t group_channels = scales.size() / sampler.groups();
    const size_t group_values = size_t{sampler.samples()} * sampler.size();
    for (size_t i = 0; i < patches.size(); ++i) {
      patches[i] /= scales[i / group_values * group_channels + i % group_channels];
    }
  }

  const Graph& graph_;
  const Preprocessing& preprocessing_;
  const CalibrationImages& images_;
  const Equalization& equalization_;
  const uint64_t seed_;
  std::vector<std::unique_ptr<FloatExecutor>> executors_;  // one a thread
  std::vector<uint32_t> nodes_;                            // the convolutions; parallel to these:
  std::vector<PatchSampler> samplers_;
  std::vector<MomentSums> sums_;
  std::vector<std::vector<std::vector<float>>> patches_;  // [][image of the batch]
};

}  // namespace

Result<std::vector<InputMoments>> MeasureInputMoments(
    const Graph& graph, const Preprocessing& preprocessing, const CalibrationImages& images,
    const Equalization& equalization, uint64_t seed, uint32_t threads, const Progress& progress) {
  return MomentMeasurement(graph, preprocessing, images, equalization, seed, threads).Run(progress);
}

uint64_t EstimateMomentBytes(const Graph& graph, uint32_t num_images) {
  uint64_t bytes = 0;
  for (const Node& node : graph.nodes) {
    if (!IsConvolution(node)) continue;
    const PatchSampler sampler(graph, node, std::max(num_images, 1u));
    bytes += sizeof(float) * (uint64_t{sampler.groups()} * sampler.size() * sampler.size() +
                              uint64_t{kImagesAtOnce} * sampler.values());
  }
  return bytes;
}

}  // namespace mpq
