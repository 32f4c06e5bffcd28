// The bytes of version 0, pinned. MPQ_UPDATE_GOLDEN=1 writes the files anew, see golden/README.md.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "format/reader.h"
#include "format/writer.h"
#include "tests/format/sample_models.h"

namespace mpq {
namespace {

std::vector<uint8_t> ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::vector<uint8_t>(std::istreambuf_iterator<char>(in), {});
}

TEST_CASE("golden files") {
  const bool update = std::getenv("MPQ_UPDATE_GOLDEN") != nullptr;
  for (const NamedModel& sample : GoldenModels()) {
    CAPTURE(sample.name);
    const std::string path =
        std::string(MPQ_SOURCE_ROOT "/tests/format/golden/") + sample.name + ".mpq";
    if (update) REQUIRE(WriteModel(sample.model, path).ok());
    const std::vector<uint8_t> golden = ReadAll(path);
    REQUIRE(!golden.empty());
    CHECK(SerializeModel(sample.model).value() == golden);
    const AlignedBytes file(golden);
    const Result<ModelData> model = ReadModel(file.span());
    REQUIRE_MESSAGE(model.ok(), model.status().message());
    CHECK(SerializeModel(*model).value() == golden);
  }
}

}  // namespace
}  // namespace mpq
