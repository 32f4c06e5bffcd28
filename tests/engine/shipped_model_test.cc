// The shipped model gives the recorded logits, bit for bit: on every instruction set this machine
// has, for 1 and 2 threads, batch 1 and 8. The same test runs for Arm.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "engine/core/isa.h"
#include "format/checksum.h"
#include "mpq/model.h"
#include "mpq/session.h"

namespace mpq {
namespace {

constexpr uint32_t kImages = 8;
// XXH3-64 of the 8 images' logits as little-endian int16. To be recorded anew with the model only
// (models/make_efficientnet_lite0.sh): the test prints what it got.
constexpr uint64_t kExpectedLogits = 15544540431250934506u;

// Gradients and blocks; no photograph, so that nothing is decoded or resized here.
std::vector<uint8_t> Pattern(uint32_t height, uint32_t width) {
  std::vector<uint8_t> pixels;
  for (uint32_t image = 0; image < kImages; ++image) {
    for (uint32_t y = 0; y < height; ++y) {
      for (uint32_t x = 0; x < width; ++x) {
        pixels.push_back(static_cast<uint8_t>(x + 31 * image));
        pixels.push_back(static_cast<uint8_t>(y * (image + 1)));
        pixels.push_back(static_cast<uint8_t>((x / 16 ^ y / 16) * 40));
      }
    }
  }
  return pixels;
}

uint64_t LogitsChecksum(const Model& model, std::span<const uint8_t> pixels, Isa isa,
                        uint32_t threads, uint32_t batch) {
  SessionOptions options;
  options.isa = std::string(IsaName(isa));
  options.threads = threads;
  options.batch = batch;
  Result<Session> session = Session::Create(model, options);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  const size_t image_bytes = pixels.size() / kImages;
  std::vector<uint8_t> bytes;
  for (uint32_t done = 0; done < kImages; done += batch) {
    REQUIRE(session->Run(pixels.subspan(done * image_bytes, batch * image_bytes), batch).ok());
    for (const int16_t logit : session->integer_logits()) {
      bytes.push_back(static_cast<uint8_t>(logit & 0xff));
      bytes.push_back(static_cast<uint8_t>(logit >> 8 & 0xff));
    }
  }
  return Checksum(bytes);
}

TEST_CASE("the shipped model's logits are the recorded bits") {
  const Result<Model> model = Model::Load(MPQ_SOURCE_ROOT "/models/efficientnet_lite0.mpq");
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  const std::vector<uint8_t> pixels = Pattern(model->input_height(), model->input_width());
  CHECK(LogitsChecksum(*model, pixels, Isa::kScalar, 2, 1) == kExpectedLogits);
  for (const Isa isa : SupportedIsas()) {
    if (isa == Isa::kScalar) continue;
    CAPTURE(std::string(IsaName(isa)));
    for (const uint32_t threads : {1u, 2u}) {
      for (const uint32_t batch : {1u, kImages}) {
        CAPTURE(threads);
        CAPTURE(batch);
        CHECK(LogitsChecksum(*model, pixels, isa, threads, batch) == kExpectedLogits);
      }
    }
  }
}

}  // namespace
}  // namespace mpq
