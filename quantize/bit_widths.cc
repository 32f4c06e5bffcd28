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

Result<std::regex> ParsePattern(const std::string& pattern) {
  try {
    return std::regex(pattern);
  } catch (const std::regex_error& error) {
    return Error(ErrorCode::kInvalidArgument, "layers '", pattern,
                 "': not a regular expression: ", std::string_view(error.what()));
  }
}

Status ApplyRule(const Graph& graph, const LayerBits& rule, std::vector<uint8_t>& bits) {
  MPQ_RETURN_IF_ERROR(CheckBits("layers '" + rule.pattern + "'", rule.bits));
  std::regex pattern;
  if (!rule.whole_name) {
    MPQ_ASSIGN_OR_RETURN(pattern, ParsePattern(rule.pattern));
  }
  uint32_t matches = 0;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (!IsConvolution(node)) continue;
    if (rule.whole_name ? node.name != rule.pattern : !std::regex_search(node.name, pattern)) {
      continue;
    }
    bits[n] = static_cast<uint8_t>(rule.bits);
    ++matches;
  }
  if (matches > 0) return Status();
  return Error(ErrorCode::kInvalidArgument, "layers '", rule.pattern,
               rule.whole_name ? "': no layer has this name" : "': no layer's name matches");
}

// Stands for widths that nothing has said yet; no rule can say it.
constexpr int kToBeChosen = 0;

// ResolveBitWidths; `weights` may be kToBeChosen.
Result<std::vector<uint8_t>> Resolve(const Graph& graph, const BitWidths& widths) {
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
    MPQ_RETURN_IF_ERROR(ApplyRule(graph, rule, bits));
  }
  return bits;
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
    if (error == std::errc() && end == number.data() + number.size()) {
      MPQ_RETURN_IF_ERROR(CheckBits(Message("'", text, "'"), rule.bits));
      MPQ_RETURN_IF_ERROR(ParsePattern(rule.pattern).status());
      return rule;
    }
  }
  return Error(ErrorCode::kInvalidArgument, "'", text, "': expected REGEX=BITS");
}

BitWidths WithWeights(BitWidths widths, int bits) {
  widths.weights = bits;
  return widths;
}

Result<std::vector<uint8_t>> ResolveBitWidths(const Graph& graph, const BitWidths& widths) {
  MPQ_RETURN_IF_ERROR(CheckBits("weights", widths.weights));
  return Resolve(graph, widths);
}

Result<BitWidths> NameLayers(const Graph& graph, const BitWidths& widths, bool weights_are_chosen) {
  MPQ_RETURN_IF_ERROR(CheckBits("weights", widths.weights));
  const int weights = weights_are_chosen ? kToBeChosen : widths.weights;
  BitWidths named = widths;
  named.layers.clear();
  MPQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> otherwise,
                       Resolve(graph, WithWeights(named, weights)));
  MPQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> wanted,
                       Resolve(graph, WithWeights(widths, weights)));
  for (size_t n = 0; n < wanted.size(); ++n) {
    if (wanted[n] == otherwise[n]) continue;
    named.layers.push_back({graph.nodes[n].name, wanted[n], /*whole_name=*/true});
  }
  return named;
}

}  // namespace mpq
