// Models that say something impossible: refused by Validate, by the writer, and by the reader where
// a file can say it.
#include "format/validate.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "format/reader.h"
#include "format/writer.h"
#include "tests/format/sample_models.h"

namespace mpq {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Node& NodeOf(ModelData& model, OpKind kind, int skip = 0) {
  for (Node& node : model.graph.nodes) {
    if (node.kind == kind && skip-- == 0) return node;
  }
  FAIL("no such node");
  return model.graph.nodes[0];
}

Weights& WeightsOf(ModelData& model, LevelSetKind kind) {
  for (Weights& weights : model.graph.weights) {
    if (weights.level_set == kind) return weights;
  }
  FAIL("no such weights");
  return model.graph.weights[0];
}

Tensor& OutputOf(ModelData& model, OpKind kind) {
  return model.graph.tensors[NodeOf(model, kind).output];
}

template <typename T, typename F>
void Edit(Buffer<T>& buffer, F f) {
  std::vector<T> elements = buffer.ToVector();
  f(elements);
  buffer = std::move(elements);
}

struct Fault {
  std::string name;
  std::function<void(ModelData&)> fault;
  const char* fragment;
  ErrorCode code = ErrorCode::kCorrupt;
  bool representable = true;  // a file can say it
};

// clang-format off
const std::vector<Fault>& IntegerFaults() {
  static const std::vector<Fault> faults = {
      {"no nodes", [](ModelData& m) { m.graph.nodes.clear(); }, "is made by no node"},
      {"input does not exist", [](ModelData& m) { m.graph.output = 999; }, "does not exist"},
      {"output is the input", [](ModelData& m) { m.graph.output = m.graph.input; }, "16 bits"},
      {"grey input", [](ModelData& m) { m.graph.tensors[0].channels = 1; }, "1 channels, expected 3"},
      {"tensor without pixels", [](ModelData& m) { m.graph.tensors[0].height = 0; }, "has no values"},
      {"tensor too high", [](ModelData& m) { m.graph.tensors[0].height = 16385; }, "16385", ErrorCode::kLimitExceeded},
      {"tensor too large", [](ModelData& m) { m.graph.tensors[1].height = m.graph.tensors[1].width = 16384; }, "limit is 67108864", ErrorCode::kLimitExceeded},
      {"tensors too large together", [](ModelData& m) { for (Tensor& t : m.graph.tensors) { t.height = 1024; t.width = 512; t.channels = &t == &m.graph.tensors[0] ? 3 : 127; } }, "values of all tensors", ErrorCode::kLimitExceeded},
      {"negative scale", [](ModelData& m) { m.graph.tensors[1].scale = -1; }, "scale -1"},
      {"infinite scale", [](ModelData& m) { m.graph.tensors[1].scale = kInf; }, "scale inf"},
      {"scale is not a number", [](ModelData& m) { m.graph.tensors[1].scale = kNan; }, "scale"},
      {"zero point beyond the bits", [](ModelData& m) { m.graph.tensors[1].bits = 4; m.graph.tensors[1].zero_point = 16; }, "zero point 16"},
      {"9 bits", [](ModelData& m) { m.graph.tensors[1].bits = 9; }, "9 bits"},
      {"0 bits", [](ModelData& m) { m.graph.tensors[1].bits = 0; }, "0 bits"},
      {"16 bits in the middle", [](ModelData& m) { m.graph.tensors[1].type = ElementType::kS16; }, "only the graph's output"},
      {"float in the middle", [](ModelData& m) { m.graph.tensors[1].type = ElementType::kF32; }, "float and integer"},
      {"control character in a name", [](ModelData& m) { m.graph.tensors[1].name = "a\x1b[31m"; }, "control characters"},
      {"name too long", [](ModelData& m) { m.graph.nodes[0].name.assign(1025, 'x'); }, "1025", ErrorCode::kLimitExceeded},
      {"nodes in the wrong order", [](ModelData& m) { std::swap(m.graph.nodes[0], m.graph.nodes[1]); }, "not computed before"},
      {"a tensor made twice", [](ModelData& m) { m.graph.nodes[1].output = m.graph.nodes[0].output; }, "exists already"},
      {"a node that makes the input", [](ModelData& m) { m.graph.nodes[0].output = m.graph.input; }, "exists already"},
      {"no inputs", [](ModelData& m) { NodeOf(m, OpKind::kConcat).inputs.clear(); }, "has no inputs"},
      {"one summand", [](ModelData& m) { NodeOf(m, OpKind::kAdd).inputs.pop_back(); }, "1 inputs, expected 2"},
      {"stride 0", [](ModelData& m) { m.graph.nodes[0].window.stride_h = 0; }, "of 0"},
      {"kernel too large", [](ModelData& m) { NodeOf(m, OpKind::kMaxPool).window.kernel_h = 1025; }, "1025", ErrorCode::kLimitExceeded},
      {"padding too large", [](ModelData& m) { m.graph.nodes[0].window.pad_left = 1025; }, "1025", ErrorCode::kLimitExceeded},
      {"ceil_mode of a convolution", [](ModelData& m) { m.graph.nodes[0].window.ceil_mode = true; }, "ceil_mode"},
      {"pool of padding only", [](ModelData& m) { NodeOf(m, OpKind::kMaxPool).window.pad_top = 3; }, "not smaller than its kernel"},
      {"dilated pool", [](ModelData& m) { NodeOf(m, OpKind::kAvgPool).window.dilation_w = 2; }, "pool with dilation"},
      {"slice of windows", [](ModelData& m) { NodeOf(m, OpKind::kSlicePad).window.kernel_w = 2; }, "single pixels"},
      {"kernel of window and weights differ", [](ModelData& m) { m.graph.nodes[0].window.kernel_h = 2; }, "kernel differs"},
      {"wrong output size", [](ModelData& m) { m.graph.tensors[1].height -= 1; }, "expected 17x15x24"},
      {"clip bounds exchanged", [](ModelData& m) { m.graph.nodes[0].clip_lo = 1; m.graph.nodes[0].clip_hi = 0; }, "clip bounds"},
      {"clip bound is not a number", [](ModelData& m) { m.graph.nodes[0].clip_hi = kNan; }, "clip bounds"},
      {"weights shared", [](ModelData& m) { m.graph.nodes.back().weights = 0; }, "belong to another node"},
      {"weights missing", [](ModelData& m) { m.graph.nodes.back().weights = 77; }, "do not exist"},
      {"weights unused", [](ModelData& m) { m.graph.weights.push_back(m.graph.weights[0]); }, "belong to no node"},
      {"0 groups", [](ModelData& m) { m.graph.nodes[0].groups = 0; }, "0 groups"},
      {"groups that do not divide", [](ModelData& m) { m.graph.nodes[0].groups = 5; }, "5 groups"},
      {"depthwise of one group", [](ModelData& m) { NodeOf(m, OpKind::kDepthwiseConv).groups = 1; }, "depthwise weights"},
      {"no output channels", [](ModelData& m) { m.graph.weights[0].out_channels = 0; }, "without values"},
      {"dot product too long", [](ModelData& m) { Weights& w = m.graph.weights[0]; w.kernel_h = w.kernel_w = 1024; w.in_channels = 2; }, "limit is 1048576", ErrorCode::kLimitExceeded},
      {"layer too large", [](ModelData& m) { Weights& w = m.graph.weights[0]; w.kernel_h = w.kernel_w = 128; w.out_channels = 65536; w.in_channels = 3; }, "limit is 536870912", ErrorCode::kLimitExceeded},
      {"too few channels", [](ModelData& m) { Edit(m.graph.weights[0].channels, [](auto& v) { v.pop_back(); }); }, "expected 24"},
      {"a block too many", [](ModelData& m) { Edit(m.graph.weights[0].block_bits, [](auto& v) { v.push_back(8); }); }, "3 blocks, expected 2"},
      {"block of 0 bits", [](ModelData& m) { Edit(m.graph.weights[0].block_bits, [](auto& v) { v[0] = 0; }); }, "0 bits"},
      {"block of 9 bits", [](ModelData& m) { Edit(m.graph.weights[0].block_bits, [](auto& v) { v[0] = 9; }); }, "9 bits"},
      {"uniform block of 1 bit", [](ModelData& m) { Edit(m.graph.weights[0].block_bits, [](auto& v) { v[0] = 1; }); Edit(m.graph.weights[0].codes, [](auto& v) { v.resize(9 * 8 * (1 + 5)); }); }, "uniform level set of 1 bits"},
      {"stream too short", [](ModelData& m) { Edit(m.graph.weights[0].codes, [](auto& v) { v.resize(v.size() - 8); }); }, "code stream of"},
      {"shape missing", [](ModelData& m) { Edit(WeightsOf(m, LevelSetKind::kTwoRegion).block_shapes, [](auto& v) { v.pop_back(); }); }, "two-region shapes"},
      {"shape impossible", [](ModelData& m) { Edit(WeightsOf(m, LevelSetKind::kTwoRegion).block_shapes, [](auto& v) { v[0] = 0; }); }, "0 dense levels"},
      {"table missing", [](ModelData& m) { Edit(WeightsOf(m, LevelSetKind::kTable).tables, [](auto& v) { v.pop_back(); }); }, "table levels"},
      {"table not ascending", [](ModelData& m) { Edit(WeightsOf(m, LevelSetKind::kTable).tables, [](auto& v) { v[4] = v[5]; }); }, "not ascending"},
      {"table without 0", [](ModelData& m) { Edit(WeightsOf(m, LevelSetKind::kTable).tables, [](auto& v) { v[0] = -1; }); }, "without level 0"},
      {"value padding not level 0", [](ModelData& m) { Edit(m.graph.weights[0].codes, [](auto& v) { v[2 * 64 + 3] ^= 1; }); }, "padding code"},
      {"channel padding not level 0", [](ModelData& m) { Edit(m.graph.weights[0].codes, [](auto& v) { v.at(v.size() - 1) ^= 0x80; }); }, "padding code"},
      {"bias beyond the accumulator", [](ModelData& m) { Edit(m.graph.weights[0].channels, [](auto& v) { v[3].bias = 1 << 30; }); }, "channel 3: accumulators"},
      {"bias of -2^31", [](ModelData& m) { Edit(m.graph.weights[0].channels, [](auto& v) { v[3].bias = std::numeric_limits<int32_t>::min(); }); }, "channel 3: accumulators"},
      {"reserved requantisation bits", [](ModelData& m) { Edit(m.graph.weights[0].channels, [](auto& v) { v[5].requant |= 1u << 22; }); }, "channel 5: invalid"},
      {"multiplier below 2^14", [](ModelData& m) { Edit(m.graph.weights[0].channels, [](auto& v) { v[5].requant &= ~0x7fffu; }); }, "channel 5: invalid"},
      {"code_hi below code_lo", [](ModelData& m) { m.graph.nodes[0].code_lo = 255; }, "highest code"},
      {"code_hi beyond the bits", [](ModelData& m) { m.graph.tensors[1].bits = 7; m.graph.tensors[1].zero_point = 0; }, "highest code"},
      {"Add: code_hi below code_lo", [](ModelData& m) { NodeOf(m, OpKind::kAdd).code_hi = 2; }, "lowest code 3, highest code 2"},
      {"Add: multiplier beyond 16 bits", [](ModelData& m) { NodeOf(m, OpKind::kAdd).multiplier[1] = 32768; }, "multiplier 32768"},
      {"Add: shift 0", [](ModelData& m) { NodeOf(m, OpKind::kAdd).shift = 0; }, "shift 0"},
      {"Clip: shift 31", [](ModelData& m) { NodeOf(m, OpKind::kClip).shift = 31; }, "shift 31"},
      {"AvgPool: negative multiplier", [](ModelData& m) { NodeOf(m, OpKind::kAvgPool).multiplier[0] = -1; }, "multiplier -1"},
      {"GlobalAvgPool: multiplier beyond 2^30", [](ModelData& m) { NodeOf(m, OpKind::kGlobalAvgPool).multiplier[0] = (1 << 30) + 1; }, "multiplier 1073741825"},
      {"GlobalAvgPool: shift 31", [](ModelData& m) { NodeOf(m, OpKind::kGlobalAvgPool).shift = 31; }, "shift 31"},
      {"Add: bits", [](ModelData& m) { OutputOf(m, OpKind::kAdd).bits = 4; }, "in an output of 4 bits"},
      {"MaxPool: another scale", [](ModelData& m) { OutputOf(m, OpKind::kMaxPool).scale *= 2; }, "moves codes"},
      {"Concat: another zero point", [](ModelData& m) { OutputOf(m, OpKind::kConcat).zero_point ^= 1; }, "moves codes"},
      {"SlicePad: another scale", [](ModelData& m) { OutputOf(m, OpKind::kSlicePad).scale *= 2; }, "moves codes"},
      {"logits by another operator", [](ModelData& m) { m.graph.nodes.pop_back(); m.graph.tensors.pop_back(); m.graph.weights.pop_back(); m.graph.output = static_cast<uint32_t>(m.graph.tensors.size()) - 1; Tensor& t = m.graph.tensors.back(); t.type = ElementType::kS16; t.zero_point = 0; }, "which only convolutions make"},
      {"logits with a zero point", [](ModelData& m) { m.graph.tensors[m.graph.output].zero_point = 1; }, "zero point 1, expected 0", ErrorCode::kCorrupt, false},
      {"logits of several pixels", [](ModelData& m) { m.graph.nodes.resize(1); m.graph.tensors.resize(2); m.graph.weights.resize(1); m.graph.output = 1; }, "17x15 pixels, expected 1x1"},
      {"crop differs from the input", [](ModelData& m) { m.preprocessing.crop_width += 1; }, "crop of 17x16"},
      {"resize smaller than the crop", [](ModelData& m) { m.preprocessing.resize_short_side = 16; }, "smaller than the crop"},
      {"resize too large", [](ModelData& m) { m.preprocessing.resize_short_side = 16385; }, "16385", ErrorCode::kLimitExceeded},
      {"mean is not a number", [](ModelData& m) { m.preprocessing.mean[2] = kNan; }, "mean"},
      {"standard deviation 0", [](ModelData& m) { m.preprocessing.std[1] = 0; }, "standard deviation 0"},
      {"input codes missing", [](ModelData& m) { m.preprocessing.input_codes.pop_back(); }, "767 input codes"},
      {"input code beyond the bits", [](ModelData& m) { m.graph.tensors[0].bits = 7; }, "input code 128"},
      {"a label missing", [](ModelData& m) { m.labels.pop_back(); }, "9 labels, expected 10"},
      {"a label of two lines", [](ModelData& m) { m.labels[0] = "a\nb"; }, "control characters"},
      {"a key missing", [](ModelData& m) { m.provenance[0].first.clear(); }, "without a key"},
      {"a value not in UTF-8", [](ModelData& m) { m.provenance[0].second = "\xc0\x80"; }, "not UTF-8"},
      {"too many entries", [](ModelData& m) { m.provenance.assign(65, {"k", "v"}); }, "65", ErrorCode::kLimitExceeded},
  };
  return faults;
}

// Node 2 adds tensor 1 to its result.
const std::vector<Fault>& ResidualFaults() {
  static const std::vector<Fault> faults = {
      {"negative multiplier", [](ModelData& m) { m.graph.nodes[2].multiplier[0] = -1; }, "multiplier -1 of the residual, expected 0..32767"},
      {"multiplier beyond 15 bits", [](ModelData& m) { m.graph.nodes[2].multiplier[0] = 32768; }, "multiplier 32768 of the residual"},
      {"residual of another shape", [](ModelData& m) { m.graph.nodes[2].inputs[1] = 2; }, "output and residual of 19x17x32 and 19x17x40"},
      {"two residuals", [](ModelData& m) { m.graph.nodes[2].inputs.push_back(1); }, "3 inputs, expected 2"},
      {"residual that is made later", [](ModelData& m) { m.graph.nodes[2].inputs[1] = 4; }, "input tensor 4 is not computed before"},
      {"residual that is the output", [](ModelData& m) { m.graph.nodes[2].inputs[1] = m.graph.nodes[2].output; }, "not computed before"},
      {"shifted requantisation", [](ModelData& m) { Edit(m.graph.weights[2].channels, [](auto& v) { v[7].requant = Requantizer::FromShift(3).Pack(); }); }, "channel 7: requantisation by a shift alone, which takes no residual"},
      {"depthwise convolution", [](ModelData& m) { NodeOf(m, OpKind::kDepthwiseConv).inputs.push_back(5); }, "2 inputs, expected 1"},
      {"another operator", [](ModelData& m) { NodeOf(m, OpKind::kGlobalAvgPool).inputs.push_back(5); }, "2 inputs, expected 1"},
  };
  return faults;
}
// clang-format on

void CheckFaults(const std::vector<Fault>& faults, const ModelData& intact) {
  REQUIRE(Validate(intact).ok());
  for (const Fault& fault : faults) {
    CAPTURE(fault.name);
    ModelData model = intact;
    fault.fault(model);
    const Status status = Validate(model);
    REQUIRE(!status.ok());
    CAPTURE(status.message());
    CHECK(std::string(ErrorCodeName(status.code())) == ErrorCodeName(fault.code));
    CHECK(status.message().find(fault.fragment) != std::string::npos);
    CHECK(SerializeModel(model).status().message() == status.message());
    if (!fault.representable) continue;
    const AlignedBytes file(SerializeUnchecked(model));
    CHECK(!ReadModel(file.span()).ok());
  }
}

TEST_CASE("impossible integer models are refused") {
  CheckFaults(IntegerFaults(), AllOperatorsModel(false));
}

TEST_CASE("impossible residuals are refused") { CheckFaults(ResidualFaults(), ResidualModel()); }

TEST_CASE("a residual of 16-bit logits is refused") {
  SampleBuilder builder(false, 4, 4);
  const uint32_t pixel = builder.GlobalAvgPool(builder.Conv(builder.input(), 10));
  ModelData model = builder.Finish(builder.Logits(pixel, 10));
  model.graph.nodes.back().inputs.push_back(pixel);
  const Status status = Validate(model);
  CHECK_MESSAGE(status.message().find("a residual and a 16-bit output") != std::string::npos,
                status.message());
}

// A Concat's input lies in its output, so 16-bit logits would have run over the bytes behind it.
TEST_CASE("16-bit logits as the input of another node are refused") {
  SampleBuilder builder(false, 4, 4);
  const uint32_t pooled = builder.GlobalAvgPool(builder.input());
  const uint32_t x = builder.Conv(pooled, 4);
  const uint32_t y = builder.Conv(pooled, 4000);
  const uint32_t joined = builder.Concat({y, x});
  ModelData model = builder.Finish(builder.Logits(joined, 10));
  Graph& graph = model.graph;
  graph.output = y;
  for (const uint32_t t : {x, y, joined}) graph.tensors[t].zero_point = 0;
  graph.tensors[joined + 1].type = ElementType::kU8;
  graph.tensors[y].type = ElementType::kS16;
  model.labels.clear();
  const Status status = Validate(model);
  CHECK(status.code() == ErrorCode::kCorrupt);
  CHECK_MESSAGE(status.message().find("has 16 bits") != std::string::npos, status.message());
}

TEST_CASE("impossible float models are refused") {
  const auto check = [](auto fault, const char* fragment) {
    ModelData model = AllOperatorsModel(true);
    REQUIRE(Validate(model).ok());
    fault(model);
    const Status status = Validate(model);
    CAPTURE(status.message());
    REQUIRE(!status.ok());
    CHECK(status.message().find(fragment) != std::string::npos);
    CHECK(!SerializeModel(model).ok());
  };
  check([](ModelData& m) { Edit(m.graph.weights[1].values, [](auto& v) { v[7] = kInf; }); },
        "weight 7 is inf, expected a finite number");
  check([](ModelData& m) { Edit(m.graph.weights[1].bias, [](auto& v) { v[7] = kNan; }); },
        "bias 7 is nan, expected a finite number");
  check([](ModelData& m) { Edit(m.graph.weights[0].values, [](auto& v) { v.pop_back(); }); },
        "float weights");
  check([](ModelData& m) { Edit(m.graph.weights[0].bias, [](auto& v) { v.push_back(0); }); },
        "biases");
}

TEST_CASE("residuals are for integer models") {
  SampleBuilder builder(true, 4, 4);
  const uint32_t x = builder.Conv(builder.input(), 8);
  const uint32_t y = builder.Conv(x, 8, {.residual = x});
  const ModelData model = builder.Finish(builder.Logits(builder.GlobalAvgPool(y), 10));
  const Status status = Validate(model);
  CHECK_MESSAGE(status.message().find("a residual in a float model") != std::string::npos,
                status.message());
}

TEST_CASE("accumulators are bounded exactly where counts do not suffice") {
  SampleBuilder builder(false, 4, 4);
  const uint32_t x = builder.Conv(builder.input(), 16, {.bits = {8}});
  ModelData model = builder.Finish(builder.Logits(builder.GlobalAvgPool(x), 16, {.bits = {8}}));
  Weights& weights = model.graph.weights[1];
  // Level -128 for all 16 products of channel 2, level 0 elsewhere.
  const CodeLayout layout = MakeCodeLayout(model.graph, model.graph.nodes.back());
  std::vector<uint8_t> codes(16 * 16, 128);
  std::fill_n(codes.begin() + 2 * 16, 16, uint8_t{0});
  weights.codes = PackCodes(layout, codes, weights.block_bits.span(), std::vector<uint8_t>{128});
  const int32_t smallest_sum = 16 * -128 * 255;
  const auto limit = static_cast<int32_t>(kMaxAccumulator);
  const auto with_bias = [&](uint32_t channel, int32_t bias) {
    Edit(weights.channels, [&](auto& v) { v[channel].bias = bias; });
    const bool ok = Validate(model).ok();
    Edit(weights.channels, [&](auto& v) { v[channel].bias = 0; });
    return ok;
  };
  CHECK(with_bias(1, limit));
  CHECK(with_bias(1, -limit));
  CHECK(!with_bias(1, limit + 1));
  CHECK(!with_bias(1, -limit - 1));
  CHECK(with_bias(2, limit));
  CHECK(with_bias(2, -limit - smallest_sum));
  CHECK(!with_bias(2, -limit - smallest_sum - 1));
}

TEST_CASE("fields that an operator does not use are free") {
  ModelData model = AllOperatorsModel(false);
  NodeOf(model, OpKind::kGlobalAvgPool).window.kernel_h = 0;
  NodeOf(model, OpKind::kConcat).shift = 77;
  CHECK(Validate(model).ok());
}

}  // namespace
}  // namespace mpq
