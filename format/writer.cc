#include "format/writer.h"

#include <limits>
#include <utility>

#include "format/atomic_file.h"
#include "format/byte_writer.h"
#include "format/code_layout.h"
#include "format/message.h"
#include "format/node_fields.h"
#include "format/section_table.h"
#include "format/validate.h"
#include "format/wire.h"

namespace mpq {

namespace {

using wire::SectionId;

void WriteTensor(ByteWriter& out, const Tensor& tensor) {
  out.Text(tensor.name);
  out.U8(static_cast<uint8_t>(tensor.type));
  out.Varint(tensor.height);
  out.Varint(tensor.width);
  out.Varint(tensor.channels);
  if (tensor.type != ElementType::kF32) out.F32(tensor.scale);
  if (tensor.type == ElementType::kU8) {
    out.U8(static_cast<uint8_t>(tensor.zero_point));
    out.U8(tensor.bits);
  }
}

void WriteWindow(ByteWriter& out, const Window& window) {
  out.Varint(window.kernel_h);
  out.Varint(window.kernel_w);
  out.Varint(window.stride_h);
  out.Varint(window.stride_w);
  out.Varint(window.dilation_h);
  out.Varint(window.dilation_w);
  out.Varint(window.pad_top);
  out.Varint(window.pad_left);
  out.Varint(window.pad_bottom);
  out.Varint(window.pad_right);
}

uint8_t NodeFlags(const Node& node) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  uint8_t flags = 0;
  if (HasWindow(node.kind) && node.window.ceil_mode) flags |= wire::kNodeCeilMode;
  if (node.kind == OpKind::kAvgPool && node.count_include_pad) {
    flags |= wire::kNodeCountIncludePad;
  }
  if (node.clip_lo != -kInfinity || node.clip_hi != kInfinity) flags |= wire::kNodeClipped;
  return flags;
}

void WriteNode(ByteWriter& out, const Node& node, bool is_float) {
  const uint8_t flags = NodeFlags(node);
  out.U8(static_cast<uint8_t>(node.kind));
  out.U8(flags);
  out.Text(node.name);
  out.Varint(static_cast<uint32_t>(node.inputs.size()));
  for (const uint32_t input : node.inputs) out.Varint(input);
  out.Varint(node.output);
  if (HasWindow(node.kind)) WriteWindow(out, node.window);
  if (HasWeights(node.kind)) {
    out.Varint(node.groups);
    out.Varint(node.weights);
  }
  if (node.kind == OpKind::kSlicePad) {
    out.Varint(node.channels_before);
    out.Varint(node.channels_after);
  }
  if ((flags & wire::kNodeClipped) != 0) {
    out.F32(node.clip_lo);
    out.F32(node.clip_hi);
  }
  if (is_float) return;
  if (HasCodeLow(node.kind)) out.U8(node.code_lo);
  if (HasCodeHigh(node.kind)) out.U8(node.code_hi);
  const size_t num_multipliers = NumMultipliers(node);
  for (size_t i = 0; i < num_multipliers; ++i) out.S32(node.multiplier[i]);
  if (HasShift(node.kind)) out.U8(node.shift);
}

void WriteWeightsRecord(ByteWriter& out, const Weights& weights, bool is_float) {
  out.Varint(weights.out_channels);
  out.Varint(weights.kernel_h);
  out.Varint(weights.kernel_w);
  out.Varint(weights.in_channels);
  if (is_float) return;
  out.U8(static_cast<uint8_t>(weights.level_set));
  out.Varint(static_cast<uint32_t>(weights.block_bits.size()));
  out.Varint(static_cast<uint32_t>(weights.codes.size()));
}

std::vector<uint8_t> GraphSection(const Graph& graph) {
  const bool is_float = graph.is_float();
  ByteWriter out;
  out.Varint(static_cast<uint32_t>(graph.tensors.size()));
  out.Varint(static_cast<uint32_t>(graph.nodes.size()));
  out.Varint(static_cast<uint32_t>(graph.weights.size()));
  out.Varint(graph.input);
  out.Varint(graph.output);
  out.U8(is_float ? 1 : 0);
  for (const Tensor& tensor : graph.tensors) WriteTensor(out, tensor);
  for (const Node& node : graph.nodes) WriteNode(out, node, is_float);
  for (const Weights& weights : graph.weights) WriteWeightsRecord(out, weights, is_float);
  return out.Take();
}

std::vector<uint8_t> ChannelsSection(const Graph& graph) {
  ByteWriter out;
  for (const Weights& weights : graph.weights) {
    for (const ChannelParams& params : weights.channels) {
      out.S32(params.bias);
      out.U32(params.requant);
    }
    out.Bytes(weights.block_bits.span());
    out.Bytes(weights.block_shapes.span());
    out.Bytes(weights.tables.span());
  }
  return out.Take();
}

std::vector<uint8_t> CodesSection(const Graph& graph) {
  ByteWriter out;
  for (const Weights& weights : graph.weights) {
    out.Align(kStreamAlignment);
    out.Bytes(weights.codes.span());
  }
  return out.Take();
}

std::vector<uint8_t> FloatsSection(const Graph& graph) {
  ByteWriter out;
  for (const Weights& weights : graph.weights) {
    out.Align(kStreamAlignment);
    for (const float x : weights.values) out.F32(x);
    out.Align(kStreamAlignment);
    for (const float x : weights.bias) out.F32(x);
  }
  return out.Take();
}

std::vector<uint8_t> PreprocessingSection(const Preprocessing& preprocessing) {
  ByteWriter out;
  out.U32(preprocessing.resize_short_side);
  out.U32(preprocessing.crop_height);
  out.U32(preprocessing.crop_width);
  out.U8(static_cast<uint8_t>(preprocessing.interpolation));
  out.U8(preprocessing.bgr ? 1 : 0);
  for (const float mean : preprocessing.mean) out.F32(mean);
  for (const float std : preprocessing.std) out.F32(std);
  out.Bytes(std::span(preprocessing.input_codes));
  return out.Take();
}

std::vector<uint8_t> LabelsSection(const std::vector<std::string>& labels) {
  ByteWriter out;
  out.Varint(static_cast<uint32_t>(labels.size()));
  for (const std::string& label : labels) out.Text(label);
  return out.Take();
}

std::vector<uint8_t> ProvenanceSection(const Provenance& provenance) {
  ByteWriter out;
  out.Varint(static_cast<uint32_t>(provenance.size()));
  for (const auto& [key, value] : provenance) {
    out.Text(key);
    out.Text(value);
  }
  return out.Take();
}

}  // namespace

std::vector<uint8_t> SerializeUnchecked(const ModelData& model) {
  std::vector<std::pair<SectionId, std::vector<uint8_t>>> contents;
  contents.emplace_back(SectionId::kGraph, GraphSection(model.graph));
  if (model.graph.is_float()) {
    contents.emplace_back(SectionId::kFloats, FloatsSection(model.graph));
  } else {
    contents.emplace_back(SectionId::kChannels, ChannelsSection(model.graph));
    contents.emplace_back(SectionId::kCodes, CodesSection(model.graph));
  }
  contents.emplace_back(SectionId::kPreprocessing, PreprocessingSection(model.preprocessing));
  if (!model.labels.empty()) contents.emplace_back(SectionId::kLabels, LabelsSection(model.labels));
  if (!model.provenance.empty()) {
    contents.emplace_back(SectionId::kProvenance, ProvenanceSection(model.provenance));
  }

  std::vector<Section> sections;
  for (const auto& [id, bytes] : contents) {
    Section section;
    section.id = static_cast<uint32_t>(id);
    section.required = IsRequiredSection(id);
    section.bytes = bytes;
    sections.push_back(section);
  }
  return AssembleSections(sections);
}

Result<std::vector<uint8_t>> SerializeModel(const ModelData& model) {
  MPQ_RETURN_IF_ERROR(Validate(model));
  std::vector<uint8_t> file = SerializeUnchecked(model);
  if (file.size() > wire::kMaxFileBytes) {
    return Error(ErrorCode::kLimitExceeded, "the file would have ", file.size(),
                 " bytes, the limit is ", wire::kMaxFileBytes);
  }
  return file;
}

Status WriteModel(const ModelData& model, const std::string& path) {
  MPQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> file, SerializeModel(model));
  return WriteFileAtomically(path, file);
}

}  // namespace mpq
