#include "quantize/rounding/layer_regression.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>

#include "quantize/parallel.h"
#include "quantize/passes/graph_view.h"
#include "quantize/residuals.h"
#include "quantize/rounding/layers.h"

namespace mpq {

namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixView = Eigen::Map<Matrix>;
using ConstMatrixView = Eigen::Map<const Matrix>;
using Index = Eigen::Index;

// Ridges to choose from, relative to the mean variance of the inputs; 0: no regression.
constexpr float kRidges[] = {0, 0.03f, 0.3f, 3, 30};

ConstMatrixView Covariance(const RegressionMoments& moments, uint32_t group) {
  const Index size = moments.inputs.size;
  return {moments.inputs.group(group).data(), size, size};
}
MatrixView Covariance(RegressionMoments& moments, uint32_t group) {
  const Index size = moments.inputs.size;
  return {moments.inputs.group(group).data(), size, size};
}

ConstMatrixView CrossCovariance(const RegressionMoments& moments, uint32_t group) {
  const Index size = moments.inputs.size;
  return {moments.cross.data() + size_t{group} * moments.rows * moments.inputs.size,
          Index{moments.rows}, size};
}

void AddMeans(const Matrix& values, std::span<double> sums) {
  for (Index s = 0; s < values.rows(); ++s) {
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += values(s, static_cast<Index>(i));
  }
}

// x', and w x + r - r', of one group.
void AddSamples(uint32_t group, const Matrix& quantized, const Matrix& outputs,
                RegressionMoments& moments) {
  const uint32_t size = moments.inputs.size;
  const uint32_t rows = moments.rows;
  Covariance(moments, group).selfadjointView<Eigen::Lower>().rankUpdate(quantized.transpose());
  MatrixView(moments.cross.data() + size_t{group} * rows * size, Index{rows}, Index{size})
      .noalias() += outputs.transpose() * quantized;
  AddMeans(quantized, std::span(moments.input_means).subspan(size_t{group} * size, size));
  AddMeans(outputs, std::span(moments.output_means).subspan(size_t{group} * rows, rows));
}

template <typename T>
void AddTo(const std::vector<T>& src, std::vector<T>& dst) {
  for (size_t i = 0; i < src.size(); ++i) dst[i] += src[i];
}

// (cross + ridge * w) (covariance + ridge)^-1 with a ridge relative to the mean variance: w itself
// where the inputs say nothing.
std::vector<float> Regress(const RegressionMoments& moments, std::span<const float> weights,
                           float relative_ridge) {
  std::vector<float> targets(weights.size());
  for (uint32_t g = 0; g < moments.inputs.groups; ++g) {
    const size_t first = size_t{g} * moments.rows * moments.inputs.size;
    const ConstMatrixView w(weights.data() + first, moments.rows, moments.inputs.size);
    MatrixView target(targets.data() + first, moments.rows, moments.inputs.size);
    Eigen::MatrixXf h = Covariance(moments, g);
    const float ridge = relative_ridge * h.trace() / static_cast<float>(h.rows());
    if (!(ridge > 0)) {
      target = w;
      continue;
    }
    h.diagonal().array() += ridge;
    const Eigen::MatrixXf right = (CrossCovariance(moments, g) + ridge * w).transpose();
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
    const Matrix residual = w * Covariance(moments, g) - 2 * CrossCovariance(moments, g);
    error += residual.cast<double>().cwiseProduct(w.cast<double>()).sum();
  }
  return error;
}

// One below the other: the rows of group g of all views.
Matrix Stacked(std::span<const LayerSamples* const> views, std::vector<float> LayerSamples::*member,
               uint32_t group, Index samples, Index size) {
  Matrix stacked(static_cast<Index>(views.size()) * samples, size);
  for (size_t v = 0; v < views.size(); ++v) {
    const float* values = (views[v]->*member).data() + static_cast<Index>(group) * samples * size;
    stacked.middleRows(static_cast<Index>(v) * samples, samples) =
        ConstMatrixView(values, samples, size);
  }
  return stacked;
}

}  // namespace

RegressionMoments::RegressionMoments(uint32_t groups, uint32_t size, uint32_t group_rows)
    : cross(size_t{groups} * group_rows * size),
      input_means(size_t{groups} * size),
      output_means(size_t{groups} * group_rows),
      rows(group_rows) {
  inputs.groups = groups;
  inputs.size = size;
  inputs.covariance.resize(size_t{groups} * size * size);
}

void RegressionMoments::Add(const RegressionMoments& other) {
  AddTo(other.inputs.covariance, inputs.covariance);
  AddTo(other.cross, cross);
  AddTo(other.input_means, input_means);
  AddTo(other.output_means, output_means);
  count += other.count;
}

void RegressionMoments::Finish() {
  for (double& mean : input_means) mean /= count;
  for (double& mean : output_means) mean /= count;
  for (uint32_t g = 0; g < inputs.groups; ++g) {
    MatrixView sum = Covariance(*this, g);
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

LayerRegression::LayerRegression(const Graph& graph, uint32_t node, uint32_t num_images,
                                 const Decisions& decisions, uint32_t addition)
    : graph_(graph),
      node_(graph.nodes[node]),
      sampler_(graph, node_, num_images),
      addition_(addition),
      weights_(EffectiveWeights(graph, node_, decisions.equalization)),
      bias_(EffectiveBias(graph, node_, decisions.equalization)),
      rows_(static_cast<uint32_t>(bias_.size()) / sampler_.groups()),
      halves_(kHalves, RegressionMoments(sampler_.groups(), sampler_.size(), rows_)) {}

uint32_t LayerRegression::residual() const {
  return addition_ == kNone ? kNone : OtherOperand(graph_.nodes[addition_], node_.output);
}

std::vector<uint32_t> LayerRegression::tensors() const {
  if (addition_ == kNone) return {input()};
  return {input(), residual()};
}

void LayerRegression::Sample(std::span<const float> float_src, std::span<const float> quantized_src,
                             double offset, LayerSamples& samples) const {
  samples.inputs.resize(sampler_.values());
  samples.quantized.resize(sampler_.values());
  sampler_.Sample(float_src, offset, samples.inputs);
  sampler_.Sample(quantized_src, offset, samples.quantized);
}

void LayerRegression::SampleResidual(std::span<const float> difference, double offset,
                                     LayerSamples& samples) const {
  samples.residuals.resize(sampler_.samples() * bias_.size());
  for (uint32_t s = 0; s < sampler_.samples(); ++s) {
    const float* src = difference.data() + sampler_.Position(s, offset) * bias_.size();
    std::copy_n(src, bias_.size(), samples.residuals.data() + s * bias_.size());
  }
}

void LayerRegression::Add(uint32_t half, std::span<const LayerSamples* const> views) {
  if (views.empty()) return;
  const Index samples = sampler_.samples();
  const Index size = sampler_.size();
  const auto channels = static_cast<Index>(bias_.size());
  for (uint32_t g = 0; g < sampler_.groups(); ++g) {
    const Matrix x = Stacked(views, &LayerSamples::inputs, g, samples, size);
    const Matrix quantized = Stacked(views, &LayerSamples::quantized, g, samples, size);
    const ConstMatrixView w(weights_.data() + size_t{g} * rows_ * sampler_.size(), rows_, size);
    Matrix outputs = x * w.transpose();
    if (addition_ != kNone) {
      outputs += Stacked(views, &LayerSamples::residuals, 0, samples, channels)
                     .middleCols(Index{g} * rows_, rows_);
    }
    AddSamples(g, quantized, outputs, halves_[half]);
  }
  halves_[half].count += static_cast<double>(views.size()) * sampler_.samples();
}

Status LayerRegression::Round(uint32_t threads, LayerDecision& layer) {
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

std::vector<float> LayerRegression::Targets(const RegressionMoments& moments, float ridge) const {
  return ridge > 0 ? Regress(moments, weights_, ridge) : weights_;
}

Result<float> LayerRegression::ChooseRidge(uint32_t threads) {
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

}  // namespace mpq
