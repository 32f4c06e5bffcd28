#include "format/shape.h"

#include <doctest/doctest.h>

#include <array>

#include "tests/format/sample_models.h"

namespace mpq {
namespace {

TEST_CASE("window sizes as in ONNX") {
  CHECK(WindowOutput(224, 7, 2, 1, 3, 3, false) == 112);
  CHECK(WindowOutput(5, 3, 1, 1, 0, 0, false) == 3);
  CHECK(WindowOutput(5, 3, 1, 2, 0, 0, false) == 1);
  CHECK(WindowOutput(4, 3, 1, 2, 0, 0, false) == 0);  // does not fit
  CHECK(WindowOutput(1, 1, 1000, 1, 0, 0, false) == 1);
  CHECK(WindowOutput(0, 1, 1, 1, 0, 0, false) == 0);
  CHECK(WindowOutput(5, 0, 1, 1, 0, 0, false) == 0);
  CHECK(WindowOutput(5, 1, 0, 1, 0, 0, false) == 0);
  CHECK(WindowOutput(5, 1, 1, 0, 0, 0, false) == 0);
}

TEST_CASE("ceil_mode drops windows that start in the end padding") {
  CHECK(WindowOutput(112, 3, 2, 1, 0, 0, false) == 55);
  CHECK(WindowOutput(112, 3, 2, 1, 0, 0, true) == 56);
  CHECK(WindowOutput(113, 3, 2, 1, 0, 0, true) == 56);  // divides: no extra window
  // Windows start at 0, 2, 4 in 5 padded pixels; the one at 4 would start beyond the input.
  CHECK(WindowOutput(4, 2, 2, 1, 0, 1, true) == 2);
  CHECK(WindowOutput(4, 2, 2, 1, 1, 1, true) == 3);
  CHECK(WindowOutput(3, 2, 2, 1, 0, 0, true) == 2);
}

TEST_CASE("limits do not overflow") {
  CHECK(WindowOutput(0xffffffffu, 1, 1, 1, 0xffffffffu, 0xffffffffu, true) == 0);
  CHECK(WindowOutput(16, 0xffffffffu, 1, 0xffffffffu, 0, 0, false) == 0);
}

TEST_CASE("shapes of a graph with every operator, at two sizes") {
  const ModelData model = AllOperatorsModel(true);
  const Graph& graph = model.graph;
  const std::vector<Shape> nominal = InferShapes(graph, 17, 15).value();
  for (size_t i = 0; i < nominal.size(); ++i) {
    const Tensor& tensor = graph.tensors[i];
    CHECK(nominal[i] == Shape{tensor.height, tensor.width, tensor.channels});
  }
  const std::vector<Shape> larger = InferShapes(graph, 33, 40).value();
  CHECK(larger[graph.output] == Shape{1, 1, 10});
  CHECK(larger[1] == Shape{33, 40, 24});
  CHECK(larger[2] == Shape{17, 20, 24});  // ceil_mode
}

TEST_CASE("operators refuse shapes that do not fit") {
  SampleBuilder b(true, 8, 8);
  const uint32_t wide = b.Conv(b.input(), 8);
  const uint32_t small = b.Conv(wide, 8, {.kernel = 3});
  const ModelData model = b.Finish(small);
  Node add;
  add.kind = OpKind::kAdd;
  CHECK(!OutputShape(model.graph, add, std::array{Shape{8, 8, 8}}).ok());
  CHECK(!OutputShape(model.graph, add, std::array{Shape{8, 8, 8}, Shape{6, 6, 8}}).ok());
  Node concat;
  concat.kind = OpKind::kConcat;
  concat.inputs = {wide, small};
  CHECK(!OutputShape(model.graph, concat, std::array{Shape{8, 8, 8}, Shape{6, 6, 8}}).ok());
  CHECK(OutputShape(model.graph, concat, std::array{Shape{8, 8, 8}, Shape{8, 8, 3}}).value() ==
        Shape{8, 8, 11});
  Node conv = model.graph.nodes[1];
  CHECK(!OutputShape(model.graph, conv, std::array{Shape{2, 8, 8}}).ok());
  CHECK(!OutputShape(model.graph, conv, std::array{Shape{8, 8, 7}}).ok());
  CHECK(OutputShape(model.graph, conv, std::array{Shape{8, 8, 8}, Shape{6, 6, 8}}).ok());
  CHECK(!OutputShape(model.graph, conv, std::array{Shape{8, 8, 8}, Shape{8, 8, 8}}).ok());
  CHECK(!OutputShape(model.graph, conv, std::array{Shape{8, 8, 8}, Shape{6, 6, 8}, Shape{6, 6, 8}})
             .ok());
  conv.groups = 0;
  CHECK(!OutputShape(model.graph, conv, std::array{Shape{8, 8, 8}}).ok());
  conv.groups = 1;
  conv.weights = 99;
  CHECK(!OutputShape(model.graph, conv, std::array{Shape{8, 8, 8}}).ok());
}

TEST_CASE("multiply-accumulates") {
  SampleBuilder b(true, 8, 8);
  const uint32_t x = b.Conv(b.input(), 16, {.kernel = 3, .pad = 1});
  const uint32_t y = b.DepthwiseConv(x, {.kernel = 3, .pad = 1});
  const ModelData model = b.Finish(y);
  CHECK(NodeMacs(model.graph, model.graph.nodes[0], {8, 8, 16}) == 8 * 8 * 16 * 27);
  CHECK(NodeMacs(model.graph, model.graph.nodes[1], {8, 8, 16}) == 8 * 8 * 16 * 9);
}

}  // namespace
}  // namespace mpq
