#include "quantize/rounding/sequential.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "mpq/model.h"
#include "quantize/augmentation.h"
#include "quantize/cache/fingerprint.h"
#include "quantize/cache/saved_layers.h"
#include "quantize/lower.h"
#include "quantize/parallel.h"
#include "quantize/passes/graph_view.h"
#include "quantize/residuals.h"
#include "quantize/rounding/layer_regression.h"
#include "quantize/rounding/network_pair.h"
#include "quantize/rounding/patch_sampler.h"

namespace mpq {

namespace {

// Views whose samples are held at a time: enough of each half for products of many rows.
constexpr uint32_t kViewsAtOnce = 32;

// Both networks on all views, with the float one's checkpoint.
class Sampling {
 public:
  Sampling(const ModelData& float_model, const Views& views, uint64_t seed, uint32_t threads)
      : float_model_(float_model),
        views_(views),
        seed_(seed),
        threads_(std::max(threads, 1u)),
        checkpoint_(float_model, views) {}

  // All that the views say about a layer, whose node is `node`, with the layers decided so far.
  Status Sample(uint32_t node, const Decisions& decisions, LayerRegression& layer) {
    MPQ_RETURN_IF_ERROR(checkpoint_.MoveFor(layer.tensors(), threads_));
    MPQ_ASSIGN_OR_RETURN(LoweredModel lowered, LowerModel(float_model_, decisions));
    MPQ_ASSIGN_OR_RETURN(const Model model, Model::FromData(std::move(lowered.data)));
    const Graph part = GraphBetween(float_model_.graph, checkpoint_.tensor(), layer.tensors());
    std::vector<NetworkPair> pairs;
    for (uint32_t t = 0; t < threads_; ++t) {
      pairs.emplace_back(part, float_model_.preprocessing, decisions, lowered.tensors,
                         layer.tensors());
    }
    std::vector<LayerSamples> samples(kViewsAtOnce);
    for (uint32_t first = 0; first < views_.count(); first += kViewsAtOnce) {
      const uint32_t count = std::min(kViewsAtOnce, views_.count() - first);
      MPQ_RETURN_IF_ERROR(
          ParallelFor(threads_, count, [&](uint32_t slot, uint32_t thread) -> Status {
            const uint32_t view = first + slot;
            const std::vector<uint8_t> pixels = views_.Pixels(view);
            MPQ_RETURN_IF_ERROR(pairs[thread].Run(model, pixels, checkpoint_.values(view)));
            return SampleLayer(pairs[thread], layer, SampleOffset(seed_, view, node),
                               samples[slot]);
          }));
      MPQ_RETURN_IF_ERROR(AddSamples(first, std::span(samples).first(count), layer));
    }
    return Status();
  }

 private:
  static Status SampleLayer(const NetworkPair& networks, const LayerRegression& layer,
                            double offset, LayerSamples& samples) {
    MPQ_ASSIGN_OR_RETURN(const std::vector<float> inputs, networks.Float(layer.input()));
    MPQ_ASSIGN_OR_RETURN(const std::vector<float> quantized, networks.Quantized(layer.input()));
    layer.Sample(inputs, quantized, offset, samples);
    const uint32_t residual = layer.residual();
    if (residual == kNone) return Status();
    MPQ_ASSIGN_OR_RETURN(std::vector<float> difference, networks.Float(residual));
    MPQ_ASSIGN_OR_RETURN(const std::vector<float> stored, networks.Quantized(residual));
    for (size_t i = 0; i < difference.size(); ++i) difference[i] -= stored[i];
    layer.SampleResidual(difference, offset, samples);
    return Status();
  }

  // All views of an image are in the same half.
  Status AddSamples(uint32_t first, std::span<const LayerSamples> samples, LayerRegression& layer) {
    return ParallelFor(threads_, LayerRegression::kHalves, [&](uint32_t half, uint32_t) {
      std::vector<const LayerSamples*> views;
      for (uint32_t i = 0; i < samples.size(); ++i) {
        if (views_.image(first + i) % LayerRegression::kHalves == half) {
          views.push_back(&samples[i]);
        }
      }
      layer.Add(half, views);
      return Status();
    });
  }

  const ModelData& float_model_;
  const Views& views_;
  const uint64_t seed_;
  const uint32_t threads_;
  FloatCheckpoint checkpoint_;
};

Result<uint64_t> RunFingerprint(const ModelData& float_model, const CalibrationImages& images,
                                uint32_t num_views, uint64_t seed, const Decisions& decisions) {
  MPQ_ASSIGN_OR_RETURN(Fingerprint fingerprint,
                       Fingerprint::Create(float_model, images, seed, decisions));
  return fingerprint.Add(uint64_t{num_views}).value();
}

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
  uint64_t fingerprint = 0;
  if (cache.enabled()) {
    MPQ_ASSIGN_OR_RETURN(fingerprint,
                         RunFingerprint(float_model, images, num_views, seed, decisions));
  }
  const SavedLayers saved(cache, "sequential", fingerprint);
  MPQ_ASSIGN_OR_RETURN(size_t done, saved.Restore(decisions));
  const Views views(images, num_views, float_model.preprocessing.interpolation, seed);
  Sampling sampling(float_model, views, seed, threads);
  ProgressStage stage(progress, "round in sequence", nodes.size() - done);
  while (done < nodes.size()) {
    const uint32_t node = nodes[done];
    const Graph& graph = float_model.graph;
    LayerRegression layer(graph, node, images.count, decisions,
                          ChooseResiduals(graph, decisions)[node]);
    MPQ_RETURN_IF_ERROR(sampling.Sample(node, decisions, layer));
    MPQ_RETURN_IF_ERROR(layer.Round(threads, decisions.layers[node]));
    ++done;
    stage.Step();
    MPQ_RETURN_IF_ERROR(saved.Save(done, decisions));
  }
  return Status();
}

uint64_t EstimateSequentialBytes(const Graph& graph, uint32_t num_images, uint32_t num_views) {
  uint64_t most = 0;
  for (const Node& node : graph.nodes) {
    if (!IsConvolution(node)) continue;
    const PatchSampler sampler(graph, node, std::max(num_images, 1u));
    const uint64_t covariance = uint64_t{sampler.groups()} * sampler.size() * sampler.size();
    const uint64_t weights = graph.weights[node.weights].values.size();
    // Two halves and their sum, and the system that is solved; both kinds of inputs, once by view
    // and once as matrices.
    const uint64_t values = 3 * (covariance + weights) +
                            2 * uint64_t{sampler.size()} * sampler.size() + 3 * weights +
                            uint64_t{4} * kViewsAtOnce * sampler.values();
    most = std::max(most, sizeof(float) * values);
  }
  return most + FloatCheckpoint::EstimateBytes(graph, num_images * num_views);
}

}  // namespace mpq
