// The whole way from a float model to an integer one:
//   passes -> equalise -> calibrate -> ranges -> weights (a method, rounding) -> biases -> refine
//   blocks -> distil -> lower
#ifndef MPQ_QUANTIZE_QUANTIZE_H_
#define MPQ_QUANTIZE_QUANTIZE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/activation_range.h"
#include "quantize/allocation/allocation.h"
#include "quantize/bit_widths.h"
#include "quantize/distillation/block_refinement.h"
#include "quantize/distillation/distillation.h"
#include "quantize/images.h"
#include "quantize/method.h"
#include "quantize/model_run.h"
#include "quantize/observations.h"
#include "quantize/progress.h"

namespace mpq {

// How weights become levels.
enum class Rounding : uint8_t {
  kNearest,     // each by itself
  kGptq,        // together with what the layer's inputs have in common (rounding/rows.h)
  kSequential,  // then once more, with the inputs that quantised layers give
                // (rounding/sequential.h)
};
const char* RoundingName(Rounding rounding);
Result<Rounding> ParseRounding(std::string_view name);

struct QuantizeOptions {
  std::string method = "uniform";
  MethodOptions method_options;
  BitWidths bit_widths;
  // Of the whole file: chooses the bits of all layers that `bit_widths` does not name, so that it
  // has at most so many bytes (allocation/allocation.h). 0: bits are as `bit_widths` says.
  uint64_t target_bytes = 0;
  // The same for the bit operations of all convolutions (format/bit_operations.h); 0: any.
  double max_bit_operations = 0;
  // Models to measure on the curve of accuracy against size; 0: none (Quantized::curve).
  uint32_t curve_points = 0;
  // Measures the paper's own layout beside ours, for reports of methods that choose bits.
  bool paper_layouts = false;
  int activation_bits = 8;  // 2..8
  // With `max_bit_operations`: activations get from so many bits to `activation_bits`, chosen
  // together with the layers'. 0: all get `activation_bits`.
  int least_activation_bits = 0;
  Rounding rounding = Rounding::kSequential;
  // With gptq: outputs of layers keep their variances (MatchLayerVariances). Sequential rounding
  // makes up for what earlier layers lose anyway.
  bool match_variance = false;
  uint32_t views = 1;  // of every image, >= 1: what sequential rounding and refinement learn from
  RangeMethod range_method = RangeMethod::kSquaredError;
  // Measured on MobileNets and EfficientNet-Lite0: with per-channel weight scales, equalising costs
  // accuracy at 8 and 6 activation bits (scales from channel ranges clip images beyond them) and
  // gains a little KL at 4-bit weights. So it is asked for.
  bool equalize = false;
  RefinementOptions refinement;      // by blocks, from as many views; no epochs: none
  DistillationOptions distillation;  // no epochs: none
  std::string cache;                 // folder of what long stages find (StageCache); empty: none
  uint64_t seed = 1;
  uint32_t threads = 1;

  // Whether the bits of layers that `bit_widths` does not name are chosen.
  bool has_budget() const { return target_bytes > 0 || max_bit_operations > 0; }
};

// What a model's weights take.
struct SizeReport {
  uint64_t num_weights = 0;
  uint64_t num_channels = 0;  // output channels of all convolutions
  uint64_t nominal_bits = 0;  // sum of the weights' code bits
  uint64_t stream_bytes = 0;  // code streams with padding (float models: the values)
  uint64_t file_bytes = 0;    // everything

  double nominal_bits_per_weight() const { return Ratio(static_cast<double>(nominal_bits)); }
  double stored_bits_per_weight() const { return Ratio(8.0 * static_cast<double>(stream_bytes)); }
  double file_bits_per_weight() const { return Ratio(8.0 * static_cast<double>(file_bytes)); }

 private:
  double Ratio(double bits) const {
    return num_weights == 0 ? 0 : bits / static_cast<double>(num_weights);
  }
};
Result<SizeReport> MeasureSize(const ModelData& model);

struct Quantized {
  ModelData model;
  SizeReport size;
  Agreement agreement;         // with the float model, on the calibration images; none in a dry run
  uint32_t num_equalized = 0;  // tensors
  Observations observations;   // none in a dry run
  std::vector<ParetoPoint> curve;
};

// `float_model`: as imported. Deterministic for the same images, options and float backend,
// whatever `threads` is.
Result<Quantized> Quantize(ModelData float_model, const CalibrationImages& images,
                           const QuantizeOptions& options, const Progress& progress);

// The same without images: sizes are those of a model calibrated on `num_images`, values are not
// meant to be run.
Result<Quantized> QuantizeDry(ModelData float_model, const QuantizeOptions& options,
                              uint32_t num_images = 0);

// Batch norms folded and activations fused: the float model as it is stored.
void PrepareFloatModel(ModelData& model);
// The same with the layers that the integer model will have. Quantize does it to models that are
// not prepared.
void PrepareIntegerModel(ModelData& model);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_QUANTIZE_H_
