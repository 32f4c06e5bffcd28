// Models as a hostile author would write them: whatever validation accepts must run, inside its
// memory (the sanitizer build sees to that) and with the same logits on every instruction set.
#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "engine/core/isa.h"
#include "format/model_data.h"
#include "format/shape.h"
#include "mpq/session.h"
#include "tests/format/sample_models.h"

namespace mpq {
namespace {

class Editor {
 public:
  explicit Editor(uint32_t seed) : random_(seed) {}

  // Changes something; sizes of tensors follow where they can.
  void Edit(Graph& graph) {
    const uint32_t edits = 1 + Below(3);
    for (uint32_t i = 0; i < edits; ++i) {
      Node& node = graph.nodes[Below(static_cast<uint32_t>(graph.nodes.size()))];
      switch (Below(9)) {
        case 0:
          node.inputs[Below(static_cast<uint32_t>(node.inputs.size()))] = AnyTensor(graph);
          break;
        case 1:
          MoveOutput(graph);
          break;
        case 2:
          EditTensor(graph.tensors[AnyTensor(graph)]);
          break;
        case 3:
          EditCodes(node);
          break;
        case 4:
          node.channels_before = Below(9);
          node.channels_after = Below(9);
          node.count_include_pad = Below(2) == 0;
          break;
        case 5:
          EditResidual(graph, node);
          break;
        default:
          EditWindow(node.window);
      }
    }
    const Tensor& input = graph.tensors[graph.input];
    const Result<std::vector<Shape>> shapes = InferShapes(graph, input.height, input.width);
    if (!shapes.ok()) return;
    for (size_t t = 0; t < shapes->size(); ++t) {
      graph.tensors[t].height = (*shapes)[t].height;
      graph.tensors[t].width = (*shapes)[t].width;
      graph.tensors[t].channels = (*shapes)[t].channels;
    }
  }

 private:
  uint32_t Below(uint32_t limit) { return random_() % limit; }
  uint32_t AnyTensor(const Graph& graph) {
    return Below(static_cast<uint32_t>(graph.tensors.size()));
  }

  // Other logits than the last layer's: the rest of the graph still runs.
  void MoveOutput(Graph& graph) {
    graph.tensors[graph.output].type = ElementType::kU8;
    graph.output = AnyTensor(graph);
    graph.tensors[graph.output].type = ElementType::kS16;
    graph.tensors[graph.output].zero_point = 0;
  }

  void EditTensor(Tensor& tensor) {
    if (Below(4) == 0) {
      tensor.type = tensor.type == ElementType::kU8 ? ElementType::kS16 : ElementType::kU8;
      tensor.zero_point = 0;
    } else {
      tensor.zero_point = static_cast<int32_t>(Below(256));
    }
  }

  void EditCodes(Node& node) {
    node.code_lo = static_cast<uint8_t>(Below(256));
    node.code_hi = static_cast<uint8_t>(Below(256));
    node.multiplier[0] = static_cast<int32_t>(Below(65536)) - 32768;
    node.multiplier[1] = static_cast<int32_t>(Below(65536)) - 32768;
    node.shift = static_cast<uint8_t>(Below(31));
  }

  void EditResidual(const Graph& graph, Node& node) {
    if (node.inputs.size() > 1) {
      node.inputs.pop_back();
    } else {
      node.inputs.push_back(AnyTensor(graph));
    }
    node.multiplier[0] = static_cast<int32_t>(Below(1 << 15));
  }

  void EditWindow(Window& window) {
    uint32_t* const sizes[] = {&window.stride_h, &window.stride_w, &window.dilation_h,
                               &window.dilation_w};
    uint32_t* const pads[] = {&window.pad_top, &window.pad_left, &window.pad_bottom,
                              &window.pad_right};
    if (Below(2) == 0) {
      *sizes[Below(4)] = 1 + Below(9);
    } else {
      *pads[Below(4)] = Below(2) == 0 ? Below(4) : Below(40);
    }
    if (Below(4) == 0) window.ceil_mode = !window.ceil_mode;
  }

  std::mt19937 random_;
};

std::vector<int16_t> Logits(const Model& model, const SessionOptions& options,
                            std::span<const uint8_t> pixels) {
  Result<Session> session = Session::Create(model, options);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  REQUIRE(session->Run(pixels, options.batch).ok());
  const auto logits = session->integer_logits();
  return std::vector<int16_t>(logits.begin(), logits.end());
}

TEST_CASE("whatever validation accepts runs, with the same logits everywhere") {
  constexpr uint32_t kModels = 1000;
  uint32_t accepted = 0;
  for (uint32_t seed = 0; seed < kModels; ++seed) {
    CAPTURE(seed);
    ModelData data = seed % 2 == 0 ? AllOperatorsModel(/*is_float=*/false) : ResidualModel();
    Editor(seed).Edit(data.graph);
    if (data.graph.tensors[data.graph.output].channels != data.labels.size()) data.labels.clear();
    const Result<Model> model = Model::FromData(std::move(data));
    if (!model.ok()) continue;
    ++accepted;
    std::mt19937 random(seed);
    std::vector<uint8_t> pixels(size_t{2} * model->input_height() * model->input_width() * 3);
    for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random());
    SessionOptions options;
    options.batch = 2;
    options.threads = 2;
    options.keep_tensors = true;  // no two tensors share memory
    const std::vector<int16_t> expected = Logits(*model, options, pixels);
    options.keep_tensors = false;
    for (const Isa isa : SupportedIsas()) {
      options.isa = std::string(IsaName(isa));
      CHECK(Logits(*model, options, pixels) == expected);
    }
  }
  MESSAGE(accepted << " of " << kModels << " edited models are valid");
  CHECK(accepted > kModels / 20);
}

}  // namespace
}  // namespace mpq
