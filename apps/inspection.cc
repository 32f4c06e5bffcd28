#include "apps/inspection.h"

#include <utility>

#include "engine/core/file_map.h"
#include "format/bit_operations.h"
#include "format/code_layout.h"
#include "format/message.h"
#include "format/model_data.h"
#include "format/node_fields.h"
#include "format/section_table.h"
#include "mpq/session.h"

namespace mpq {
namespace {

constexpr uint32_t kFloatBits = 32;

std::string Pair(uint32_t a, uint32_t b) { return a == b ? std::to_string(a) : Message(a, "x", b); }

std::string Attributes(const Node& node) {
  if (node.kind == OpKind::kGlobalAvgPool || node.kind == OpKind::kAdd ||
      node.kind == OpKind::kConcat || node.kind == OpKind::kClip) {
    return "";
  }
  const Window& w = node.window;
  std::string text = Message(w.kernel_h, "x", w.kernel_w);
  if (w.stride_h != 1 || w.stride_w != 1) text += " stride " + Pair(w.stride_h, w.stride_w);
  if (w.dilation_h != 1 || w.dilation_w != 1) {
    text += " dilation " + Pair(w.dilation_h, w.dilation_w);
  }
  if (w.pad_top == w.pad_left && w.pad_top == w.pad_bottom && w.pad_top == w.pad_right) {
    if (w.pad_top != 0) text += Message(" pad ", w.pad_top);
  } else {
    text += Message(" pad ", w.pad_top, ",", w.pad_left, ",", w.pad_bottom, ",", w.pad_right);
  }
  if (node.kind == OpKind::kConv && node.groups != 1) text += Message(" groups ", node.groups);
  return text;
}

std::map<uint32_t, uint32_t> ChannelsByBits(const Graph& graph, const Node& node) {
  const Weights& weights = graph.weights[node.weights];
  if (weights.is_float()) return {{kFloatBits, weights.out_channels}};
  const CodeLayout layout = MakeCodeLayout(graph, node);
  std::map<uint32_t, uint32_t> channels;
  for (uint32_t block = 0; block < layout.blocks(); ++block) {
    channels[weights.block_bits[block]] += layout.BlockChannels(block);
  }
  return channels;
}

void AddWeightFacts(const Graph& graph, const Node& node, LayerFacts& layer) {
  const Weights& weights = graph.weights[node.weights];
  const uint64_t products = uint64_t{weights.kernel_h} * weights.kernel_w * weights.in_channels;
  layer.weights = weights.out_channels * products;
  layer.channels_by_bits = ChannelsByBits(graph, node);
  layer.level_set = weights.is_float() ? "float32" : LevelSetKindName(weights.level_set);
  layer.code_bytes = weights.is_float() ? 4 * weights.values.size() : weights.codes.size();
  layer.side_bytes = 4 * weights.bias.size() + sizeof(ChannelParams) * weights.channels.size() +
                     weights.block_bits.size() + weights.block_shapes.size() +
                     weights.tables.size();
  layer.macs = NodeMacs(graph, node, layer.output);
  const double activation_bits =
      weights.is_float() ? kFloatBits : double{1} * graph.tensors[node.inputs[0]].bits;
  const double macs_per_channel = static_cast<double>(layer.macs) / weights.out_channels;
  for (const auto& [bits, channels] : layer.channels_by_bits) {
    layer.bops += BitOperations(channels * macs_per_channel, products, bits, activation_bits);
  }
}

void AddToTotal(const LayerFacts& layer, ModelFacts& facts) {
  LayerFacts& total = facts.total;
  total.weights += layer.weights;
  total.code_bytes += layer.code_bytes;
  total.side_bytes += layer.side_bytes;
  total.macs += layer.macs;
  total.bops += layer.bops;
  uint64_t channels_in_all = 0;
  for (const auto& [bits, channels] : layer.channels_by_bits) {
    total.channels_by_bits[bits] += channels;
    channels_in_all += channels;
  }
  for (const auto& [bits, channels] : layer.channels_by_bits) {
    facts.nominal_bits += layer.weights / channels_in_all * channels * bits;
  }
}

Status AddSections(const std::string& path, ModelFacts& facts) {
  MPQ_ASSIGN_OR_RETURN(const FileMap map, FileMap::Open(path));
  facts.file_bytes = map.bytes().size();
  MPQ_ASSIGN_OR_RETURN(const std::vector<Section> sections, ReadSections(map.bytes()));
  for (const Section& section : sections) {
    facts.sections.push_back({SectionName(section.id), section.offset, section.bytes.size(),
                              section.checksum, section.required});
  }
  return Status();
}

// How often two arrays differ; those of another length differ everywhere.
template <typename T, typename Equal>
size_t CountDifferences(std::span<const T> a, std::span<const T> b, Equal equal) {
  if (a.size() != b.size()) return std::max(a.size(), b.size());
  size_t count = 0;
  for (size_t i = 0; i < a.size(); ++i) count += !equal(a[i], b[i]);
  return count;
}

std::string Describe(const std::map<uint32_t, uint32_t>& channels_by_bits) {
  std::string text;
  for (const auto& [bits, channels] : channels_by_bits) {
    text += Message(text.empty() ? "" : " ", bits, ":", channels);
  }
  return text;
}

class Diff {
 public:
  Diff(const ModelData& a, const ModelData& b) : a_(a), b_(b) {}

  std::vector<std::string> Lines() {
    ComparePreprocessing();
    if (a_.labels != b_.labels) Add("labels differ");
    if (a_.provenance != b_.provenance) CompareProvenance();
    CompareTensors();
    CompareNodes();
    return std::move(lines_);
  }

 private:
  template <typename... Parts>
  void Add(const Parts&... parts) {
    lines_.push_back(Message(parts...));
  }
  template <typename T>
  void Compare(const std::string& what, const T& a, const T& b) {
    if (a != b) Add(what, ": ", a, " / ", b);
  }

  void ComparePreprocessing() {
    const Preprocessing &a = a_.preprocessing, &b = b_.preprocessing;
    Compare("preprocessing: short side", a.resize_short_side, b.resize_short_side);
    Compare("preprocessing: crop height", a.crop_height, b.crop_height);
    Compare("preprocessing: crop width", a.crop_width, b.crop_width);
    Compare("preprocessing: interpolation", static_cast<int>(a.interpolation),
            static_cast<int>(b.interpolation));
    if (a.bgr != b.bgr) Add("preprocessing: channel order differs");
    if (a.mean != b.mean || a.std != b.std) Add("preprocessing: normalisation differs");
    if (a.input_codes != b.input_codes) Add("preprocessing: input codes differ");
  }

  void CompareProvenance() {
    const std::map<std::string, std::string> a(a_.provenance.begin(), a_.provenance.end());
    const std::map<std::string, std::string> b(b_.provenance.begin(), b_.provenance.end());
    for (const auto& [key, value] : a) {
      const auto other = b.find(key);
      Compare("provenance: " + key, value, other == b.end() ? "(none)" : other->second);
    }
    for (const auto& [key, value] : b) {
      if (!a.contains(key)) Add("provenance: ", key, ": (none) / ", value);
    }
  }

  void CompareTensors() {
    const auto &a = a_.graph.tensors, &b = b_.graph.tensors;
    Compare("number of tensors", a.size(), b.size());
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      const std::string what = Message("tensor ", i, " '", a[i].name, "'");
      Compare(what + ": name", a[i].name, b[i].name);
      Compare(what + ": type", static_cast<int>(a[i].type), static_cast<int>(b[i].type));
      Compare(what + ": channels", a[i].channels, b[i].channels);
      Compare(what + ": scale", a[i].scale, b[i].scale);
      Compare(what + ": zero point", a[i].zero_point, b[i].zero_point);
      Compare(what + ": bits", int{a[i].bits}, int{b[i].bits});
    }
  }

  void CompareNodes() {
    const auto &a = a_.graph.nodes, &b = b_.graph.nodes;
    Compare("number of nodes", a.size(), b.size());
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
      const std::string what = Message("node ", i, " '", a[i].name, "'");
      Compare(what + ": name", a[i].name, b[i].name);
      Compare<std::string>(what + ": operator", OperatorName(a[i]), OperatorName(b[i]));
      Compare(what + ": attributes", Attributes(a[i]), Attributes(b[i]));
      if (a[i].inputs != b[i].inputs || a[i].output != b[i].output) Add(what, ": wiring differs");
      if (a[i].clip_lo != b[i].clip_lo || a[i].clip_hi != b[i].clip_hi ||
          a[i].code_lo != b[i].code_lo || a[i].code_hi != b[i].code_hi) {
        Add(what, ": activation differs");
      }
      if (a[i].multiplier[0] != b[i].multiplier[0] || a[i].multiplier[1] != b[i].multiplier[1] ||
          a[i].shift != b[i].shift) {
        Add(what, ": requantisation differs");
      }
      if (a[i].weights != kNone && b[i].weights != kNone) CompareWeights(what, a[i], b[i]);
    }
  }

  void CompareWeights(const std::string& what, const Node& node_a, const Node& node_b) {
    const Weights& a = a_.graph.weights[node_a.weights];
    const Weights& b = b_.graph.weights[node_b.weights];
    Compare(what + ": channels by bits", Describe(ChannelsByBits(a_.graph, node_a)),
            Describe(ChannelsByBits(b_.graph, node_b)));
    if (a.is_float() != b.is_float()) return;
    Compare<std::string>(what + ": level set", LevelSetKindName(a.level_set),
                         LevelSetKindName(b.level_set));
    const auto same = [](auto x, auto y) { return x == y; };
    if (a.is_float()) {
      Count(what, "weights", CountDifferences(a.values.span(), b.values.span(), same));
      Count(what, "biases", CountDifferences(a.bias.span(), b.bias.span(), same));
      return;
    }
    const auto levels_a = DecodeLevels(MakeCodeLayout(a_.graph, node_a), a);
    const auto levels_b = DecodeLevels(MakeCodeLayout(b_.graph, node_b), b);
    if (levels_a.ok() && levels_b.ok()) {
      Count(what, "levels", CountDifferences<int8_t>(*levels_a, *levels_b, same));
    }
    Count(what, "biases",
          CountDifferences(a.channels.span(), b.channels.span(),
                           [](const auto& x, const auto& y) { return x.bias == y.bias; }));
    Count(what, "scales",
          CountDifferences(a.channels.span(), b.channels.span(),
                           [](const auto& x, const auto& y) { return x.requant == y.requant; }));
  }

  void Count(const std::string& what, const char* things, size_t count) {
    if (count != 0) Add(what, ": ", count, " ", things, " differ");
  }

  const ModelData &a_, &b_;
  std::vector<std::string> lines_;
};

}  // namespace

Result<ModelFacts> InspectModel(const Model& model, const std::string& path, uint32_t height,
                                uint32_t width) {
  const Graph& graph = model.data().graph;
  if (height == 0) height = model.input_height();
  if (width == 0) width = model.input_width();
  ModelFacts facts;
  MPQ_RETURN_IF_ERROR(AddSections(path, facts));
  MPQ_ASSIGN_OR_RETURN(const std::vector<Shape> shapes, InferShapes(graph, height, width));
  for (const Node& node : graph.nodes) {
    LayerFacts layer;
    layer.name = node.name;
    layer.kind = OperatorName(node);
    layer.attributes = Attributes(node);
    layer.output = shapes[node.output];
    if (node.weights != kNone) AddWeightFacts(graph, node, layer);
    AddToTotal(layer, facts);
    facts.layers.push_back(std::move(layer));
  }
  SessionOptions options;
  options.height = height;
  options.width = width;
  const Result<Session> session = Session::Create(model, options);
  if (session.ok()) {
    facts.memory = session->memory_plan();
  } else {
    facts.activation_error = session.status().message();
  }
  return facts;
}

std::vector<std::string> DiffModels(const Model& a, const Model& b) {
  return Diff(a.data(), b.data()).Lines();
}

}  // namespace mpq
