#include "tests/format/sample_models.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

#include "format/shape.h"

namespace mpq {

namespace {

constexpr uint32_t kClasses = 10;

// A two-region shape that fits `bits`.
TwoRegionShape ShapeFor(int bits, uint32_t choice) {
  TwoRegionShape shape;
  const uint32_t positive = (1u << (bits - 1)) - 1;
  shape.step = static_cast<uint8_t>(1 + choice % 3);
  shape.dense = static_cast<uint8_t>(std::max(1u, positive / 2));
  shape.spare_negative = choice % 2 == 1;
  return shape;
}

// Levels that grow away from 0, as those of Lloyd-Max do; in steps of 3 where int8 is too small.
std::vector<int8_t> TableOf(int bits) {
  const int count = 1 << bits;
  const int zero = bits == 1 ? 0 : count / 2;
  std::vector<int8_t> table;
  for (int code = 0; code < count; ++code) {
    const int rank = std::abs(code - zero);
    const int magnitude = bits >= 5 ? 3 * rank : rank * (rank + 1) / 2;
    table.push_back(static_cast<int8_t>(code < zero ? -magnitude : magnitude));
  }
  return table;
}

}  // namespace

SampleBuilder::SampleBuilder(bool is_float, uint32_t height, uint32_t width, uint32_t seed)
    : is_float_(is_float), random_(seed) {
  Tensor tensor;
  tensor.name = "input";
  tensor.height = height;
  tensor.width = width;
  tensor.channels = 3;
  if (!is_float) {
    tensor.type = ElementType::kU8;
    tensor.scale = 0.03125f;
    tensor.zero_point = 114;
  }
  model_.graph.tensors.push_back(tensor);
  model_.graph.input = 0;
}

uint32_t SampleBuilder::AddNode(Node node, const Tensor& like) {
  Graph& graph = model_.graph;
  const auto output = static_cast<uint32_t>(graph.tensors.size());
  node.output = output;
  if (node.name.empty()) node.name = OpKindName(node.kind) + std::to_string(graph.nodes.size());
  std::vector<Shape> shapes;
  for (const uint32_t input : node.inputs) {
    const Tensor& t = graph.tensors[input];
    shapes.push_back({t.height, t.width, t.channels});
  }
  const Shape shape = OutputShape(graph, node, shapes).value();
  Tensor tensor = like;
  tensor.name = node.name + ":0";
  tensor.height = shape.height;
  tensor.width = shape.width;
  tensor.channels = shape.channels;
  graph.tensors.push_back(std::move(tensor));
  graph.nodes.push_back(std::move(node));
  return output;
}

uint32_t SampleBuilder::Conv(uint32_t src, uint32_t out_channels, const SampleConv& conv) {
  Node node;
  node.kind = OpKind::kConv;
  node.inputs = {src};
  if (conv.residual != kNone) {
    node.inputs.push_back(conv.residual);
    node.multiplier[0] = static_cast<int32_t>(4000 + Random(16000));
  }
  node.groups = conv.groups;
  return AddConv(std::move(node), out_channels, conv, ElementType::kU8);
}

uint32_t SampleBuilder::DepthwiseConv(uint32_t src, const SampleConv& conv) {
  Node node;
  node.kind = OpKind::kDepthwiseConv;
  node.inputs = {src};
  const uint32_t channels = model_.graph.tensors[src].channels;
  node.groups = channels;
  return AddConv(std::move(node), channels, conv, ElementType::kU8);
}

uint32_t SampleBuilder::Logits(uint32_t src, uint32_t classes, const SampleConv& conv) {
  Node node;
  node.kind = OpKind::kConv;
  node.name = "logits";
  node.inputs = {src};
  return AddConv(std::move(node), classes, conv, ElementType::kS16);
}

uint32_t SampleBuilder::AddConv(Node node, uint32_t out_channels, const SampleConv& conv,
                                ElementType type) {
  node.window.kernel_h = node.window.kernel_w = conv.kernel;
  node.window.stride_h = node.window.stride_w = conv.stride;
  node.window.dilation_h = node.window.dilation_w = conv.dilation;
  node.window.pad_top = node.window.pad_left = conv.pad;
  node.window.pad_bottom = node.window.pad_right = conv.pad;
  node.weights = static_cast<uint32_t>(model_.graph.weights.size());
  Weights weights;
  weights.out_channels = out_channels;
  weights.kernel_h = weights.kernel_w = conv.kernel;
  weights.in_channels = model_.graph.tensors[node.inputs[0]].channels / node.groups;
  model_.graph.weights.push_back(weights);

  const bool logits = type == ElementType::kS16;
  if (!logits) node.clip_lo = 0;
  Tensor like;
  if (!is_float_) {
    like.type = type;
    like.scale = 0.0625f;
    // ReLU where the zero point is 0, a linear output where it is not.
    like.zero_point = logits ? 0 : static_cast<int32_t>(Random(2) * 128);
    if (!logits && like.zero_point != 0) {
      node.clip_lo = -std::numeric_limits<float>::infinity();
    }
  }
  const uint32_t output = AddNode(node, like);
  FillWeights(model_.graph.nodes.back(), conv);
  return output;
}

void SampleBuilder::FillWeights(const Node& node, const SampleConv& conv) {
  Weights& weights = model_.graph.weights[node.weights];
  if (is_float_) {
    FillFloatWeights(weights);
    return;
  }
  const CodeLayout layout = MakeCodeLayout(model_.graph, node);
  FillLevelSets(weights, layout, conv);
  const size_t row = size_t{layout.runs} * layout.run_values;
  std::vector<uint8_t> zero_codes;
  std::vector<uint8_t> codes(weights.out_channels * row);
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    const Levels levels = BlockLevels(weights, block).value();
    zero_codes.push_back(levels.zero_code());
    const size_t first = layout.FirstChannel(block) * row;
    const size_t last = first + layout.BlockChannels(block) * row;
    for (size_t i = first; i < last; ++i) codes[i] = static_cast<uint8_t>(Random(levels.count));
  }
  weights.codes = PackCodes(layout, codes, weights.block_bits.span(), zero_codes);
  FillChannels(weights, layout, conv.shifted,
               model_.graph.tensors[node.output].type == ElementType::kS16);
}

void SampleBuilder::FillFloatWeights(Weights& weights) {
  const auto random_float = [&] { return (static_cast<float>(Random(2001)) - 1000.0f) / 4096.0f; };
  std::vector<float> values(size_t{weights.out_channels} * weights.kernel_h * weights.kernel_w *
                            weights.in_channels);
  for (float& x : values) x = random_float();
  std::vector<float> bias(weights.out_channels);
  for (float& x : bias) x = random_float();
  weights.values = std::move(values);
  weights.bias = std::move(bias);
}

void SampleBuilder::FillLevelSets(Weights& weights, const CodeLayout& layout,
                                  const SampleConv& conv) {
  weights.level_set = conv.level_set;
  std::vector<uint8_t> block_bits;
  std::vector<uint8_t> shapes;
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    block_bits.push_back(conv.bits[block % conv.bits.size()]);
    shapes.push_back(ShapeFor(block_bits.back(), block).Pack());
  }
  if (conv.level_set == LevelSetKind::kTwoRegion) weights.block_shapes = std::move(shapes);
  if (conv.level_set == LevelSetKind::kTable) {
    std::vector<int8_t> tables;
    for (int bits = 1; bits <= kMaxTableBits; ++bits) {
      if (std::count(block_bits.begin(), block_bits.end(), bits) == 0) continue;
      const std::vector<int8_t> table = TableOf(bits);
      tables.insert(tables.end(), table.begin(), table.end());
    }
    weights.tables = std::move(tables);
  }
  weights.block_bits = std::move(block_bits);
}

void SampleBuilder::FillChannels(Weights& weights, const CodeLayout& layout, bool shifted,
                                 bool logits) {
  const uint32_t dot_length = layout.runs * layout.run_values;
  std::vector<ChannelParams> channels(weights.out_channels);
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    const int max_level = BlockLevels(weights, block).value().max_magnitude();
    // A typical accumulator comes out as a few dozen steps, so results are not all clipped.
    const double factor = 2.0 / (max_level * (8.0 + dot_length));
    for (uint32_t i = 0; i < layout.BlockChannels(block); ++i) {
      ChannelParams& params = channels[layout.FirstChannel(block) + i];
      params.bias = static_cast<int32_t>(Random(4001)) - 2000;
      const auto code_hi = static_cast<uint8_t>(logits ? 255 : 200 + Random(56));
      params.requant = shifted
                           ? Requantizer::FromShift(4 + static_cast<int>(Random(6)), code_hi).Pack()
                           : Requantizer::FromFactor(factor * (1 + Random(8)) / 8, code_hi).Pack();
    }
  }
  weights.channels = std::move(channels);
}

uint32_t SampleBuilder::MaxPool(uint32_t src, const Window& window) {
  Node node;
  node.kind = OpKind::kMaxPool;
  node.inputs = {src};
  node.window = window;
  return AddNode(std::move(node), Tensor(model_.graph.tensors[src]));
}

uint32_t SampleBuilder::AvgPool(uint32_t src, const Window& window, bool count_include_pad) {
  Node node;
  node.kind = OpKind::kAvgPool;
  node.inputs = {src};
  node.window = window;
  node.count_include_pad = count_include_pad;
  if (!is_float_) {
    node.multiplier[0] = 3 << 22;  // 0.75
    node.shift = 24;
  }
  return AddNode(std::move(node), Tensor(model_.graph.tensors[src]));
}

uint32_t SampleBuilder::GlobalAvgPool(uint32_t src) {
  Node node;
  node.kind = OpKind::kGlobalAvgPool;
  node.inputs = {src};
  if (!is_float_) {
    node.multiplier[0] = 5 << 22;  // 1.25
    node.shift = 24;
  }
  return AddNode(std::move(node), Tensor(model_.graph.tensors[src]));
}

uint32_t SampleBuilder::Add(uint32_t a, uint32_t b) {
  Node node;
  node.kind = OpKind::kAdd;
  node.inputs = {a, b};
  node.clip_lo = 0;
  Tensor like = model_.graph.tensors[a];
  if (!is_float_) {
    node.multiplier[0] = 20000;
    node.multiplier[1] = 12345;
    node.shift = 15;
    like.zero_point = 3;
    node.code_lo = 3;
  }
  return AddNode(std::move(node), like);
}

uint32_t SampleBuilder::Concat(const std::vector<uint32_t>& inputs) {
  Node node;
  node.kind = OpKind::kConcat;
  node.inputs = inputs;
  // The inputs take over the first one's scale and zero point.
  for (const uint32_t input : inputs) {
    model_.graph.tensors[input].scale = model_.graph.tensors[inputs[0]].scale;
    model_.graph.tensors[input].zero_point = model_.graph.tensors[inputs[0]].zero_point;
  }
  return AddNode(std::move(node), Tensor(model_.graph.tensors[inputs[0]]));
}

uint32_t SampleBuilder::Clip(uint32_t src, float lo, float hi) {
  Node node;
  node.kind = OpKind::kClip;
  node.inputs = {src};
  node.clip_lo = lo;
  node.clip_hi = hi;
  Tensor like = model_.graph.tensors[src];
  if (!is_float_) {
    node.multiplier[0] = 16384;
    node.shift = 14;
    node.code_lo = static_cast<uint8_t>(like.zero_point);
    node.code_hi = 250;
  }
  return AddNode(std::move(node), like);
}

uint32_t SampleBuilder::SlicePad(uint32_t src, uint32_t stride, uint32_t before, uint32_t after) {
  Node node;
  node.kind = OpKind::kSlicePad;
  node.inputs = {src};
  node.window.stride_h = node.window.stride_w = stride;
  node.channels_before = before;
  node.channels_after = after;
  return AddNode(std::move(node), Tensor(model_.graph.tensors[src]));
}

ModelData SampleBuilder::Finish(uint32_t output) {
  Graph& graph = model_.graph;
  graph.output = output;
  const Tensor& input = graph.tensors[graph.input];
  Preprocessing& p = model_.preprocessing;
  p.crop_height = input.height;
  p.crop_width = input.width;
  p.resize_short_side = std::max(input.height, input.width) + 2;
  p.interpolation = Interpolation::kBicubic;
  p.mean = {123.5f, 116.25f, 103.5f};
  p.std = {58.5f, 57.0f, 57.25f};
  if (!is_float_) {
    for (uint32_t c = 0; c < 3; ++c) {
      for (uint32_t v = 0; v < 256; ++v) {
        p.input_codes.push_back(static_cast<uint8_t>(std::min(255u, v * (60 + c) / 64)));
      }
    }
  }
  for (uint32_t i = 0; i < graph.tensors[output].channels; ++i) {
    model_.labels.push_back("class " + std::to_string(i));
  }
  model_.labels.back() = "caf\u00e9";
  model_.provenance = {{"tool", "sample"}, {"notes", "two\nlines"}};
  return model_;
}

ModelData AllOperatorsModel(bool is_float) {
  SampleBuilder b(is_float, 17, 15);
  Window pool;
  pool.kernel_h = pool.kernel_w = 3;
  pool.stride_h = pool.stride_w = 2;
  pool.pad_top = pool.pad_left = 1;
  pool.ceil_mode = true;
  Window same;
  same.kernel_h = same.kernel_w = 3;
  same.pad_top = same.pad_left = same.pad_bottom = same.pad_right = 1;

  const uint32_t stem = b.Conv(b.input(), 24, {.kernel = 3, .pad = 1, .bits = {8, 5}});
  const uint32_t pooled = b.MaxPool(stem, pool);
  const uint32_t depthwise =
      b.DepthwiseConv(pooled, {.kernel = 3, .pad = 1, .bits = {7, 3}, .shifted = true});
  const uint32_t two_region =
      b.Conv(depthwise, 24, {.level_set = LevelSetKind::kTwoRegion, .bits = {4, 6}});
  const uint32_t sum = b.Add(pooled, two_region);
  const uint32_t grouped =
      b.Conv(sum, 36, {.kernel = 3, .dilation = 2, .pad = 2, .groups = 2, .bits = {2, 3, 4}});
  const uint32_t average = b.AvgPool(grouped, same, /*count_include_pad=*/true);
  const uint32_t table = b.Conv(sum, 20, {.level_set = LevelSetKind::kTable, .bits = {1, 4}});
  const uint32_t clipped = b.Clip(table, 0.0f, 6.0f);
  const uint32_t widened = b.SlicePad(clipped, 1, 4, 8);
  const uint32_t joined = b.Concat({average, widened});
  const uint32_t pixel = b.GlobalAvgPool(joined);
  return b.Finish(b.Logits(pixel, kClasses, {.bits = {6}}));
}

ModelData ResidualModel() {
  SampleBuilder b(/*is_float=*/false, 19, 17, 3);
  const uint32_t stem = b.Conv(b.input(), 32, {.kernel = 3, .pad = 1, .bits = {8, 5}});
  const uint32_t inner = b.Conv(stem, 40, {.bits = {4}});
  const uint32_t block = b.Conv(inner, 32, {.kernel = 3, .pad = 1, .residual = stem});
  const uint32_t own = b.Conv(block, 32, {.bits = {6, 3}, .residual = block});
  const uint32_t expanded = b.Conv(own, 50, {.bits = {5}});
  const uint32_t depthwise = b.DepthwiseConv(expanded, {.kernel = 3, .pad = 1, .bits = {7}});
  const uint32_t projected =
      b.Conv(depthwise, 32, {.level_set = LevelSetKind::kTable, .bits = {4}, .residual = own});
  const uint32_t shortcut = b.Conv(projected, 36, {.stride = 2, .bits = {4}});
  const uint32_t halved = b.Conv(
      projected, 36,
      {.kernel = 3, .stride = 2, .pad = 1, .groups = 2, .bits = {4, 2}, .residual = shortcut});
  return b.Finish(b.Logits(b.GlobalAvgPool(halved), kClasses, {.bits = {6}}));
}

std::vector<NamedModel> GoldenModels() {
  std::vector<NamedModel> models;
  const auto add = [&](const char* name, bool is_float, uint32_t size, auto build) {
    SampleBuilder b(is_float, size, size, static_cast<uint32_t>(models.size() + 7));
    const uint32_t features = build(b);
    models.push_back({name, b.Finish(b.Logits(b.GlobalAvgPool(features), 4))});
  };
  add("mixed_widths", false, 4, [](SampleBuilder& b) {
    const uint32_t x = b.Conv(b.input(), 32, {.bits = {8, 7}});
    return b.Conv(x, 96, {.bits = {2, 3, 4, 5, 6, 8}});
  });
  add("power_of_two", false, 4,
      [](SampleBuilder& b) { return b.Conv(b.input(), 16, {.bits = {5}, .shifted = true}); });
  add("two_region", false, 4, [](SampleBuilder& b) {
    const uint32_t x = b.Conv(b.input(), 16, {.bits = {4}});
    return b.Conv(x, 80, {.level_set = LevelSetKind::kTwoRegion, .bits = {2, 3, 4, 5, 6}});
  });
  add("table", false, 4, [](SampleBuilder& b) {
    const uint32_t x = b.Conv(b.input(), 16, {.bits = {4}});
    return b.Conv(x, 96, {.level_set = LevelSetKind::kTable, .bits = {6, 5, 4, 3, 2, 1}});
  });
  add("depthwise", false, 6, [](SampleBuilder& b) {
    const uint32_t x = b.Conv(b.input(), 20, {.bits = {4}});
    return b.DepthwiseConv(x, {.kernel = 3, .pad = 1, .bits = {4, 6}});
  });
  add("grouped", false, 6, [](SampleBuilder& b) {
    const uint32_t x = b.Conv(b.input(), 20, {.bits = {4}});
    return b.Conv(x, 40, {.kernel = 3, .stride = 2, .pad = 1, .groups = 2, .bits = {4, 3}});
  });
  add("row_runs", false, 8, [](SampleBuilder& b) {
    return b.Conv(b.input(), 17, {.kernel = 5, .stride = 2, .pad = 2, .bits = {3, 8}});
  });
  add("float", true, 6, [](SampleBuilder& b) {
    const uint32_t x = b.Conv(b.input(), 5, {.kernel = 3});
    return b.DepthwiseConv(x, {.kernel = 3, .pad = 1});
  });
  models.push_back({"residual", ResidualModel()});
  models.push_back({"all_operators", AllOperatorsModel(false)});
  models.push_back({"all_operators_float", AllOperatorsModel(true)});
  return models;
}

AlignedBytes::AlignedBytes(std::span<const uint8_t> bytes)
    : data_(static_cast<uint8_t*>(::operator new(bytes.size(), kAlignment))), size_(bytes.size()) {
  if (!bytes.empty()) std::memcpy(data_, bytes.data(), bytes.size());
}

}  // namespace mpq
