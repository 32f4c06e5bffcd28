// Every model of ../shared/models: shapes, operators and numbers of parameters.
#include "tests/import/shared_models.h"

#include <doctest/doctest.h>

#include <map>

#include "tests/import/onnx_builder.h"

namespace mpq {
namespace {

struct ExpectedModel {
  const char* name;
  uint32_t size, classes;
  uint64_t parameters;  // weights and biases of convolutions, without batch norm
  std::map<OpKind, int> nodes;
};

// Parameters were counted from the initialisers with Python's onnx package, batch norm left out and
// a bias counted for every convolution. Batch norms are 1x1 kDepthwiseConv nodes here.
const ExpectedModel kModels[] = {
    {"efficientnet_lite0",
     224,
     1000,
     4631000,
     {{OpKind::kConv, 34},
      {OpKind::kDepthwiseConv, 65},
      {OpKind::kClip, 33},
      {OpKind::kAdd, 9},
      {OpKind::kGlobalAvgPool, 1}}},
    {"mobilenet_v1",
     224,
     1000,
     4221032,
     {{OpKind::kConv, 15},
      {OpKind::kDepthwiseConv, 13},
      {OpKind::kClip, 27},
      {OpKind::kGlobalAvgPool, 1}}},
    {"mobilenet_v1_025_vww",
     96,
     2,
     210850,
     {{OpKind::kConv, 15},
      {OpKind::kDepthwiseConv, 13},
      {OpKind::kClip, 27},
      {OpKind::kGlobalAvgPool, 1}}},
    {"mobilenet_v2",
     224,
     1000,
     3487816,
     {{OpKind::kConv, 36},
      {OpKind::kDepthwiseConv, 17},
      {OpKind::kClip, 35},
      {OpKind::kAdd, 10},
      {OpKind::kGlobalAvgPool, 1}}},
    {"resnet18",
     224,
     1000,
     11684712,
     {{OpKind::kConv, 21},
      {OpKind::kDepthwiseConv, 20},
      {OpKind::kClip, 17},
      {OpKind::kAdd, 8},
      {OpKind::kMaxPool, 1},
      {OpKind::kGlobalAvgPool, 1}}},
    {"resnet50",
     224,
     1000,
     25530472,
     {{OpKind::kConv, 54},
      {OpKind::kDepthwiseConv, 53},
      {OpKind::kClip, 49},
      {OpKind::kAdd, 16},
      {OpKind::kMaxPool, 1},
      {OpKind::kGlobalAvgPool, 1}}},
    {"resnet8_cifar10",
     32,
     10,
     77706,
     {{OpKind::kConv, 10}, {OpKind::kClip, 7}, {OpKind::kAdd, 3}, {OpKind::kGlobalAvgPool, 1}}},
    {"resnet20_cifar10",
     32,
     10,
     269034,
     {{OpKind::kConv, 20},
      {OpKind::kDepthwiseConv, 19},
      {OpKind::kClip, 19},
      {OpKind::kAdd, 9},
      {OpKind::kSlicePad, 2},
      {OpKind::kAvgPool, 1}}},
    {"resnet32_cifar10",
     32,
     10,
     463018,
     {{OpKind::kConv, 32},
      {OpKind::kDepthwiseConv, 31},
      {OpKind::kClip, 31},
      {OpKind::kAdd, 15},
      {OpKind::kSlicePad, 2},
      {OpKind::kAvgPool, 1}}},
};

TEST_CASE("models of ../shared") {
  const std::optional<std::string> folder = SharedModelsFolder();
  if (!folder) return;
  for (const ExpectedModel& expected : kModels) {
    CAPTURE(expected.name);
    const Result<ImportedModel> model = ImportOnnx(*folder + "/" + expected.name + ".onnx");
    REQUIRE_MESSAGE(model.ok(), model.status().message());
    CHECK(model->notes.empty());
    const Graph& graph = model->graph;
    CHECK(graph.tensors[graph.input].height == expected.size);
    CHECK(graph.tensors[graph.input].width == expected.size);
    CHECK(graph.tensors[graph.output].channels == expected.classes);
    std::map<OpKind, int> nodes;
    uint64_t parameters = 0;
    for (const Node& node : graph.nodes) {
      ++nodes[node.kind];
      const bool batch_norm = node.kind == OpKind::kDepthwiseConv && node.window == Window{};
      if (node.weights == kNone || batch_norm) continue;
      const Weights& weights = graph.weights[node.weights];
      parameters += weights.values.size() + weights.bias.size();
    }
    CHECK(parameters == expected.parameters);
    CHECK(nodes == expected.nodes);
  }
}

}  // namespace
}  // namespace mpq
