// A small model with everything decided but for training.
#ifndef MPQ_TESTS_DISTILLATION_PREPARED_MODEL_H_
#define MPQ_TESTS_DISTILLATION_PREPARED_MODEL_H_

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "engine/core/float_executor.h"
#include "format/writer.h"
#include "quantize/activations.h"
#include "quantize/bias_correction.h"
#include "quantize/calibration.h"
#include "quantize/lower.h"
#include "quantize/method.h"
#include "quantize/model_run.h"
#include "quantize/quantize.h"
#include "tests/quantize/graph_builder.h"

namespace mpq {

inline bool HasOneDnn() {
  if (FloatBackendDescription().starts_with("onednn")) return true;
  MESSAGE("skipped: ", FloatBackendDescription());
  return false;
}

// A small MobileNet with a residual and grouped convolutions.
inline ModelData SmallModel() {
  GraphBuilder b(16, 16, 3, 21);
  uint32_t t = b.Clip(b.Conv(b.input(), 20, SquareWindow(3, 2, 1)), 0, 6);
  const uint32_t deep = b.Clip(b.Depthwise(t, SquareWindow(3, 1, 1)), 0, 6);
  t = b.Add(b.Conv(deep, 18), b.Conv(t, 18));
  t = b.Relu(b.Conv(t, 40, SquareWindow(1), 2));
  ModelData model;
  model.graph = b.Finish(b.Dense(b.GlobalAvgPool(t), 10));
  model.preprocessing.crop_height = model.preprocessing.crop_width = 16;
  model.preprocessing.mean = {127, 127, 127};
  model.preprocessing.std = {64, 64, 64};
  return model;
}

// A model with everything decided but for training.
struct Prepared {
  ModelData model = SmallModel();
  CalibrationImages images;
  Decisions decisions;

  Prepared(uint32_t num_images, int bits) : images(RandomImages(num_images, 16, 16, 5)) {
    PrepareIntegerModel(model);
    const Graph& graph = model.graph;
    const auto calibration =
        Calibrate(graph, model.preprocessing, images, Equalization(), 2, Progress());
    REQUIRE(calibration.ok());
    decisions.activations =
        DecideActivations(graph, model.preprocessing, *calibration, 8, RangeMethod::kSquaredError);
    decisions.logit_scale = LogitScale(*calibration);
    BitWidths widths;
    widths.weights = bits;
    const auto method = MakeMethod("uniform");
    REQUIRE(method.ok());
    auto layers = (*method)->Decide(
        {graph, decisions.equalization, &*calibration, {}, widths, 1, 2, Progress()});
    REQUIRE(layers.ok());
    decisions.layers = *std::move(layers);
    REQUIRE(CorrectBiasForWeights(graph, *calibration, decisions).ok());
  }

  std::vector<uint8_t> File(const Decisions& trained) const {
    const auto lowered = LowerModel(model, trained);
    REQUIRE_MESSAGE(lowered.ok(), lowered.status().message());
    const auto file = SerializeModel(lowered->data);
    REQUIRE_MESSAGE(file.ok(), file.status().message());
    return *file;
  }
};

// KL divergences from the float model's output: on the images that quantised it, and on others.
struct Divergences {
  double seen = 0, unseen = 0;
};

inline Divergences MeasureDivergences(const QuantizeOptions& options) {
  const ModelData model = SmallModel();
  const CalibrationImages others = RandomImages(64, 16, 16, 9);
  ModelData prepared = model;
  PrepareIntegerModel(prepared);
  const auto expected =
      Calibrate(prepared.graph, prepared.preprocessing, others, Equalization(), 1, Progress());
  REQUIRE(expected.ok());
  const auto quantized = Quantize(model, RandomImages(96, 16, 16, 8), options, Progress());
  REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
  const auto loaded = Model::FromData(quantized->model);
  REQUIRE(loaded.ok());
  const auto logits = ModelLogits(*loaded, others, 1, Progress());
  REQUIRE(logits.ok());
  return {quantized->agreement.mean_kl,
          CompareLogits(expected->logits, *logits, others.count).mean_kl};
}

}  // namespace mpq

#endif  // MPQ_TESTS_DISTILLATION_PREPARED_MODEL_H_
