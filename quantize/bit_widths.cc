#include "quantize/bit_widths.h"

#include <charconv>
#include <regex>

#include "format/level_set.h"
#include "format/message.h"
#include "quantize/passes/graph_view.h"

namespace mpq {

namespace {

Status CheckBits(std::string_view what, int bits) {
  if (bits >= 1 && bits <= kMaxBits) return Status();
  return Error(ErrorCode::kInvalidArgument, what, ": ", bits, " bits, expected 1..", kMaxBits);
}

Status ApplyPattern(const Graph& graph, const LayerBits& rule, std::vector<uint8_t>& bits) {
  MPQ_RETURN_IF_ERROR(CheckBits("layers '" + rule.pattern + "'", rule.bits));
  uint32_t matches = 0;
  try {
    const std::regex pattern(rule.pattern);
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      if (!IsConvolution(graph.nodes[n])) continue;
      if (!std::regex_search(graph.nodes[n].name, pattern)) continue;
      bits[n] = static_cast<uint8_t>(rule.bits);
      ++matches;
    }
  } catch (const std::regex_error& error) {
    return Error(ErrorCode::kInvalidArgument, "layers '", rule.pattern,
                 "': not a regular expression: ", std::string_view(error.what()));
  }
  if (matches == 0) {
    return Error(ErrorCode::kInvalidArgument, "layers '", rule.pattern,
                 "': no layer's name matches");
  }
  return Status();
}

}  // namespace

Result<LayerBits> LayerBits::Parse(std::string_view text) {
  const size_t equals = text.rfind('=');
  LayerBits rule;
  if (equals != std::string_view::npos && equals > 0) {
    rule.pattern = std::string(text.substr(0, equals));
    const std::string_view number = text.substr(equals + 1);
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), rule.bits);
    if (error == std::errc() && end == number.data() + number.size()) return rule;
  }
  return Error(ErrorCode::kInvalidArgument, "'", text, "': expected REGEX=BITS");
}

Result<std::vector<uint8_t>> ResolveBitWidths(const Graph& graph, const BitWidths& widths) {
  MPQ_RETURN_IF_ERROR(CheckBits("weights", widths.weights));
  if (widths.first != 0) MPQ_RETURN_IF_ERROR(CheckBits("first layer", widths.first));
  if (widths.last != 0) MPQ_RETURN_IF_ERROR(CheckBits("last layer", widths.last));
  std::vector<uint8_t> bits(graph.nodes.size(), 0);
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (!IsConvolution(node)) continue;
    int wanted = widths.weights;
    if (widths.first != 0 && node.inputs[0] == graph.input) wanted = widths.first;
    if (widths.last != 0 && node.output == graph.output) wanted = widths.last;
    bits[n] = static_cast<uint8_t>(wanted);
  }
  for (const LayerBits& rule : widths.layers) {
    MPQ_RETURN_IF_ERROR(ApplyPattern(graph, rule, bits));
  }
  return bits;
}

}  // namespace mpq
