// tools/mpq_read.py, written from the specification alone, reads what our writer writes and says
// the same about every layer.
#include <doctest/doctest.h>

#include <charconv>
#include <concepts>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "format/code_layout.h"
#include "format/writer.h"
#include "tests/format/sample_models.h"

namespace mpq {
namespace {

struct ProgramOutput {
  std::string text;
  int status = 0;
};

ProgramOutput RunReader(const std::string& arguments) {
  const std::string command = MPQ_PYTHON " " MPQ_SOURCE_ROOT "/tools/mpq_read.py " + arguments;
  ProgramOutput output;
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  char chunk[4096];
  for (size_t n; (n = std::fread(chunk, 1, sizeof chunk, pipe)) > 0;) output.text.append(chunk, n);
  output.status = pclose(pipe);
  return output;
}

// A number as Python writes it: the shortest form, floats with a point.
template <std::integral T>
std::string Number(T x) {
  return std::to_string(x);
}
std::string Number(float x) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, double{x}, std::chars_format::fixed).ptr;
  std::string number(text, end);
  return number.find('.') == std::string::npos ? number + ".0" : number;
}

template <typename Range>
std::string List(const char* key, const Range& values) {
  std::string text = std::string("\"") + key + "\":[";
  for (size_t i = 0; i < values.size(); ++i) text += (i > 0 ? "," : "") + Number(values[i]);
  return text + "]";
}

std::string ChannelList(const Buffer<ChannelParams>& channels) {
  std::string text = "\"channels\":[";
  for (size_t i = 0; i < channels.size(); ++i) {
    text +=
        (i > 0 ? ",[" : "[") + Number(channels[i].bias) + "," + Number(channels[i].requant) + "]";
  }
  return text + "]";
}

// What the output must contain, in this order.
std::vector<std::string> ExpectedFragments(const ModelData& model) {
  const Graph& graph = model.graph;
  std::vector<std::string> fragments;
  for (const Tensor& tensor : graph.tensors) {
    fragments.push_back("\"name\":\"" + tensor.name + "\"");
    if (tensor.type != ElementType::kF32) fragments.push_back("\"scale\":" + Number(tensor.scale));
    if (tensor.type == ElementType::kU8) {
      fragments.push_back("\"zero_point\":" + Number(tensor.zero_point));
    }
  }
  for (const Node& node : graph.nodes) {
    fragments.push_back(std::string("\"op\":\"") + OpKindName(node.kind) + "\"");
    fragments.push_back(List("inputs", node.inputs));
  }
  for (uint32_t i = 0; i < graph.weights.size(); ++i) {
    const Weights& weights = graph.weights[i];
    if (weights.is_float()) {
      fragments.push_back(List("values", weights.values));
      fragments.push_back(List("bias", weights.bias));
      continue;
    }
    fragments.push_back(ChannelList(weights.channels));
    fragments.push_back(List("block_bits", weights.block_bits));
    for (const Node& node : graph.nodes) {
      if (node.weights != i) continue;
      const CodeLayout layout = MakeCodeLayout(graph, node);
      fragments.push_back(List("levels", DecodeLevels(layout, weights).value()));
    }
  }
  fragments.push_back(List("mean", model.preprocessing.mean));
  fragments.push_back(List("std", model.preprocessing.std));
  if (!graph.is_float()) fragments.push_back(List("input_codes", model.preprocessing.input_codes));
  fragments.push_back("\"" + model.labels.back() + "\"]");
  return fragments;
}

TEST_CASE("the independent reader in Python agrees") {
  if (std::string(MPQ_PYTHON).empty()) {
    MESSAGE("skipped: no python3");
    return;
  }
  const std::string path =
      (std::filesystem::temp_directory_path() / ("mpq-python-" + std::to_string(std::rand())))
          .string();
  for (const NamedModel& sample : GoldenModels()) {
    CAPTURE(sample.name);
    REQUIRE(WriteModel(sample.model, path).ok());
    const ProgramOutput output = RunReader("--levels " + path);
    CHECK(output.status == 0);
    size_t position = 0;
    for (const std::string& fragment : ExpectedFragments(sample.model)) {
      CAPTURE(fragment.substr(0, 200));
      const size_t found = output.text.find(fragment, position);
      REQUIRE(found != std::string::npos);
      position = found + fragment.size();
    }
  }
  // A changed byte is noticed: its checksums are real.
  REQUIRE(WriteModel(AllOperatorsModel(false), path).ok());
  FILE* file = std::fopen(path.c_str(), "r+b");
  REQUIRE(file != nullptr);
  std::fseek(file, 320, SEEK_SET);
  std::fputc(0xee, file);
  std::fclose(file);
  CHECK(RunReader(path + " 2>/dev/null").status != 0);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace mpq
