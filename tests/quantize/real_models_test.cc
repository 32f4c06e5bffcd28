// Integer models of real networks give the same logits on every instruction set, for 1 and 2
// threads, batch 1 and 8. What the weights were calibrated on does not matter here.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "engine/core/isa.h"
#include "mpq/model.h"
#include "mpq/session.h"
#include "quantize/import/onnx_import.h"
#include "quantize/quantize.h"
#include "tests/import/shared_models.h"

namespace mpq {
namespace {

constexpr uint32_t kImages = 8;

std::vector<uint8_t> SmoothNoise(uint32_t images, uint32_t height, uint32_t width) {
  std::mt19937 random(5);
  std::vector<uint8_t> pixels(size_t{images} * height * width * 3);
  int value = 128;
  for (uint8_t& pixel : pixels) {
    value += static_cast<int>(random() % 41) - 20;
    value = value < 0 ? -value : value > 255 ? 510 - value : value;
    pixel = static_cast<uint8_t>(value);
  }
  return pixels;
}

Model QuantizedModel(const std::string& path, int weight_bits) {
  Result<ImportedModel> imported = ImportOnnx(path);
  REQUIRE_MESSAGE(imported.ok(), imported.status().message());
  ModelData data;
  data.graph = std::move(imported->graph);
  const Tensor& input = data.graph.tensors[data.graph.input];
  data.preprocessing.crop_height = input.height;
  data.preprocessing.crop_width = input.width;
  data.preprocessing.mean = {127, 127, 127};
  data.preprocessing.std = {64, 64, 64};
  CalibrationImages images{2, input.height, input.width, SmoothNoise(2, input.height, input.width)};
  QuantizeOptions options;
  options.bit_widths.weights = weight_bits;
  options.bit_widths.first = 8;
  options.rounding = Rounding::kNearest;  // what matters here is that the codes are real
  options.threads = 2;
  Result<Quantized> quantized = Quantize(std::move(data), images, options, Progress());
  REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
  Result<Model> model = Model::FromData(std::move(quantized->model));
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  return std::move(model).value();
}

std::vector<int16_t> Logits(const Model& model, std::span<const uint8_t> pixels, uint32_t images,
                            Isa isa, uint32_t threads, uint32_t batch) {
  SessionOptions options;
  options.isa = std::string(IsaName(isa));
  options.threads = threads;
  options.batch = batch;
  Result<Session> session = Session::Create(model, options);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  std::vector<int16_t> logits;
  const size_t image_bytes = pixels.size() / kImages;
  for (uint32_t done = 0; done < images; done += batch) {
    const Status status =
        session->Run(pixels.subspan(done * image_bytes, batch * image_bytes), batch);
    REQUIRE_MESSAGE(status.ok(), status.message());
    const std::span<const int16_t> part = session->integer_logits();
    logits.insert(logits.end(), part.begin(), part.end());
  }
  return logits;
}

void CheckBitIdentity(const Model& model, uint32_t scalar_images) {
  const std::vector<uint8_t> pixels =
      SmoothNoise(kImages, model.input_height(), model.input_width());
  const std::vector<int16_t> scalar = Logits(model, pixels, scalar_images, Isa::kScalar, 2, 1);
  const Isa best = SupportedIsas().back();
  const std::vector<int16_t> all = Logits(model, pixels, kImages, best, 1, 1);
  CHECK(std::equal(scalar.begin(), scalar.end(), all.begin()));
  for (const Isa isa : SupportedIsas()) {
    if (isa == Isa::kScalar) continue;
    CAPTURE(std::string(IsaName(isa)));
    for (const uint32_t threads : {1u, 2u}) {
      CAPTURE(threads);
      const std::vector<int16_t> one = Logits(model, pixels, 2, isa, threads, 1);
      CHECK(std::equal(one.begin(), one.end(), all.begin()));
      CHECK(Logits(model, pixels, kImages, isa, threads, kImages) == all);
    }
  }
}

TEST_CASE("integer logits of real networks are the same bits everywhere") {
  const std::optional<std::string> folder = SharedModelsFolder();
  if (!folder) return;
  struct Case {
    const char* name;
    int weight_bits;
    uint32_t scalar_images;  // the bare loops are slow
  };
  for (const Case& c : {Case{"efficientnet_lite0", 4, 2}, Case{"mobilenet_v1", 8, 2},
                        Case{"mobilenet_v2", 3, 2}, Case{"resnet18", 5, 1}, Case{"resnet50", 4, 1},
                        Case{"resnet20_cifar10", 2, 8}, Case{"resnet8_cifar10", 1, 8}}) {
    CAPTURE(c.name);
    CAPTURE(c.weight_bits);
    CheckBitIdentity(QuantizedModel(*folder + "/" + c.name + ".onnx", c.weight_bits),
                     c.scalar_images);
  }
}

}  // namespace
}  // namespace mpq
