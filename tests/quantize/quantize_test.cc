// The whole pipeline: determinism, sizes, refusals.
#include "quantize/quantize.h"

#include <doctest/doctest.h>

#include <set>

#include "format/writer.h"
#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

ModelData SmallModel() {
  GraphBuilder b(16, 16, 3, 21);
  uint32_t t = b.Clip(b.Depthwise(b.Conv(b.input(), 20, SquareWindow(3, 2, 1))), 0, 6);
  const uint32_t deep = b.Clip(b.Depthwise(b.Depthwise(t, SquareWindow(3, 1, 1))), 0, 6);
  t = b.Add(b.Conv(deep, 18), b.Conv(t, 18));
  t = b.Relu(b.Conv(t, 40));
  ModelData model;
  model.graph = b.Finish(b.Dense(b.GlobalAvgPool(t), 10));
  model.preprocessing.crop_height = model.preprocessing.crop_width = 16;
  model.preprocessing.mean = {127, 127, 127};
  model.preprocessing.std = {64, 64, 64};
  return model;
}

std::vector<uint8_t> FileOf(const ModelData& model) {
  const auto file = SerializeModel(model);
  REQUIRE_MESSAGE(file.ok(), file.status().message());
  return *file;
}

TEST_CASE("the same bytes for any number of threads, and for every run") {
  const CalibrationImages images = RandomImages(19, 16, 16, 5);
  QuantizeOptions options;
  options.bit_widths.weights = 4;
  options.equalize = true;
  std::vector<std::vector<uint8_t>> files;
  for (const uint32_t threads : {1u, 2u, 5u, 1u}) {
    options.threads = threads;
    const auto quantized = Quantize(SmallModel(), images, options, Progress());
    REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
    files.push_back(FileOf(quantized->model));
  }
  for (const auto& file : files) CHECK(file == files[0]);
}

TEST_CASE("8 bits agree with float; progress counts to the end") {
  const CalibrationImages images = RandomImages(40, 16, 16, 6);
  std::set<std::string> finished;
  const Progress progress = [&](const std::string& stage, uint64_t done, uint64_t total) {
    CHECK(done <= total);
    if (done == total) finished.insert(stage);
  };
  QuantizeOptions options;
  options.equalize = true;
  const auto quantized = Quantize(SmallModel(), images, options, progress);
  REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
  CHECK(quantized->agreement.num_images == 40);
  CHECK(quantized->agreement.fraction() >= 0.9);
  CHECK(quantized->agreement.signal_to_noise_db > 25);
  CHECK(quantized->num_equalized > 0);
  CHECK(finished.count("calibrate") == 1);
  CHECK(finished.count("round in sequence") == 1);
}

TEST_CASE("sizes are counted from what is stored, and a dry run predicts them") {
  const CalibrationImages images = RandomImages(8, 16, 16, 7);
  QuantizeOptions options;
  options.bit_widths.weights = 4;
  options.bit_widths.last = 8;
  const auto quantized = Quantize(SmallModel(), images, options, Progress());
  REQUIRE(quantized.ok());
  const SizeReport& size = quantized->size;
  CHECK(size.num_weights == 20 * 27 + 20 * 9 + 18 * 20 * 2 + 40 * 18 + 10 * 40);
  CHECK(size.nominal_bits == 4 * (size.num_weights - 400) + 8 * 400);
  CHECK(size.stream_bytes * 8 >= size.nominal_bits);
  CHECK(size.file_bytes == FileOf(quantized->model).size());
  const auto dry = QuantizeDry(SmallModel(), options);
  REQUIRE_MESSAGE(dry.ok(), dry.status().message());
  CHECK(dry->size.nominal_bits == size.nominal_bits);
  CHECK(dry->size.stream_bytes == size.stream_bytes);
  // Only the provenance differs, which counts images.
  CHECK(std::abs(static_cast<double>(dry->size.file_bytes) -
                 static_cast<double>(size.file_bytes)) <= 64);
}

TEST_CASE("bad options and images are refused before any work") {
  const CalibrationImages images = RandomImages(4, 16, 16, 7);
  const auto message = [&](const QuantizeOptions& options, const CalibrationImages& with) {
    return Quantize(SmallModel(), with, options, Progress()).status().message();
  };
  QuantizeOptions options;
  options.activation_bits = 9;
  CHECK(message(options, images) == "activations: 9 bits, expected 2..8");
  options = {};
  options.bit_widths.weights = 0;
  CHECK(message(options, images) == "weights: 0 bits, expected 1..8");
  options = {};
  options.method = "none";
  CHECK(message(options, images) ==
        "unknown method 'none'; known: uniform, two-region, learned, ptilmpq");
  CHECK(message({}, CalibrationImages()) == "no calibration images");
  CHECK(message({}, RandomImages(2, 8, 16, 1)) ==
        "calibration images of 8x16 pixels, the model's input has 16x16");
  CalibrationImages short_images = images;
  short_images.pixels.pop_back();
  CHECK(message({}, short_images) == "3071 bytes of pixels for 4 calibration images of 768");
}

TEST_CASE("a float model with values that are not finite names the tensor") {
  ModelData model = SmallModel();
  std::vector<float> bias = model.graph.weights.back().bias.ToVector();
  bias[3] = std::numeric_limits<float>::infinity();
  model.graph.weights.back().bias = bias;
  const auto quantized = Quantize(model, RandomImages(4, 16, 16, 7), QuantizeOptions(), Progress());
  CHECK(quantized.status().message() == "tensor 't13': values are not finite");
}

}  // namespace
}  // namespace mpq
