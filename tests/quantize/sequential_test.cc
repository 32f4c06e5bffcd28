// Rounding from the inputs that quantised layers give, and the gain that ends it.
#include "quantize/rounding/sequential.h"

#include <doctest/doctest.h>

#include "format/writer.h"
#include "quantize/logit_gain.h"
#include "quantize/quantize.h"
#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

// Two blocks with a residual each: one addition with an activation behind it, one without.
ModelData ResidualModel() {
  GraphBuilder b(16, 16, 3, 33);
  const uint32_t stem = b.Clip(b.Conv(b.input(), 24, SquareWindow(3, 2, 1)), 0, 6);
  const uint32_t wide = b.Relu(b.Depthwise(b.Relu(b.Conv(stem, 40)), SquareWindow(3, 1, 1)));
  const uint32_t first = b.Add(b.Conv(wide, 24), stem);
  const uint32_t second = b.Relu(b.Add(b.Conv(b.Relu(b.Conv(first, 40)), 24), first));
  ModelData model;
  model.graph = b.Finish(b.Dense(b.GlobalAvgPool(second), 10));
  model.preprocessing.crop_height = model.preprocessing.crop_width = 16;
  model.preprocessing.mean = {127, 127, 127};
  model.preprocessing.std = {64, 64, 64};
  return model;
}

Quantized QuantizedAt(Rounding rounding, int bits, uint32_t threads,
                      const CalibrationImages& images) {
  QuantizeOptions options;
  options.bit_widths.weights = bits;
  options.rounding = rounding;
  options.threads = threads;
  auto quantized = Quantize(ResidualModel(), images, options, Progress());
  REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
  return *std::move(quantized);
}

TEST_CASE("sequential rounding brings the output closer to float, on other images too") {
  const CalibrationImages images = RandomImages(64, 16, 16, 3);
  const CalibrationImages others = RandomImages(64, 16, 16, 4);
  QuantizeOptions float_like;  // 8 bits stand for float
  const auto reference = Quantize(ResidualModel(), images, float_like, Progress());
  REQUIRE(reference.ok());
  const auto logits = [&](const ModelData& data) {
    const Model model = Model::FromData(data).value();
    return ModelLogits(model, others, 1, Progress()).value();
  };
  const std::vector<float> expected = logits(reference->model);
  for (const int bits : {2, 3}) {
    CAPTURE(bits);
    const Quantized before = QuantizedAt(Rounding::kGptq, bits, 1, images);
    const Quantized after = QuantizedAt(Rounding::kSequential, bits, 1, images);
    CHECK(after.size.stream_bytes == before.size.stream_bytes);
    CHECK(after.agreement.mean_kl < before.agreement.mean_kl);
    CHECK(CompareLogits(expected, logits(after.model), others.count).signal_to_noise_db >
          CompareLogits(expected, logits(before.model), others.count).signal_to_noise_db);
  }
}

TEST_CASE("sequential rounding does not depend on the number of threads") {
  const CalibrationImages images = RandomImages(37, 16, 16, 5);
  const auto file = [&](uint32_t threads) {
    return SerializeModel(QuantizedAt(Rounding::kSequential, 3, threads, images).model).value();
  };
  const std::vector<uint8_t> one = file(1);
  for (const uint32_t threads : {2u, 5u}) CHECK(file(threads) == one);
}

TEST_CASE("no views are refused, and how many there are is in the provenance") {
  const CalibrationImages images = RandomImages(40, 16, 16, 3);
  QuantizeOptions options;
  options.views = 0;
  const auto refused = Quantize(ResidualModel(), images, options, Progress());
  REQUIRE(!refused.ok());
  CHECK(refused.status().message().find("views: 0") != std::string::npos);
  options.views = 3;
  const auto quantized = Quantize(ResidualModel(), images, options, Progress());
  REQUIRE(quantized.ok());
  std::string settings;
  for (const auto& [key, value] : quantized->model.provenance) {
    if (key == "settings") settings = value;
  }
  CHECK(settings.find(" views=3") != std::string::npos);
}

TEST_CASE("few images leave rounding as it is") {
  const CalibrationImages images = RandomImages(kMinSequentialImages - 1, 16, 16, 5);
  CHECK(QuantizedAt(Rounding::kSequential, 4, 2, images).agreement.mean_kl ==
        QuantizedAt(Rounding::kGptq, 4, 2, images).agreement.mean_kl);
}

TEST_CASE("the gain undoes a shrinking of the logits") {
  std::vector<float> reference;
  for (int i = 0; i < 60; ++i) reference.push_back(static_cast<float>(3 * std::sin(i * 1.7)));
  std::vector<float> shrunk;
  for (const float logit : reference) shrunk.push_back(logit / 1.3f);
  CHECK(BestLogitGain(reference, shrunk, 6) == doctest::Approx(1.3).epsilon(0.001));
  CHECK(BestLogitGain(reference, reference, 6) == doctest::Approx(1.0).epsilon(0.001));
}

}  // namespace
}  // namespace mpq
