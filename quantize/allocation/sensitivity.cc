#include "quantize/allocation/sensitivity.h"

#include <Eigen/Core>
#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "quantize/allocation/probe.h"
#include "quantize/bias_correction.h"
#include "quantize/cache/fingerprint.h"
#include "quantize/cache/layer_bytes.h"
#include "quantize/parallel.h"
#include "quantize/passes/graph_view.h"
#include "quantize/rounding/layers.h"

namespace mpq {

namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Index = Eigen::Index;

// E (dw x)^2 per output channel, x less its mean.
std::vector<double> OutputErrors(const Graph& graph, const Node& node,
                                 const Equalization& equalization, const InputMoments& moments,
                                 const LayerDecision& layer, std::span<const int8_t> levels) {
  const std::vector<float> weights = EffectiveWeights(graph, node, equalization);
  const size_t channels = layer.scales.size();
  const size_t rows = channels / moments.groups;
  const Index size = moments.size;
  std::vector<double> errors(channels);
  for (uint32_t g = 0; g < moments.groups; ++g) {
    Matrix difference(static_cast<Index>(rows), size);
    for (size_t r = 0; r < rows; ++r) {
      const size_t c = g * rows + r;
      for (Index i = 0; i < size; ++i) {
        const size_t w = c * moments.size + static_cast<size_t>(i);
        difference(static_cast<Index>(r), i) =
            static_cast<float>(weights[w] - layer.scales[c] * levels[w]);
      }
    }
    const Matrix product =
        difference * Eigen::Map<const Matrix>(moments.group(g).data(), size, size);
    for (size_t r = 0; r < rows; ++r) {
      const auto row = static_cast<Index>(r);
      errors[g * rows + r] =
          product.row(row).cast<double>().dot(difference.row(row).cast<double>());
    }
  }
  return errors;
}

// All layers at one width: rounded, and with biases that make up for the mean error, which would
// else be most of what a probe measures.
Result<std::vector<LayerDecision>> LayersAt(const Method& method, const MethodInput& input,
                                            const BitWidths& widths, Decisions decisions) {
  MPQ_ASSIGN_OR_RETURN(
      decisions.layers,
      method.Decide({input.graph, input.equalization, input.calibration, input.moments, widths,
                     input.seed, input.threads, input.progress}));
  MPQ_RETURN_IF_ERROR(RoundLayers(input.graph, input.equalization, input.moments, input.threads,
                                  input.progress, decisions.layers));
  MPQ_RETURN_IF_ERROR(CorrectBiasForWeights(input.graph, *input.calibration, decisions));
  return std::move(decisions.layers);
}

Status AddOptions(const MethodInput& input, int bits, std::span<const uint8_t> node_bits,
                  std::vector<LayerDecision> layers, std::vector<LayerSensitivity>& table) {
  ProgressStage stage(input.progress, "weigh errors", table.size());
  return ParallelFor(
      input.threads, static_cast<uint32_t>(table.size()), [&](uint32_t i, uint32_t) -> Status {
        LayerSensitivity& entry = table[i];
        stage.Step();
        // A layer of fixed width comes out the same each time.
        if (node_bits[entry.node] != bits && !entry.options.empty()) return Status();
        const Node& node = input.graph.nodes[entry.node];
        WidthOption option{node_bits[entry.node], std::move(layers[entry.node]), 0, {}};
        MPQ_ASSIGN_OR_RETURN(const std::vector<int8_t> levels,
                             LayerLevels(input.graph, node, option.layer));
        option.errors = OutputErrors(input.graph, node, input.equalization,
                                     input.moments[entry.node], option.layer, levels);
        option.error = std::accumulate(option.errors.begin(), option.errors.end(), 0.0);
        entry.options.push_back(std::move(option));
        return Status();
      });
}

const WidthOption& Nearest(const LayerSensitivity& entry, int bits) {
  return *std::min_element(entry.options.begin(), entry.options.end(),
                           [&](const WidthOption& a, const WidthOption& b) {
                             return std::abs(a.bits - bits) < std::abs(b.bits - bits);
                           });
}

Result<uint64_t> TableFingerprint(const ModelData& float_model, const CalibrationImages& images,
                                  const Method& method, const MethodInput& input,
                                  const Decisions& decisions, std::span<const int> widths) {
  MPQ_ASSIGN_OR_RETURN(Fingerprint fingerprint,
                       Fingerprint::Create(float_model, images, input.seed, decisions));
  fingerprint.Add(method.name());
  for (const InputMoments& moments : input.moments) fingerprint.Add(BytesOf(moments.covariance));
  for (const int bits : widths) {
    MPQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> node_bits,
                         ResolveBitWidths(input.graph, WithWeights(input.bit_widths, bits)));
    fingerprint.Add(node_bits);
  }
  return fingerprint.value();
}

std::vector<uint8_t> TableBytes(std::span<const LayerSensitivity> table) {
  ByteWriter writer;
  writer.U32(static_cast<uint32_t>(table.size()));
  for (const LayerSensitivity& entry : table) {
    writer.U32(entry.node);
    WriteDoubles({&entry.importance, 1}, writer);
    writer.U32(static_cast<uint32_t>(entry.options.size()));
    for (const WidthOption& option : entry.options) {
      writer.S32(option.bits);
      WriteLayer(option.layer, writer);
      WriteDoubles(option.errors, writer);
    }
  }
  return writer.Take();
}

Result<std::vector<LayerSensitivity>> ReadTable(std::span<const uint8_t> bytes) {
  ByteReader reader(bytes, "sensitivity table", 0);
  std::vector<LayerSensitivity> table;
  const uint32_t layers = reader.U32("layers");
  for (uint32_t i = 0; i < layers && reader.ok(); ++i) {
    LayerSensitivity& entry = table.emplace_back();
    entry.node = reader.U32("node");
    const std::vector<double> importance = ReadDoubles(reader);
    if (importance.size() == 1) entry.importance = importance[0];
    const uint32_t options = reader.U32("options");
    for (uint32_t j = 0; j < options && reader.ok(); ++j) {
      WidthOption& option = entry.options.emplace_back();
      option.bits = reader.S32("bits");
      option.layer = ReadLayer(reader);
      option.errors = ReadDoubles(reader);
      option.error = std::accumulate(option.errors.begin(), option.errors.end(), 0.0);
    }
  }
  reader.End();
  MPQ_RETURN_IF_ERROR(reader.status());
  return table;
}

Result<std::vector<LayerSensitivity>> Measure(const ModelData& float_model,
                                              const CalibrationImages& images, const Method& method,
                                              const MethodInput& input, const Decisions& decisions,
                                              std::span<const int> widths) {
  std::vector<LayerSensitivity> table;
  for (uint32_t n = 0; n < input.graph.nodes.size(); ++n) {
    if (IsConvolution(input.graph.nodes[n])) table.push_back({n, 0, {}});
  }
  for (const int bits : widths) {
    const BitWidths all = WithWeights(input.bit_widths, bits);
    MPQ_ASSIGN_OR_RETURN(std::vector<LayerDecision> layers,
                         LayersAt(method, input, all, decisions));
    MPQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> node_bits, ResolveBitWidths(input.graph, all));
    MPQ_RETURN_IF_ERROR(AddOptions(input, bits, node_bits, std::move(layers), table));
  }
  Probe probe(float_model, images, input.threads, WithWideLayers(table, decisions));
  MPQ_RETURN_IF_ERROR(probe.Start());
  ProgressStage stage(input.progress, "probe layers", table.size());
  for (LayerSensitivity& entry : table) {
    const WidthOption& option = Nearest(entry, kProbeBits);
    if (entry.options.size() > 1 && option.error > 0) {
      MPQ_ASSIGN_OR_RETURN(const double divergence, probe.Divergence(entry.node, option.layer));
      entry.importance = divergence / option.error;
    }
    stage.Step();
  }
  return table;
}

}  // namespace

Decisions WithWideLayers(std::span<const LayerSensitivity> table, const Decisions& decisions) {
  Decisions wide = decisions;
  for (const LayerSensitivity& entry : table) {
    if (wide.layers.size() <= entry.node) wide.layers.resize(entry.node + 1);
    wide.layers[entry.node] = Nearest(entry, 8).layer;
  }
  return wide;
}

ImageShares ShareImages(const CalibrationImages& images) {
  constexpr uint32_t kFewImages = 8;
  if (images.count < kFewImages) return {images, images};
  const uint32_t stride = std::max((images.count + kProbeImages - 1) / kProbeImages, 4u);
  ImageShares shares;
  for (CalibrationImages* share : {&shares.rounding, &shares.probes}) {
    share->height = images.height;
    share->width = images.width;
  }
  for (uint32_t i = 0; i < images.count; ++i) {
    CalibrationImages& share = i % stride == 0 ? shares.probes : shares.rounding;
    const std::span<const uint8_t> pixels = images.image(i);
    share.pixels.insert(share.pixels.end(), pixels.begin(), pixels.end());
    ++share.count;
  }
  return shares;
}

Result<std::vector<LayerSensitivity>> MeasureSensitivity(
    const ModelData& float_model, const CalibrationImages& images, const Method& method,
    const MethodInput& input, const Decisions& decisions, std::span<const int> widths) {
  if (input.cache == nullptr || !input.cache->enabled()) {
    return Measure(float_model, images, method, input, decisions, widths);
  }
  constexpr const char* kStage = "sensitivity";
  MPQ_ASSIGN_OR_RETURN(const uint64_t fingerprint,
                       TableFingerprint(float_model, images, method, input, decisions, widths));
  MPQ_ASSIGN_OR_RETURN(const std::optional<std::vector<uint8_t>> found,
                       input.cache->Load(kStage, fingerprint));
  if (found.has_value()) return ReadTable(*found);
  MPQ_ASSIGN_OR_RETURN(std::vector<LayerSensitivity> table,
                       Measure(float_model, images, method, input, decisions, widths));
  MPQ_RETURN_IF_ERROR(input.cache->Save(kStage, fingerprint, TableBytes(table)));
  return table;
}

}  // namespace mpq
