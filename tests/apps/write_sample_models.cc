// Writes the models that tools_test.py runs the tools on: write_sample_models FOLDER
#include <cstdio>
#include <string>

#include "format/writer.h"
#include "tests/format/sample_models.h"

namespace mpq {
namespace {

bool Write(const ModelData& model, const std::string& path) {
  const Status status = WriteModel(model, path);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
  return status.ok();
}

// The fields of a network in three layers; `seed` varies the weights.
ModelData SmallClassifier(uint32_t side, uint32_t seed, uint32_t classes) {
  SampleBuilder builder(/*is_float=*/false, side, side, seed);
  uint32_t t = builder.Conv(builder.input(), 16, {.kernel = 3, .stride = 2, .pad = 1});
  t = builder.Conv(t, 32, {.bits = {4, 8}});
  return builder.Finish(builder.Logits(builder.GlobalAvgPool(t), classes));
}

bool WriteAll(const std::string& folder) {
  return Write(SmallClassifier(32, 1, 10), folder + "/small.mpq") &&
         Write(SmallClassifier(32, 2, 10), folder + "/other.mpq") &&
         Write(SmallClassifier(32, 3, 7), folder + "/seven_classes.mpq") &&
         Write(AllOperatorsModel(/*is_float=*/false), folder + "/all.mpq") &&
         Write(AllOperatorsModel(/*is_float=*/true), folder + "/float.mpq");
}

}  // namespace
}  // namespace mpq

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  return mpq::WriteAll(argv[1]) ? 0 : 1;
}
