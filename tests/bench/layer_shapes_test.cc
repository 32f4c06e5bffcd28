// Lists of layer shapes: what they mean, what is wrong with bad ones, and the files that are
// shipped.
#include "bench/layer_shapes.h"

#include <doctest/doctest.h>

#include <string>

namespace mpq {
namespace {

std::string ErrorOf(const std::string& text) {
  const Result<std::vector<LayerShape>> shapes = ParseLayerShapes(text, "net.txt");
  return shapes.ok() ? "no error" : shapes.status().message();
}

uint64_t Macs(const std::vector<LayerShape>& shapes) {
  uint64_t sum = 0;
  for (const LayerShape& s : shapes) {
    const uint64_t out = (s.size + s.stride - 1) / s.stride;
    sum += s.count * out * out * s.out_channels * s.kernel * s.kernel *
           (s.depthwise ? 1 : s.in_channels);
  }
  return sum;
}

TEST_CASE("a line is a shape, the rest is comment") {
  const Result<std::vector<LayerShape>> read = ParseLayerShapes(
      "# a comment\n\n  3 conv 56 64 256 1 2  # and another\r\n1 depthwise 28 96 96 3 1",
      "net.txt");
  REQUIRE(read.ok());
  const std::vector<LayerShape>& shapes = read.value();
  REQUIRE(shapes.size() == 2);
  CHECK(shapes[0].count == 3);
  CHECK_FALSE(shapes[0].depthwise);
  CHECK(shapes[0].size == 56);
  CHECK(shapes[0].in_channels == 64);
  CHECK(shapes[0].out_channels == 256);
  CHECK(shapes[0].kernel == 1);
  CHECK(shapes[0].stride == 2);
  CHECK(shapes[0].Name() == "56x56x64 -> 256 1x1 /2");
  CHECK(shapes[1].depthwise);
  CHECK(shapes[1].Name() == "28x28x96 depthwise 3x3 /1");
}

TEST_CASE("bad lines are named with their values") {
  CHECK(ErrorOf("\n1 conv 56 64 256 1") ==
        "net.txt:2: 6 fields, expected 7: count operator size in_channels out_channels kernel "
        "stride");
  CHECK(ErrorOf("# a\n1 dense 1 64 256 1 1") ==
        "net.txt:2: operator 'dense', expected conv or depthwise");
  CHECK(ErrorOf("1 conv 56 64 0 1 1") == "net.txt:1: out_channels '0', expected 1 to 16384");
  CHECK(ErrorOf("1 conv 56 64x 8 1 1") == "net.txt:1: in_channels '64x', expected 1 to 16384");
  CHECK(ErrorOf("-1 conv 56 64 8 1 1") == "net.txt:1: count '-1', expected 1 to 1000");
  CHECK(ErrorOf("1 conv 99999999999 64 8 1 1") ==
        "net.txt:1: size '99999999999', expected 1 to 4096");
  CHECK(ErrorOf("1 conv 56 64 8 65 1") == "net.txt:1: kernel '65', expected 1 to 64");
  CHECK(ErrorOf("1 conv 56 64 8 1 1.5") == "net.txt:1: stride '1.5', expected 1 to 64");
  CHECK(ErrorOf("1 depthwise 56 64 96 3 1") ==
        "net.txt:1: depthwise with 64 in_channels and 96 out_channels, expected as many");
  CHECK(ErrorOf("1 conv 4096 16384 8 1 1") ==
        "net.txt:1: 274877906944 values of a tensor or of the weights, expected at most 268435456");
  CHECK(ErrorOf("# nothing\n") == "net.txt: no shapes");
  const Result<std::vector<LayerShape>> missing = ReadLayerShapes("no/such/file.txt");
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.status().message() == "no/such/file.txt: cannot be read");
}

TEST_CASE("the shipped lists have the MACs of their networks") {
  struct Network {
    const char* name;
    uint64_t macs;
  };
  for (const Network& network :
       {Network{"efficientnet_lite0", 385187552}, Network{"mobilenet_v1", 568740352},
        Network{"mobilenet_v2", 300774272}, Network{"resnet18", 1814073344},
        Network{"resnet50", 4089184256}}) {
    CAPTURE(network.name);
    const Result<std::vector<LayerShape>> shapes =
        ReadLayerShapes(std::string(MPQ_SHAPES "/") + network.name + ".txt");
    REQUIRE(shapes.ok());
    CHECK(Macs(shapes.value()) == network.macs);
  }
}

}  // namespace
}  // namespace mpq
