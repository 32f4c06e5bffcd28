// What the writer writes, the reader reads.
#include <doctest/doctest.h>

#include "format/reader.h"
#include "format/validate.h"
#include "format/writer.h"
#include "tests/format/sample_models.h"

namespace mpq {
namespace {

template <typename T>
bool SameElements(const Buffer<T>& a, const Buffer<T>& b) {
  return a.ToVector() == b.ToVector();
}

void CheckSameWeights(const Weights& a, const Weights& b) {
  CHECK(a.out_channels == b.out_channels);
  CHECK(a.kernel_h == b.kernel_h);
  CHECK(a.kernel_w == b.kernel_w);
  CHECK(a.in_channels == b.in_channels);
  CHECK(SameElements(a.values, b.values));
  CHECK(SameElements(a.bias, b.bias));
  CHECK(a.level_set == b.level_set);
  CHECK(SameElements(a.block_bits, b.block_bits));
  CHECK(SameElements(a.block_shapes, b.block_shapes));
  CHECK(SameElements(a.tables, b.tables));
  CHECK(SameElements(a.codes, b.codes));
  REQUIRE(a.channels.size() == b.channels.size());
  for (size_t i = 0; i < a.channels.size(); ++i) {
    CHECK(a.channels[i].bias == b.channels[i].bias);
    CHECK(a.channels[i].requant == b.channels[i].requant);
  }
}

void CheckSameNode(const Node& a, const Node& b) {
  CHECK(a.kind == b.kind);
  CHECK(a.name == b.name);
  CHECK(a.inputs == b.inputs);
  CHECK(a.output == b.output);
  CHECK(a.window == b.window);
  CHECK(a.groups == b.groups);
  CHECK(a.count_include_pad == b.count_include_pad);
  CHECK(a.channels_before == b.channels_before);
  CHECK(a.channels_after == b.channels_after);
  CHECK(a.weights == b.weights);
  CHECK(a.clip_lo == b.clip_lo);
  CHECK(a.clip_hi == b.clip_hi);
  CHECK(a.code_lo == b.code_lo);
  CHECK(a.code_hi == b.code_hi);
  CHECK(a.multiplier[0] == b.multiplier[0]);
  CHECK(a.multiplier[1] == b.multiplier[1]);
  CHECK(a.shift == b.shift);
}

void CheckSameTensor(const Tensor& a, const Tensor& b) {
  CHECK(a.name == b.name);
  CHECK(a.type == b.type);
  CHECK(a.height == b.height);
  CHECK(a.width == b.width);
  CHECK(a.channels == b.channels);
  CHECK(a.scale == b.scale);
  CHECK(a.zero_point == b.zero_point);
  CHECK(a.bits == b.bits);
}

void CheckSameModel(const ModelData& a, const ModelData& b) {
  CHECK(a.graph.input == b.graph.input);
  CHECK(a.graph.output == b.graph.output);
  REQUIRE(a.graph.tensors.size() == b.graph.tensors.size());
  REQUIRE(a.graph.nodes.size() == b.graph.nodes.size());
  REQUIRE(a.graph.weights.size() == b.graph.weights.size());
  for (size_t i = 0; i < a.graph.tensors.size(); ++i) {
    CheckSameTensor(a.graph.tensors[i], b.graph.tensors[i]);
  }
  for (size_t i = 0; i < a.graph.nodes.size(); ++i) {
    CheckSameNode(a.graph.nodes[i], b.graph.nodes[i]);
  }
  for (size_t i = 0; i < a.graph.weights.size(); ++i) {
    CheckSameWeights(a.graph.weights[i], b.graph.weights[i]);
  }
  CHECK(a.preprocessing.resize_short_side == b.preprocessing.resize_short_side);
  CHECK(a.preprocessing.crop_height == b.preprocessing.crop_height);
  CHECK(a.preprocessing.crop_width == b.preprocessing.crop_width);
  CHECK(a.preprocessing.interpolation == b.preprocessing.interpolation);
  CHECK(a.preprocessing.bgr == b.preprocessing.bgr);
  CHECK(a.preprocessing.mean == b.preprocessing.mean);
  CHECK(a.preprocessing.std == b.preprocessing.std);
  CHECK(a.preprocessing.input_codes == b.preprocessing.input_codes);
  CHECK(a.labels == b.labels);
  CHECK(a.provenance == b.provenance);
}

bool PointsInto(const void* p, std::span<const uint8_t> file) {
  const auto* byte = static_cast<const uint8_t*>(p);
  return byte >= file.data() && byte < file.data() + file.size();
}

TEST_CASE("every sample survives writing and reading") {
  for (const NamedModel& sample : GoldenModels()) {
    CAPTURE(sample.name);
    const Result<std::vector<uint8_t>> bytes = SerializeModel(sample.model);
    REQUIRE_MESSAGE(bytes.ok(), bytes.status().message());
    const AlignedBytes file(*bytes);
    const Result<ModelData> read = ReadModel(file.span());
    REQUIRE_MESSAGE(read.ok(), read.status().message());
    CheckSameModel(sample.model, *read);
    const Result<std::vector<uint8_t>> again = SerializeModel(*read);
    REQUIRE(again.ok());
    CHECK(*again == *bytes);
  }
}

TEST_CASE("streams are used in place and aligned") {
  for (const NamedModel& sample : GoldenModels()) {
    CAPTURE(sample.name);
    const AlignedBytes file(SerializeModel(sample.model).value());
    const ModelData model = ReadModel(file.span()).value();
    for (const Weights& weights : model.graph.weights) {
      const void* stream = weights.is_float() ? static_cast<const void*>(weights.values.data())
                                              : weights.codes.data();
      CHECK(PointsInto(stream, file.span()));
      CHECK(reinterpret_cast<uintptr_t>(stream) % kStreamAlignment == 0);
      if (weights.is_float()) CHECK(PointsInto(weights.bias.data(), file.span()));
    }
  }
}

TEST_CASE("bytes that are not aligned are refused") {
  const std::vector<uint8_t> bytes = SerializeModel(AllOperatorsModel(false)).value();
  std::vector<uint8_t> shifted(bytes.size() + 1);
  const AlignedBytes file(shifted);
  const Result<ModelData> read = ReadModel(file.span().subspan(1));
  REQUIRE(!read.ok());
  CHECK(read.status().code() == ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace mpq
