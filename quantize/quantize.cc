#include "quantize/quantize.h"

#include <algorithm>
#include <utility>

#include "engine/core/float_executor.h"
#include "format/message.h"
#include "format/writer.h"
#include "mpq/model.h"
#include "quantize/activations.h"
#include "quantize/allocation/activation_sensitivity.h"
#include "quantize/allocation/allocation.h"
#include "quantize/bias_correction.h"
#include "quantize/blas.h"
#include "quantize/cache/stage_cache.h"
#include "quantize/calibration.h"
#include "quantize/logit_gain.h"
#include "quantize/lower.h"
#include "quantize/method.h"
#include "quantize/passes/end_with_conv.h"
#include "quantize/passes/equalize.h"
#include "quantize/passes/graph_view.h"
#include "quantize/passes/prune.h"
#include "quantize/passes/simplify.h"
#include "quantize/passes/split_concat.h"
#include "quantize/rounding/layers.h"
#include "quantize/rounding/sequential.h"

namespace mpq {

namespace {

// Channel magnitudes need few images.
constexpr uint32_t kEqualizationImages = 64;

Status CheckOptions(const QuantizeOptions& options) {
  if (options.activation_bits < 2 || options.activation_bits > 8) {
    return Error(ErrorCode::kInvalidArgument, "activations: ", options.activation_bits,
                 " bits, expected 2..8");
  }
  const int least = options.least_activation_bits;
  if (least != 0 && (least < 2 || least > options.activation_bits)) {
    return Error(ErrorCode::kInvalidArgument, "activations: at least ", least,
                 " bits, expected 2..", options.activation_bits);
  }
  if (least != 0 && options.max_bit_operations == 0) {
    return Error(ErrorCode::kInvalidArgument,
                 "activations of different bits need a limit on bit operations");
  }
  if (options.views == 0) {
    return Error(ErrorCode::kInvalidArgument, "views: 0, expected 1 or more");
  }
  MPQ_RETURN_IF_ERROR(CheckPtilmpqOptions(options.method_options.ptilmpq));
  if ((options.has_budget() || options.curve_points > 0) &&
      options.rounding == Rounding::kNearest) {
    return Error(ErrorCode::kInvalidArgument,
                 "a target size, a limit on bit operations or a curve needs rounding gptq or "
                 "sequential: nearest measures no inputs");
  }
  return Status();
}

// The first images of a set, without copying more than those.
CalibrationImages FirstImages(const CalibrationImages& images, uint32_t count) {
  CalibrationImages first{std::min(count, images.count), images.height, images.width, {}};
  const auto end =
      images.pixels.begin() + static_cast<ptrdiff_t>(first.count * first.image_bytes());
  first.pixels.assign(images.pixels.begin(), end);
  return first;
}

Result<Equalization> DecideEqualization(const ModelData& model, const CalibrationImages& images,
                                        const QuantizeOptions& options, const Progress& progress) {
  if (!options.equalize || EqualizableTensors(model.graph).empty()) return Equalization();
  MPQ_ASSIGN_OR_RETURN(
      const Calibration calibration,
      Calibrate(model.graph, model.preprocessing, FirstImages(images, kEqualizationImages),
                Equalization(), options.threads, progress));
  return Equalize(model.graph, calibration.channel_magnitudes);
}

void AddProvenance(const QuantizeOptions& options, uint32_t num_images, Provenance& provenance) {
  const BitWidths& bits = options.bit_widths;
  std::string settings = Message("weight-bits=", bits.weights);
  if (bits.first != 0) settings += Message(" first-bits=", bits.first);
  if (bits.last != 0) settings += Message(" last-bits=", bits.last);
  if (options.target_bytes > 0) settings += Message(" target-size=", options.target_bytes);
  if (options.max_bit_operations > 0) {
    settings += Message(" max-bops=", options.max_bit_operations);
  }
  for (const LayerBits& layer : bits.layers) {
    settings += Message(" layer='", layer.pattern, "'=", layer.bits);
  }
  if (options.least_activation_bits > 0) {
    settings += Message(" least-activation-bits=", options.least_activation_bits);
  }
  settings += Message(" activation-bits=", options.activation_bits,
                      " rounding=", RoundingName(options.rounding),
                      " activation-range=", RangeMethodName(options.range_method),
                      " equalize=", static_cast<int>(options.equalize), " seed=", options.seed);
  if (options.rounding == Rounding::kSequential) settings += Message(" views=", options.views);
  if (options.match_variance) settings += " match-variance=1";
  if (options.refinement.epochs > 0) {
    settings += Message(" refine-epochs=", options.refinement.epochs);
  }
  if (options.distillation.epochs > 0) {
    settings += Message(" distill-epochs=", options.distillation.epochs);
  }
  if (options.method == "ptilmpq") {
    const PtilmpqOptions& ptilmpq = options.method_options.ptilmpq;
    settings += Message(" alpha=", ptilmpq.alpha, " alpha-mode=", AlphaModeName(ptilmpq.mode),
                        " low-bits=", ptilmpq.low_bits, " high-bits=", ptilmpq.high_bits,
                        " data-free=", static_cast<int>(ptilmpq.data_free));
  }
  provenance.emplace_back("method", options.method);
  provenance.emplace_back("settings", settings);
  provenance.emplace_back("calibration", Message(num_images, " images"));
  // Without the reason why there is no oneDNN: it may name this machine's folders.
  const std::string backend = FloatBackendDescription();
  provenance.emplace_back("float backend", backend.starts_with("ref") ? "ref" : backend);
}

// What allocating bits has measured on the way; empty where it was not asked for.
struct AllocationFindings {
  std::vector<SensitivityObservation> sensitivity;
  std::vector<ParetoPoint> curve;
};

// Empty where activations all get the same bits.
Result<std::vector<ActivationSensitivity>> WeighActivations(
    const ModelData& model, const CalibrationImages& probes, const Calibration& calibration,
    std::span<const LayerSensitivity> table, const QuantizeOptions& options,
    const Progress& progress, const Decisions& decisions) {
  if (options.least_activation_bits == 0) return std::vector<ActivationSensitivity>();
  const auto decide = [&](int bits) {
    return DecideActivations(model.graph, model.preprocessing, calibration, bits,
                             options.range_method);
  };
  return MeasureActivationSensitivity(model, probes, table, decide, options.least_activation_bits,
                                      options.threads, progress, decisions);
}

// Bits, level sets, scales and rounding, all but what depends on other layers' rounding.
Result<AllocationFindings> DecideWeights(const ModelData& model, const CalibrationImages& images,
                                         const CalibrationImages& probes,
                                         const Calibration& calibration,
                                         std::span<const InputMoments> moments,
                                         const Method& method, const QuantizeOptions& options,
                                         const StageCache& cache, const Progress& progress,
                                         Decisions& decisions) {
  AllocationFindings findings;
  const MethodInput input{
      model.graph,  decisions.equalization, &calibration, moments, options.bit_widths,
      options.seed, options.threads,        progress,     &model,  &probes,
      &decisions,   options.target_bytes,   &cache};
  const bool allocates = options.has_budget() && !method.chooses_bits();
  if (options.curve_points > 0 || allocates) {
    MPQ_ASSIGN_OR_RETURN(
        const std::vector<LayerSensitivity> table,
        MeasureSensitivity(model, probes, method, input, decisions, kAllocatedWidths));
    findings.sensitivity = Observe(model.graph, table);
    MPQ_ASSIGN_OR_RETURN(
        const std::vector<ActivationSensitivity> activations,
        WeighActivations(model, probes, calibration, table, options, progress, decisions));
    const Allocator allocator(model, table, activations);
    if (options.curve_points > 0) {
      MPQ_ASSIGN_OR_RETURN(findings.curve,
                           allocator.Curve(images, calibration.logits, options.curve_points,
                                           options.threads, progress, decisions));
    }
    if (allocates) {
      MPQ_RETURN_IF_ERROR(
          allocator.Fit({options.target_bytes, options.max_bit_operations}, decisions));
      return findings;
    }
  }
  MPQ_ASSIGN_OR_RETURN(decisions.layers, method.Decide(input));
  if (options.rounding == Rounding::kNearest) return findings;
  MPQ_RETURN_IF_ERROR(RoundLayers(model.graph, decisions.equalization, moments, options.threads,
                                  progress, decisions.layers));
  return findings;
}

}  // namespace

const char* RoundingName(Rounding rounding) {
  switch (rounding) {
    case Rounding::kNearest:
      return "nearest";
    case Rounding::kGptq:
      return "gptq";
    case Rounding::kSequential:
      break;
  }
  return "sequential";
}

Result<Rounding> ParseRounding(std::string_view name) {
  for (const Rounding rounding : {Rounding::kNearest, Rounding::kGptq, Rounding::kSequential}) {
    if (name == RoundingName(rounding)) return rounding;
  }
  return Error(ErrorCode::kInvalidArgument, "rounding '", name,
               "', expected nearest, gptq or sequential");
}

void PrepareFloatModel(ModelData& model) { Simplify(model.graph); }

void PrepareIntegerModel(ModelData& model) {
  Simplify(model.graph);
  SplitConcat(model.graph);
  EndWithConv(model.graph);
  Prune(model.graph);
}

Result<Quantized> Quantize(ModelData float_model, const CalibrationImages& images,
                           const QuantizeOptions& options, const Progress& progress) {
  MPQ_RETURN_IF_ERROR(CheckOptions(options));
  MPQ_ASSIGN_OR_RETURN(const std::unique_ptr<Method> method,
                       MakeMethod(options.method, options.method_options));
  if (options.max_bit_operations > 0 && method->chooses_bits()) {
    return Error(ErrorCode::kUnsupported, "method '", options.method,
                 "' chooses bits by itself: a limit on bit operations is not for it");
  }
  KeepProductsInCallersThread();
  PrepareIntegerModel(float_model);
  const Graph& graph = float_model.graph;
  MPQ_RETURN_IF_ERROR(CheckImages(images, graph));
  MPQ_RETURN_IF_ERROR(ResolveBitWidths(graph, options.bit_widths).status());

  AddProvenance(options, images.count, float_model.provenance);
  const StageCache cache(options.cache);
  Decisions decisions;
  MPQ_ASSIGN_OR_RETURN(decisions.equalization,
                       DecideEqualization(float_model, images, options, progress));
  MPQ_ASSIGN_OR_RETURN(const Calibration calibration,
                       Calibrate(graph, float_model.preprocessing, images, decisions.equalization,
                                 options.threads, progress));
  decisions.activations = DecideActivations(graph, float_model.preprocessing, calibration,
                                            options.activation_bits, options.range_method);
  decisions.logit_scale = LogitScale(calibration);
  ImageShares shares;
  const bool allocates = options.has_budget() || options.curve_points > 0 || method->chooses_bits();
  if (allocates) shares = ShareImages(images);
  std::vector<InputMoments> moments;
  if (options.rounding != Rounding::kNearest) {
    MPQ_ASSIGN_OR_RETURN(
        moments,
        MeasureInputMoments(graph, float_model.preprocessing, allocates ? shares.rounding : images,
                            decisions.equalization, options.seed, options.threads, progress));
  }
  MPQ_ASSIGN_OR_RETURN(AllocationFindings findings,
                       DecideWeights(float_model, images, shares.probes, calibration, moments,
                                     *method, options, cache, progress, decisions));
  if (options.match_variance && options.rounding == Rounding::kGptq) {
    MPQ_RETURN_IF_ERROR(MatchLayerVariances(graph, decisions.equalization, moments, options.threads,
                                            decisions.layers));
  }
  moments = {};
  MPQ_RETURN_IF_ERROR(CorrectBiasForWeights(graph, calibration, decisions));
  if (options.rounding == Rounding::kSequential && images.count >= kMinSequentialImages) {
    MPQ_RETURN_IF_ERROR(RoundSequentially(float_model, images, options.views, options.seed,
                                          options.threads, cache, progress, decisions));
    MPQ_RETURN_IF_ERROR(FitLogitGain(float_model, images, calibration.logits, options.threads,
                                     progress, decisions));
  }
  if (options.refinement.epochs > 0) {
    MPQ_RETURN_IF_ERROR(RefineBlocks(float_model, images, options.views, options.refinement,
                                     options.seed, options.threads, cache, progress, decisions));
    MPQ_RETURN_IF_ERROR(FitLogitGain(float_model, images, calibration.logits, options.threads,
                                     progress, decisions));
  }
  if (options.distillation.epochs > 0) {
    MPQ_RETURN_IF_ERROR(Distill(float_model, images, options.distillation, options.seed,
                                options.threads, cache, progress, decisions));
  }

  Quantized result;
  result.num_equalized = decisions.equalization.count();
  MPQ_ASSIGN_OR_RETURN(LoweredModel lowered, LowerModel(float_model, decisions));
  MPQ_ASSIGN_OR_RETURN(result.observations,
                       Observe(graph, calibration, decisions, lowered.tensors));
  result.observations.sensitivity = std::move(findings.sensitivity);
  result.curve = std::move(findings.curve);
  if (options.paper_layouts && method->chooses_bits()) {
    MPQ_ASSIGN_OR_RETURN(
        result.observations.paper_layouts,
        MeasurePaperLayouts(float_model, images, calibration, decisions, options.threads));
  }
  result.model = std::move(lowered.data);
  MPQ_ASSIGN_OR_RETURN(result.size, MeasureSize(result.model));
  MPQ_ASSIGN_OR_RETURN(const Model model, Model::FromData(result.model));
  MPQ_ASSIGN_OR_RETURN(const std::vector<float> logits,
                       ModelLogits(model, images, options.threads, progress));
  result.agreement = CompareLogits(calibration.logits, logits, images.count);
  return result;
}

Result<Quantized> QuantizeDry(ModelData float_model, const QuantizeOptions& options,
                              uint32_t num_images) {
  MPQ_RETURN_IF_ERROR(CheckOptions(options));
  MPQ_ASSIGN_OR_RETURN(const std::unique_ptr<Method> method,
                       MakeMethod(options.method, options.method_options));
  PrepareIntegerModel(float_model);
  const Graph& graph = float_model.graph;
  Decisions decisions;
  decisions.activations.resize(graph.tensors.size());
  MPQ_ASSIGN_OR_RETURN(decisions.layers, method->Decide({graph,
                                                         decisions.equalization,
                                                         /*calibration=*/nullptr,
                                                         {},
                                                         options.bit_widths,
                                                         options.seed,
                                                         options.threads,
                                                         Progress()}));
  Quantized result;
  AddProvenance(options, num_images, float_model.provenance);
  MPQ_ASSIGN_OR_RETURN(LoweredModel lowered, LowerModel(float_model, decisions));
  result.model = std::move(lowered.data);
  MPQ_ASSIGN_OR_RETURN(result.size, MeasureSize(result.model));
  return result;
}

Result<SizeReport> MeasureSize(const ModelData& model) {
  SizeReport report;
  for (const Node& node : model.graph.nodes) {
    if (!IsConvolution(node)) continue;
    const Weights& weights = model.graph.weights[node.weights];
    const uint64_t row = uint64_t{weights.kernel_h} * weights.kernel_w * weights.in_channels;
    report.num_weights += weights.out_channels * row;
    report.num_channels += weights.out_channels;
    if (weights.is_float()) {
      report.nominal_bits += 32 * weights.values.size();
      report.stream_bytes += 4 * weights.values.size();
      continue;
    }
    const CodeLayout layout = MakeCodeLayout(model.graph, node);
    for (uint32_t block = 0; block < layout.blocks(); ++block) {
      report.nominal_bits += row * weights.block_bits[block] * layout.BlockChannels(block);
    }
    report.stream_bytes += weights.codes.size();
  }
  MPQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> file, SerializeModel(model));
  report.file_bytes = file.size();
  return report;
}

}  // namespace mpq
