// What a quantisation keeps, and going on from it.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>

#include "format/writer.h"
#include "quantize/cache/stage_cache.h"
#include "quantize/quantize.h"
#include "tests/quantize/graph_builder.h"
#include "tests/test_folder.h"

namespace mpq {
namespace {

const std::vector<uint8_t> kBytes = {1, 2, 3, 250};

std::string OnlyFile(const std::string& folder) {
  std::string path;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    REQUIRE(path.empty());
    path = entry.path().string();
  }
  return path;
}

TEST_CASE("a cache gives back what was saved under the same fingerprint") {
  const TestFolder folder;
  const StageCache cache(folder.path() + "/made/on/demand");
  REQUIRE(cache.Save("stage", 7, kBytes).ok());
  CHECK(cache.Load("stage", 7).value() == kBytes);
  CHECK(!cache.Load("stage", 8).value().has_value());
  CHECK(!cache.Load("other", 7).value().has_value());
  REQUIRE(cache.Save("stage", 7, std::vector<uint8_t>()).ok());
  CHECK(cache.Load("stage", 7).value()->empty());
}

TEST_CASE("without a folder nothing is kept") {
  const StageCache cache;
  CHECK(!cache.enabled());
  CHECK(cache.Save("stage", 7, kBytes).ok());
  CHECK(!cache.Load("stage", 7).value().has_value());
}

TEST_CASE("damaged files and folders that cannot be made are named") {
  const TestFolder folder;
  const StageCache cache(folder.path());
  REQUIRE(cache.Save("stage", 7, kBytes).ok());
  const std::string path = OnlyFile(folder.path());
  SUBCASE("a byte changed") {
    std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).put('x');
  }
  SUBCASE("cut short") { std::filesystem::resize_file(path, 5); }
  const auto loaded = cache.Load("stage", 7);
  REQUIRE(!loaded.ok());
  CHECK(loaded.status().code() == ErrorCode::kCorrupt);
  CHECK(loaded.status().message().find(path) != std::string::npos);

  const Status blocked = StageCache(path + "/below").Save("stage", 7, kBytes);
  CHECK(blocked.code() == ErrorCode::kIo);
  CHECK(blocked.message().find("below") != std::string::npos);
}

ModelData SmallModel() {
  GraphBuilder b(16, 16, 3, 33);
  uint32_t t = b.Clip(b.Conv(b.input(), 24, SquareWindow(3, 2, 1)), 0, 6);
  t = b.Relu(b.Depthwise(t, SquareWindow(3, 1, 1)));
  t = b.Relu(b.Conv(t, 40));
  t = b.Relu(b.Conv(t, 24));
  ModelData model;
  model.graph = b.Finish(b.Dense(b.GlobalAvgPool(t), 10));
  model.preprocessing.crop_height = model.preprocessing.crop_width = 16;
  model.preprocessing.mean = {127, 127, 127};
  model.preprocessing.std = {64, 64, 64};
  return model;
}

// The largest total that each stage announced.
using Stages = std::map<std::string, uint64_t>;

std::vector<uint8_t> QuantizedFile(const QuantizeOptions& options, Stages& stages) {
  const Progress progress = [&](const std::string& stage, uint64_t, uint64_t total) {
    stages[stage] = std::max(stages[stage], total);
  };
  const auto quantized = Quantize(SmallModel(), RandomImages(64, 16, 16, 3), options, progress);
  REQUIRE_MESSAGE(quantized.ok(), quantized.status().message());
  return SerializeModel(quantized->model).value();
}

TEST_CASE("quantising goes on from the cache with the same bytes") {
  const TestFolder folder;
  QuantizeOptions options;
  options.method = "two-region";
  options.target_bytes = 6200;
  Stages stages;
  const std::vector<uint8_t> whole = QuantizedFile(options, stages);
  options.cache = folder.path();

  SUBCASE("a finished run") {
    CHECK(QuantizedFile(options, stages) == whole);
    Stages again;
    CHECK(QuantizedFile(options, again) == whole);
    CHECK(again.count("round weights") == 0);
    CHECK(again["round in sequence"] == 0);
  }
  SUBCASE("a run stopped between two layers") {
    const Progress stop = [](const std::string& stage, uint64_t done, uint64_t) {
      if (stage == "round in sequence" && done == 3) throw std::runtime_error("stopped");
    };
    CHECK_THROWS(Quantize(SmallModel(), RandomImages(64, 16, 16, 3), options, stop).ok());
    Stages rest;
    CHECK(QuantizedFile(options, rest) == whole);
    CHECK(rest["round in sequence"] == 3);  // of 5, the third was not saved yet
  }
  SUBCASE("another target size shares the sensitivity table") {
    QuantizedFile(options, stages);
    options.target_bytes = 7000;
    Stages other;
    const std::vector<uint8_t> larger = QuantizedFile(options, other);
    CHECK(larger.size() > whole.size());
    CHECK(other.count("probe layers") == 0);
    CHECK(other["round in sequence"] == 5);
  }
}

}  // namespace
}  // namespace mpq
