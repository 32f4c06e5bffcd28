#include "quantize/rounding/sequential.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/core/float_executor.h"
#include "mpq/model.h"
#include "mpq/session.h"
#include "quantize/augmentation.h"
#include "quantize/cache/fingerprint.h"
#include "quantize/cache/layer_bytes.h"
#include "quantize/lower.h"
#include "quantize/parallel.h"
#include "quantize/passes/graph_view.h"
#include "quantize/residuals.h"
#include "quantize/rounding/layers.h"
#include "quantize/rounding/patch_sampler.h"

namespace mpq {

namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixView = Eigen::Map<Matrix>;
using ConstMatrixView = Eigen::Map<const Matrix>;
using Index = Eigen::Index;

// Views whose samples are held at a time.
constexpr uint32_t kViewsAtOnce = 8;
// Ridges to choose from, relative to the mean variance of the inputs; 0: no regression.
constexpr float kRidges[] = {0, 0.03f, 0.3f, 3, 30};

// What one image says about one layer.
struct LayerSamples {
  std::vector<float> inputs;     // x, [groups][samples][size]
  std::vector<float> quantized;  // x'
  std::vector<float> residuals;  // r - r', [samples][output channels]; empty: no residual
};

// Sums over samples, and the means and covariances they become.
struct RegressionMoments {
  InputMoments inputs;               // of x'
  std::vector<float> cross;          // E[(w x + r - r') x'], shaped as the weights
  std::vector<double> input_means;   // [groups][size]
  std::vector<double> output_means;  // [groups][rows]
  double count = 0;
  uint32_t rows = 0;  // of a group

  RegressionMoments(uint32_t groups, uint32_t size, uint32_t group_rows)
      : cross(size_t{groups} * group_rows * size),
        input_means(size_t{groups} * size),
        output_means(size_t{groups} * group_rows),
        rows(group_rows) {
    inputs.groups = groups;
    inputs.size = size;
    inputs.covariance.resize(size_t{groups} * size * size);
  }

  ConstMatrixView covariance(uint32_t group) const {
    return {inputs.group(group).data(), Index{inputs.size}, Index{inputs.size}};
  }
  MatrixView covariance(uint32_t group) {
    return {inputs.group(group).data(), Index{inputs.size}, Index{inputs.size}};
  }
  ConstMatrixView cross_covariance(uint32_t group) const {
    return {cross.data() + size_t{group} * rows * inputs.size, Index{rows}, Index{inputs.size}};
  }

  // x', and w x + r - r', of one group.
  void Add(uint32_t group, const ConstMatrixView& quantized, const Matrix& outputs) {
    covariance(group).selfadjointView<Eigen::Lower>().rankUpdate(quantized.transpose());
    MatrixView(cross.data() + size_t{group} * rows * inputs.size, Index{rows}, Index{inputs.size})
        .noalias() += outputs.transpose() * quantized;
    AddMeans(quantized, std::span(input_means).subspan(size_t{group} * inputs.size, inputs.size));
    AddMeans(outputs, std::span(output_means).subspan(size_t{group} * rows, rows));
  }

  void Add(const RegressionMoments& other) {
    AddTo(other.inputs.covariance, inputs.covariance);
    AddTo(other.cross, cross);
    AddTo(other.input_means, input_means);
    AddTo(other.output_means, output_means);
    count += other.count;
  }

  void Finish() {
    for (double& mean : input_means) mean /= count;
    for (double& mean : output_means) mean /= count;
    for (uint32_t g = 0; g < inputs.groups; ++g) {
      MatrixView sum = covariance(g);
      const double* mean = input_means.data() + size_t{g} * inputs.size;
      for (uint32_t i = 0; i < inputs.size; ++i) {
        for (uint32_t j = 0; j <= i; ++j) {
          sum(i, j) = sum(j, i) = static_cast<float>(sum(i, j) / count - mean[i] * mean[j]);
        }
      }
    }
    for (size_t row = 0; row < output_means.size(); ++row) {
      const double* mean = input_means.data() + row / rows * inputs.size;
      float* values = cross.data() + row * inputs.size;
      for (uint32_t i = 0; i < inputs.size; ++i) {
        values[i] = static_cast<float>(values[i] / count - output_means[row] * mean[i]);
      }
    }
  }

 private:
  static void AddMeans(const Eigen::Ref<const Matrix>& values, std::span<double> sums) {
    for (Index s = 0; s < values.rows(); ++s) {
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += values(s, static_cast<Index>(i));
    }
  }
  template <typename T>
  static void AddTo(const std::vector<T>& src, std::vector<T>& dst) {
    for (size_t i = 0; i < src.size(); ++i) dst[i] += src[i];
  }
};

// (cross + ridge * w) (covariance + ridge)^-1 with a ridge relative to the mean variance: w itself
// where the inputs say nothing.
std::vector<float> Regress(const RegressionMoments& moments, std::span<const float> weights,
                           float relative_ridge) {
  std::vector<float> targets(weights.size());
  for (uint32_t g = 0; g < moments.inputs.groups; ++g) {
    const size_t first = size_t{g} * moments.rows * moments.inputs.size;
    const ConstMatrixView w(weights.data() + first, moments.rows, moments.inputs.size);
    MatrixView target(targets.data() + first, moments.rows, moments.inputs.size);
    Eigen::MatrixXf h = moments.covariance(g);
    const float ridge = relative_ridge * h.trace() / static_cast<float>(h.rows());
    if (!(ridge > 0)) {
      target = w;
      continue;
    }
    h.diagonal().array() += ridge;
    const Eigen::MatrixXf right = (moments.cross_covariance(g) + ridge * w).transpose();
    target = Eigen::LLT<Eigen::MatrixXf>(h).solve(right).transpose();
  }
  return targets;
}

// E |w x + r - r' - w~ x'|^2 but for a constant, means left to the biases.
double RegressionError(const RegressionMoments& moments, std::span<const float> targets) {
  double error = 0;
  for (uint32_t g = 0; g < moments.inputs.groups; ++g) {
    const size_t first = size_t{g} * moments.rows * moments.inputs.size;
    const ConstMatrixView w(targets.data() + first, moments.rows, moments.inputs.size);
    const Matrix residual = w * moments.covariance(g) - 2 * moments.cross_covariance(g);
    error += residual.cast<double>().cwiseProduct(w.cast<double>()).sum();
  }
  return error;
}

// A layer's samples of two halves of the images, and the weights that follow. What one half
// teaches is tested on the other: the ridge is the one that serves there best. Layers that see few
// samples (the last one: an image is one) would learn the calibration images by heart otherwise.
class LayerRegression {
 public:
  static constexpr uint32_t kHalves = 2;

  LayerRegression(const Graph& graph, uint32_t n, uint32_t num_views, const Decisions& decisions,
                  uint32_t addition)
      : graph_(graph),
        node_(graph.nodes[n]),
        sampler_(graph, node_, num_views),
        addition_(addition),
        weights_(EffectiveWeights(graph, node_, decisions.equalization)),
        bias_(EffectiveBias(graph, node_, decisions.equalization)),
        rows_(static_cast<uint32_t>(bias_.size()) / sampler_.groups()),
        halves_(kHalves, RegressionMoments(sampler_.groups(), sampler_.size(), rows_)) {}

  void Sample(std::span<const float> float_src, std::span<const float> quantized_src, double offset,
              LayerSamples& samples) const {
    samples.inputs.resize(sampler_.values());
    samples.quantized.resize(sampler_.values());
    sampler_.Sample(float_src, offset, samples.inputs);
    sampler_.Sample(quantized_src, offset, samples.quantized);
  }

  // difference: r - r'
  void SampleResidual(std::span<const float> difference, double offset,
                      LayerSamples& samples) const {
    samples.residuals.resize(sampler_.samples() * bias_.size());
    for (uint32_t s = 0; s < sampler_.samples(); ++s) {
      const float* src = difference.data() + sampler_.Position(s, offset) * bias_.size();
      std::copy_n(src, bias_.size(), samples.residuals.data() + s * bias_.size());
    }
  }

  // The halves may be added to at the same time.
  void Add(uint32_t which, const LayerSamples& samples) {
    RegressionMoments& half = halves_[which];
    const Index count = sampler_.samples();
    const Index size = sampler_.size();
    for (uint32_t g = 0; g < sampler_.groups(); ++g) {
      const size_t first = size_t{g} * sampler_.samples() * sampler_.size();
      const ConstMatrixView x(samples.inputs.data() + first, count, size);
      const ConstMatrixView q(samples.quantized.data() + first, count, size);
      const ConstMatrixView w(weights_.data() + size_t{g} * rows_ * sampler_.size(), rows_, size);
      Matrix outputs = x * w.transpose();
      if (!samples.residuals.empty()) {
        outputs +=
            ConstMatrixView(samples.residuals.data(), count, static_cast<Index>(bias_.size()))
                .middleCols(Index{g} * rows_, rows_);
      }
      half.Add(g, q, outputs);
    }
    half.count += sampler_.samples();
  }

  // Rounds the layer and sets its bias.
  Status Round(uint32_t threads, LayerDecision& layer) {
    RegressionMoments all = halves_[0];
    all.Add(halves_[1]);
    all.Finish();
    MPQ_ASSIGN_OR_RETURN(const float ridge, ChooseRidge(threads));
    MPQ_RETURN_IF_ERROR(RoundLayer(graph_, node_, all.inputs, Targets(all, ridge), layer));
    MPQ_ASSIGN_OR_RETURN(const std::vector<int8_t> levels, LayerLevels(graph_, node_, layer));
    const uint32_t size = sampler_.size();
    for (size_t c = 0; c < bias_.size(); ++c) {
      const double* mean = all.input_means.data() + c / rows_ * size;
      double output = 0;
      for (uint32_t i = 0; i < size; ++i) output += levels[c * size + i] * mean[i];
      layer.bias[c] = bias_[c] + all.output_means[c] - layer.scales[c] * output;
    }
    return Status();
  }

  const Node& node() const { return node_; }
  uint32_t addition() const { return addition_; }

 private:
  // 0: no regression, the weights as they are.
  std::vector<float> Targets(const RegressionMoments& moments, float ridge) const {
    return ridge > 0 ? Regress(moments, weights_, ridge) : weights_;
  }

  Result<float> ChooseRidge(uint32_t threads) {
    for (RegressionMoments& half : halves_) {
      if (half.count == 0) return 0.0f;
      half.Finish();
    }
    std::vector<double> errors(std::size(kRidges) * kHalves);
    MPQ_RETURN_IF_ERROR(
        ParallelFor(threads, static_cast<uint32_t>(errors.size()), [&](uint32_t i, uint32_t) {
          const RegressionMoments& teacher = halves_[i % kHalves];
          const RegressionMoments& judge = halves_[kHalves - 1 - i % kHalves];
          errors[i] = RegressionError(judge, Targets(teacher, kRidges[i / kHalves]));
          return Status();
        }));
    float best = 0;
    double least = errors[0] + errors[1];
    for (size_t i = 1; i < std::size(kRidges); ++i) {
      const double error = errors[kHalves * i] + errors[kHalves * i + 1];
      if (error >= least) continue;
      least = error;
      best = kRidges[i];
    }
    return best;
  }

  const Graph& graph_;
  const Node& node_;
  PatchSampler sampler_;
  uint32_t addition_;
  std::vector<float> weights_;  // effective
  std::vector<double> bias_;    // effective
  uint32_t rows_;               // of a group
  std::vector<RegressionMoments> halves_;
};

// The two networks side by side in one thread. Of the float one there is only the part, `graph`,
// whose tensors are read.
class NetworkPair {
 public:
  NetworkPair(const Graph& graph, const Preprocessing& preprocessing, const Decisions& decisions,
              std::span<const uint32_t> tensors)
      : graph_(graph), preprocessing_(preprocessing), decisions_(decisions), tensors_(tensors) {}

  Status Run(const Model& quantized, std::span<const uint8_t> pixels) {
    if (executor_ == nullptr) {
      MPQ_ASSIGN_OR_RETURN(executor_, MakeFloatExecutor(graph_, {.keep_tensors = true}));
    }
    if (!session_.has_value()) {
      SessionOptions options;
      options.keep_tensors = true;
      MPQ_ASSIGN_OR_RETURN(session_, Session::Create(quantized, options));
    }
    src_.resize(pixels.size());
    NormalizePixels(preprocessing_, pixels, src_);
    MPQ_RETURN_IF_ERROR(executor_->Run(src_));
    return session_->Run(pixels);
  }

  // Equalised values, clamped to what the stored tensor can hold.
  Result<std::vector<float>> Float(uint32_t tensor) const {
    std::span<const float> values = src_;
    if (tensor != graph_.input) {
      MPQ_ASSIGN_OR_RETURN(values, executor_->Read(tensor));
    }
    std::vector<float> result(values.begin(), values.end());
    const std::span<const float> scales = decisions_.equalization.scales(tensor);
    for (size_t i = 0; i < result.size() && !scales.empty(); ++i) {
      result[i] /= scales[i % scales.size()];
    }
    const ActivationDecision& stored = decisions_.activations[tensor];
    const float lo = stored.scale * static_cast<float>(-stored.zero_point);
    const float hi = stored.scale * static_cast<float>((1 << stored.bits) - 1 - stored.zero_point);
    for (float& value : result) value = std::clamp(value, lo, hi);
    return result;
  }

  Result<std::vector<float>> Quantized(uint32_t tensor) const {
    MPQ_ASSIGN_OR_RETURN(const std::vector<int16_t> codes,
                         session_->ReadTensorCodes(tensors_[tensor]));
    const ActivationDecision& stored = decisions_.activations[tensor];
    std::vector<float> result(codes.size());
    for (size_t i = 0; i < codes.size(); ++i) {
      result[i] = stored.scale * static_cast<float>(codes[i] - stored.zero_point);
    }
    return result;
  }

 private:
  const Graph& graph_;
  const Preprocessing& preprocessing_;
  const Decisions& decisions_;
  std::span<const uint32_t> tensors_;
  std::unique_ptr<FloatExecutor> executor_;
  std::optional<Session> session_;
  std::vector<float> src_;
};

Status SampleLayer(const NetworkPair& networks, const LayerRegression& layer, const Graph& graph,
                   double offset, LayerSamples& samples) {
  const uint32_t src = layer.node().inputs[0];
  MPQ_ASSIGN_OR_RETURN(const std::vector<float> inputs, networks.Float(src));
  MPQ_ASSIGN_OR_RETURN(const std::vector<float> quantized, networks.Quantized(src));
  layer.Sample(inputs, quantized, offset, samples);
  if (layer.addition() == kNone) return Status();
  const uint32_t residual = OtherOperand(graph.nodes[layer.addition()], layer.node().output);
  MPQ_ASSIGN_OR_RETURN(std::vector<float> difference, networks.Float(residual));
  MPQ_ASSIGN_OR_RETURN(const std::vector<float> stored, networks.Quantized(residual));
  for (size_t i = 0; i < difference.size(); ++i) difference[i] -= stored[i];
  layer.SampleResidual(difference, offset, samples);
  return Status();
}

// The first nodes of the graph, up to the last tensor that the layer reads.
Graph GraphUpTo(const Graph& graph, const LayerRegression& layer) {
  const GraphView view(graph);
  uint32_t last = 0;
  const auto reach = [&](uint32_t tensor) {
    if (tensor != graph.input) last = std::max(last, view.producer(tensor));
  };
  reach(layer.node().inputs[0]);
  if (layer.addition() != kNone) {
    reach(OtherOperand(graph.nodes[layer.addition()], layer.node().output));
  }
  Graph part = graph;
  part.nodes.resize(size_t{last} + 1);
  part.output = part.nodes.back().output;
  return part;
}

// The views of all images: view 0 of each is the image itself.
class Views {
 public:
  Views(const CalibrationImages& images, uint32_t each, Interpolation interpolation, uint64_t seed)
      : images_(images), each_(each), interpolation_(interpolation), seed_(seed) {}

  uint32_t count() const { return images_.count * each_; }
  uint32_t image(uint32_t view) const { return view / each_; }
  std::vector<uint8_t> Pixels(uint32_t view) const {
    const std::span<const uint8_t> pixels = images_.image(image(view));
    std::vector<uint8_t> result(pixels.begin(), pixels.end());
    if (view % each_ != 0) {
      RandomView(images_, image(view), interpolation_, MixSeed(seed_, image(view), view % each_),
                 result);
    }
    return result;
  }

 private:
  const CalibrationImages& images_;
  const uint32_t each_;
  const Interpolation interpolation_;
  const uint64_t seed_;
};

Status RoundNext(const ModelData& float_model, const Views& views, uint32_t node, uint64_t seed,
                 uint32_t threads, Decisions& decisions) {
  const Graph& graph = float_model.graph;
  MPQ_ASSIGN_OR_RETURN(LoweredModel lowered, LowerModel(float_model, decisions));
  MPQ_ASSIGN_OR_RETURN(const Model model, Model::FromData(std::move(lowered.data)));
  LayerRegression layer(graph, node, views.count(), decisions,
                        ChooseResiduals(graph, decisions)[node]);
  const Graph part = GraphUpTo(graph, layer);
  std::vector<NetworkPair> pairs;
  for (uint32_t t = 0; t < std::max(threads, 1u); ++t) {
    pairs.emplace_back(part, float_model.preprocessing, decisions, lowered.tensors);
  }
  std::vector<LayerSamples> samples(kViewsAtOnce);
  for (uint32_t first = 0; first < views.count(); first += kViewsAtOnce) {
    const uint32_t count = std::min(kViewsAtOnce, views.count() - first);
    MPQ_RETURN_IF_ERROR(ParallelFor(threads, count, [&](uint32_t slot, uint32_t thread) -> Status {
      MPQ_RETURN_IF_ERROR(pairs[thread].Run(model, views.Pixels(first + slot)));
      return SampleLayer(pairs[thread], layer, graph, SampleOffset(seed, first + slot, node),
                         samples[slot]);
    }));
    MPQ_RETURN_IF_ERROR(
        ParallelFor(threads, LayerRegression::kHalves, [&](uint32_t half, uint32_t) {
          for (uint32_t slot = 0; slot < count; ++slot) {
            if (views.image(first + slot) % LayerRegression::kHalves == half) {
              layer.Add(half, samples[slot]);
            }
          }
          return Status();
        }));
  }
  return layer.Round(threads, decisions.layers[node]);
}

// The cache's part of this: how many layers are done, and all layers.
class SavedRounding {
 public:
  static Result<SavedRounding> Create(const ModelData& float_model, const CalibrationImages& images,
                                      uint32_t num_views, uint64_t seed, const StageCache& cache,
                                      const Decisions& decisions) {
    SavedRounding saved(cache);
    if (!cache.enabled()) return saved;
    MPQ_ASSIGN_OR_RETURN(Fingerprint fingerprint,
                         Fingerprint::Create(float_model, images, seed, decisions));
    saved.fingerprint_ = fingerprint.Add(uint64_t{num_views}).value();
    return saved;
  }

  // How many layers are done; replaces them.
  Result<size_t> Restore(Decisions& decisions) const {
    MPQ_ASSIGN_OR_RETURN(const std::optional<std::vector<uint8_t>> found,
                         cache_->Load(kStage, fingerprint_));
    if (!found.has_value()) return 0;
    ByteReader reader(*found, "saved rounding", 0);
    const size_t done = reader.U32("layers");
    for (LayerDecision& layer : decisions.layers) layer = ReadLayer(reader);
    reader.End();
    MPQ_RETURN_IF_ERROR(reader.status());
    return done;
  }

  Status Save(size_t done, const Decisions& decisions) const {
    if (!cache_->enabled()) return Status();
    ByteWriter writer;
    writer.U32(static_cast<uint32_t>(done));
    for (const LayerDecision& layer : decisions.layers) WriteLayer(layer, writer);
    return cache_->Save(kStage, fingerprint_, writer.span());
  }

 private:
  static constexpr const char* kStage = "sequential";

  explicit SavedRounding(const StageCache& cache) : cache_(&cache) {}

  const StageCache* cache_;
  uint64_t fingerprint_ = 0;
};

}  // namespace

Status RoundSequentially(const ModelData& float_model, const CalibrationImages& images,
                         uint32_t num_views, uint64_t seed, uint32_t threads,
                         const StageCache& cache, const Progress& progress, Decisions& decisions) {
  std::vector<uint32_t> nodes;
  for (uint32_t n = 0; n < float_model.graph.nodes.size(); ++n) {
    if (IsConvolution(float_model.graph.nodes[n]) && !decisions.layers[n].shifted) {
      nodes.push_back(n);
    }
  }
  MPQ_ASSIGN_OR_RETURN(
      const SavedRounding saved,
      SavedRounding::Create(float_model, images, num_views, seed, cache, decisions));
  MPQ_ASSIGN_OR_RETURN(size_t done, saved.Restore(decisions));
  const Views views(images, num_views, float_model.preprocessing.interpolation, seed);
  ProgressStage stage(progress, "round in sequence", nodes.size() - done);
  while (done < nodes.size()) {
    MPQ_RETURN_IF_ERROR(RoundNext(float_model, views, nodes[done], seed, threads, decisions));
    ++done;
    stage.Step();
    MPQ_RETURN_IF_ERROR(saved.Save(done, decisions));
  }
  return Status();
}

uint64_t EstimateSequentialBytes(const Graph& graph, uint32_t num_views) {
  uint64_t most = 0;
  for (const Node& node : graph.nodes) {
    if (!IsConvolution(node)) continue;
    const PatchSampler sampler(graph, node, std::max(num_views, 1u));
    const uint64_t covariance = uint64_t{sampler.groups()} * sampler.size() * sampler.size();
    const uint64_t weights = graph.weights[node.weights].values.size();
    // Two halves and their sum, and the system that is solved; both kinds of inputs.
    const uint64_t values = 3 * (covariance + weights) +
                            2 * uint64_t{sampler.size()} * sampler.size() + 3 * weights +
                            uint64_t{2} * kViewsAtOnce * sampler.values();
    most = std::max(most, sizeof(float) * values);
  }
  return most;
}

}  // namespace mpq
