// The float network in parts.
#include "quantize/rounding/float_checkpoint.h"

#include <doctest/doctest.h>

#include "tests/quantize/graph_builder.h"

namespace mpq {
namespace {

struct Network {
  ModelData model;
  uint32_t stem = 0, inner = 0, sum = 0;

  Network() {
    GraphBuilder b(16, 16, 3, 5);
    stem = b.Relu(b.Conv(b.input(), 8));
    inner = b.Conv(stem, 12);
    sum = b.Add(b.Conv(inner, 8), stem);
    model.graph = b.Finish(b.Dense(b.GlobalAvgPool(sum), 10));
    model.preprocessing.crop_height = model.preprocessing.crop_width = 16;
    model.preprocessing.std = {64, 64, 64};
  }

  std::vector<float> FromImage(uint32_t tensor, std::span<const uint8_t> pixels) const {
    FloatPart part(model.graph, model.preprocessing);
    REQUIRE(part.Run(pixels, {}).ok());
    const auto values = part.Read(tensor);
    REQUIRE(values.ok());
    return {values->begin(), values->end()};
  }
};

TEST_CASE("a part has the nodes between two tensors") {
  const Network n;
  const Graph& graph = n.model.graph;
  const Graph part = GraphBetween(graph, n.stem, {&n.sum, 1});
  CHECK(part.input == n.stem);
  CHECK(part.output == n.sum);
  CHECK(part.nodes.size() == NodesUpTo(graph, n.sum) - NodesUpTo(graph, n.stem));
  CHECK(GraphBetween(graph, n.sum, {&n.sum, 1}).nodes.empty());
}

TEST_CASE("a tensor that a residual passes by is no bottleneck") {
  const Network n;
  const Graph& graph = n.model.graph;
  const std::vector<bool> bottlenecks = Bottlenecks(graph);
  CHECK(bottlenecks[NodesUpTo(graph, n.stem) - 1]);
  CHECK(!bottlenecks[NodesUpTo(graph, n.inner) - 1]);
  CHECK(bottlenecks[NodesUpTo(graph, n.sum) - 1]);
}

TEST_CASE("from a checkpoint on, values are those of a run from the image") {
  const Network n;
  const CalibrationImages images = RandomImages(5, 16, 16, 3);
  const Views views(images, 2, n.model.preprocessing.interpolation, 1);
  FloatCheckpoint checkpoint(n.model, views);
  CHECK(checkpoint.tensor() == n.model.graph.input);
  CHECK(checkpoint.values(0).empty());
  const uint32_t output = n.model.graph.output;
  for (const uint32_t wanted : {n.inner, n.sum, n.sum}) {
    REQUIRE(checkpoint.MoveFor({&wanted, 1}, 3).ok());
    CHECK(checkpoint.tensor() == (wanted == n.inner ? n.stem : n.sum));
    const Graph part = GraphBetween(n.model.graph, checkpoint.tensor(), {&output, 1});
    FloatPart rest(part, n.model.preprocessing);
    for (uint32_t view = 0; view < views.count(); ++view) {
      const std::vector<uint8_t> pixels = views.Pixels(view);
      REQUIRE(rest.Run(pixels, checkpoint.values(view)).ok());
      const auto values = rest.Read(output);
      REQUIRE(values.ok());
      CHECK(std::vector<float>(values->begin(), values->end()) == n.FromImage(output, pixels));
    }
  }
}

TEST_CASE("the first view of an image is the image, and views keep their order") {
  const CalibrationImages images = RandomImages(3, 16, 16, 3);
  const Views views(images, 4, Interpolation::kBilinear, 1);
  CHECK(views.count() == 12);
  for (uint32_t image = 0; image < 3; ++image) {
    const std::vector<uint8_t> pixels(images.image(image).begin(), images.image(image).end());
    CHECK(views.image(4 * image + 3) == image);
    CHECK(views.Pixels(4 * image) == pixels);
    CHECK(views.Pixels(4 * image + 1) != pixels);
    CHECK(views.Pixels(4 * image + 1) != views.Pixels(4 * image + 2));
  }
}

}  // namespace
}  // namespace mpq
