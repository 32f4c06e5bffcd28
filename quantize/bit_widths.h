// How many bits the user wants for the weights of each layer.
#ifndef MPQ_QUANTIZE_BIT_WIDTHS_H_
#define MPQ_QUANTIZE_BIT_WIDTHS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/graph.h"
#include "mpq/status.h"

namespace mpq {

// Layers whose name contains a match of `pattern` (an ECMAScript regular expression), or the one
// whose whole name it is.
struct LayerBits {
  std::string pattern;
  int bits = 8;
  bool whole_name = false;

  // "REGEX=BITS"; the last '=' counts.
  static Result<LayerBits> Parse(std::string_view text);
};

// The first layer is the convolution that reads the input, the last one makes the logits. Later
// rules win: `weights`, then first and last, then `layers` in order.
struct BitWidths {
  int weights = 8;
  int first = 0;  // 0: as `weights`
  int last = 0;
  std::vector<LayerBits> layers;
};

// The same, but for what is said of single layers, with `bits` for weights.
BitWidths WithWeights(BitWidths widths, int bits);

// Bits per node (0 for nodes without weights). Fails on widths outside 1..8, on patterns that are
// no regular expressions or match no layer.
Result<std::vector<uint8_t>> ResolveBitWidths(const Graph& graph, const BitWidths& widths);

// The same widths with `layers` spelled out: one rule for each layer that differs from what
// `weights`, `first` and `last` say, by its whole name. Rules that mean the same become the same.
// `weights_are_chosen`: `weights` stands for widths that are yet to be chosen (a target size), so
// each layer that a rule names differs from it.
Result<BitWidths> NameLayers(const Graph& graph, const BitWidths& widths,
                             bool weights_are_chosen = false);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_BIT_WIDTHS_H_
