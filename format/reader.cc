#include "format/reader.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <new>
#include <utility>

#include "format/byte_reader.h"
#include "format/code_layout.h"
#include "format/message.h"
#include "format/node_fields.h"
#include "format/section_table.h"
#include "format/validate.h"
#include "format/wire.h"

namespace mpq {

namespace {

using wire::SectionId;

static_assert(std::endian::native == std::endian::little, "float streams are used in place");

// The least bytes that a record takes, to bound counts by what is left.
constexpr size_t kMinTensorBytes = 5;
constexpr size_t kMinNodeBytes = 5;
constexpr size_t kMinWeightsBytes = 4;

// --- The graph section: records. ---

Tensor ReadTensor(ByteReader& in) {
  Tensor tensor;
  tensor.name = in.Text("name of a tensor", wire::kMaxNameBytes);
  const uint8_t type = in.U8("element type");
  if (type > static_cast<uint8_t>(ElementType::kS16)) {
    in.Fail(ErrorCode::kCorrupt, Message("unknown element type ", type));
  }
  tensor.type = static_cast<ElementType>(type);
  tensor.height = in.Varint("height", wire::kMaxSide);
  tensor.width = in.Varint("width", wire::kMaxSide);
  tensor.channels = in.Varint("number of channels", wire::kMaxChannels);
  if (tensor.type != ElementType::kF32) tensor.scale = in.F32("scale");
  if (tensor.type == ElementType::kU8) {
    tensor.zero_point = in.U8("zero point");
    tensor.bits = in.U8("bits of a tensor");
  }
  return tensor;
}

Window ReadWindow(ByteReader& in, bool ceil_mode) {
  Window window;
  window.kernel_h = in.Varint("kernel height", wire::kMaxKernel);
  window.kernel_w = in.Varint("kernel width", wire::kMaxKernel);
  window.stride_h = in.Varint("vertical stride", wire::kMaxKernel);
  window.stride_w = in.Varint("horizontal stride", wire::kMaxKernel);
  window.dilation_h = in.Varint("vertical dilation", wire::kMaxKernel);
  window.dilation_w = in.Varint("horizontal dilation", wire::kMaxKernel);
  window.pad_top = in.Varint("top padding", wire::kMaxPad);
  window.pad_left = in.Varint("left padding", wire::kMaxPad);
  window.pad_bottom = in.Varint("bottom padding", wire::kMaxPad);
  window.pad_right = in.Varint("right padding", wire::kMaxPad);
  window.ceil_mode = ceil_mode;
  return window;
}

OpKind ReadOpKind(ByteReader& in) {
  const uint8_t kind = in.U8("operator");
  if (kind > static_cast<uint8_t>(OpKind::kSlicePad)) {
    in.Fail(ErrorCode::kCorrupt, Message("unknown operator ", kind));
    return OpKind::kConv;
  }
  return static_cast<OpKind>(kind);
}

uint8_t ReadNodeFlags(ByteReader& in, OpKind kind) {
  uint8_t known = wire::kNodeClipped;
  if (HasWindow(kind)) known |= wire::kNodeCeilMode;
  if (kind == OpKind::kAvgPool) known |= wire::kNodeCountIncludePad;
  const uint8_t flags = in.U8("node flags");
  if ((flags & ~known) != 0) {
    in.Fail(ErrorCode::kCorrupt,
            Message("node flags ", flags, " mean nothing for ", OpKindName(kind)));
  }
  return flags;
}

void ReadClip(ByteReader& in, Node& node) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  node.clip_lo = in.F32("lower clip bound");
  node.clip_hi = in.F32("upper clip bound");
  if (in.ok() && node.clip_lo == -kInfinity && node.clip_hi == kInfinity) {
    in.Fail(ErrorCode::kCorrupt, Message("node '", node.name, "' clips at nothing"));
  }
}

void ReadCodeFields(ByteReader& in, Node& node) {
  if (HasCodeLow(node.kind)) node.code_lo = in.U8("lowest code");
  if (HasCodeHigh(node.kind)) node.code_hi = in.U8("highest code");
  const size_t num_multipliers = NumMultipliers(node);
  for (size_t i = 0; i < num_multipliers; ++i) node.multiplier[i] = in.S32("multiplier");
  if (HasShift(node.kind)) node.shift = in.U8("shift");
}

Node ReadNode(ByteReader& in, bool is_float) {
  Node node;
  node.kind = ReadOpKind(in);
  const uint8_t flags = ReadNodeFlags(in, node.kind);
  node.count_include_pad = (flags & wire::kNodeCountIncludePad) != 0;
  node.name = in.Text("name of a node", wire::kMaxNameBytes);
  node.inputs.resize(in.Count("number of inputs", wire::kMaxInputs, 1));
  for (uint32_t& input : node.inputs) input = in.Varint("input tensor");
  node.output = in.Varint("output tensor");
  if (HasWindow(node.kind)) node.window = ReadWindow(in, (flags & wire::kNodeCeilMode) != 0);
  if (HasWeights(node.kind)) {
    node.groups = in.Varint("number of groups", wire::kMaxChannels);
    node.weights = in.Varint("weights of a node");
  }
  if (node.kind == OpKind::kSlicePad) {
    node.channels_before = in.Varint("channels before", wire::kMaxChannels);
    node.channels_after = in.Varint("channels after", wire::kMaxChannels);
  }
  if ((flags & wire::kNodeClipped) != 0) ReadClip(in, node);
  if (!is_float) ReadCodeFields(in, node);
  return node;
}

// The sizes of a layer's arrays in the other sections.
struct ArraySizes {
  uint32_t blocks = 0;
  uint32_t code_bytes = 0;
};

Weights ReadWeightsRecord(ByteReader& in, bool is_float, ArraySizes& sizes) {
  Weights weights;
  weights.out_channels = in.Varint("number of output channels", wire::kMaxChannels);
  weights.kernel_h = in.Varint("kernel height", wire::kMaxKernel);
  weights.kernel_w = in.Varint("kernel width", wire::kMaxKernel);
  weights.in_channels = in.Varint("number of input channels", wire::kMaxChannels);
  if (is_float) return weights;
  const uint8_t kind = in.U8("kind of level set");
  if (kind > static_cast<uint8_t>(LevelSetKind::kTable)) {
    in.Fail(ErrorCode::kCorrupt, Message("unknown kind of level set ", kind));
  }
  weights.level_set = static_cast<LevelSetKind>(kind);
  sizes.blocks = in.Varint("number of blocks", wire::kMaxChannels);
  sizes.code_bytes = in.Varint("bytes of a code stream");
  return weights;
}

Status ReadGraph(ByteReader in, Graph& graph, bool& is_float, std::vector<ArraySizes>& sizes) {
  const uint32_t num_tensors = in.Count("number of tensors", wire::kMaxTensors, kMinTensorBytes);
  const uint32_t num_nodes = in.Count("number of nodes", wire::kMaxNodes, kMinNodeBytes);
  const uint32_t num_weights = in.Count("number of weights", wire::kMaxWeights, kMinWeightsBytes);
  graph.input = in.Varint("input of the graph");
  graph.output = in.Varint("output of the graph");
  const uint8_t kind = in.U8("kind of graph");
  if (kind > 1) in.Fail(ErrorCode::kCorrupt, Message("unknown kind of graph ", kind));
  is_float = kind == 1;
  for (uint32_t i = 0; i < num_tensors && in.ok(); ++i) graph.tensors.push_back(ReadTensor(in));
  for (uint32_t i = 0; i < num_nodes && in.ok(); ++i) graph.nodes.push_back(ReadNode(in, is_float));
  sizes.resize(num_weights);
  for (uint32_t i = 0; i < num_weights && in.ok(); ++i) {
    graph.weights.push_back(ReadWeightsRecord(in, is_float, sizes[i]));
  }
  in.End();
  if (in.ok() && graph.is_float() != is_float) {
    in.Fail(ErrorCode::kCorrupt, "the kind of the graph contradicts the type of its input");
  }
  return in.status();
}

// --- The arrays of the layers. ---

std::vector<ChannelParams> ReadChannelParams(ByteReader& in, uint32_t count) {
  if (in.left() / sizeof(ChannelParams) < count) {
    in.Fail(ErrorCode::kCorrupt,
            Message("parameters of ", count, " channels, but only ", in.left(), " bytes are left"));
    return {};
  }
  std::vector<ChannelParams> channels(count);
  for (ChannelParams& params : channels) {
    params.bias = in.S32("bias");
    params.requant = in.U32("requantisation word");
  }
  return channels;
}

template <typename T>
std::vector<T> Copy(std::span<const uint8_t> bytes) {
  return std::vector<T>(bytes.begin(), bytes.end());
}

// Levels of all tables: 2^bits for each width that occurs.
size_t TableLevelCount(std::span<const uint8_t> block_bits) {
  std::array<bool, kMaxTableBits + 1> occurs{};
  for (const uint8_t bits : block_bits) {
    if (bits <= kMaxTableBits) occurs[bits] = true;
  }
  size_t count = 0;
  for (int bits = 1; bits <= kMaxTableBits; ++bits) {
    if (occurs[bits]) count += size_t{1} << bits;
  }
  return count;
}

Status ReadChannels(ByteReader in, Graph& graph, std::span<const ArraySizes> sizes) {
  for (size_t i = 0; i < graph.weights.size() && in.ok(); ++i) {
    Weights& weights = graph.weights[i];
    weights.channels = ReadChannelParams(in, weights.out_channels);
    weights.block_bits = Copy<uint8_t>(in.Bytes("bits of the blocks", sizes[i].blocks));
    if (weights.level_set == LevelSetKind::kTwoRegion) {
      weights.block_shapes = Copy<uint8_t>(in.Bytes("shapes of the blocks", sizes[i].blocks));
    }
    if (weights.level_set == LevelSetKind::kTable) {
      const size_t count = TableLevelCount(weights.block_bits.span());
      weights.tables = Copy<int8_t>(in.Bytes("level tables", count));
    }
  }
  in.End();
  return in.status();
}

Status ReadCodes(ByteReader in, Graph& graph, std::span<const ArraySizes> sizes) {
  for (size_t i = 0; i < graph.weights.size(); ++i) {
    in.Align(kStreamAlignment);
    graph.weights[i].codes = Buffer<uint8_t>::Borrow(in.Bytes("code stream", sizes[i].code_bytes));
  }
  in.End();
  return in.status();
}

Buffer<float> BorrowFloats(ByteReader& in, const char* what, uint64_t count) {
  in.Align(kStreamAlignment);
  const auto bytes = in.Bytes(what, count * sizeof(float));
  // The file is aligned and the machine little endian, see above.
  return Buffer<float>::Borrow(
      {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)});
}

Status ReadFloats(ByteReader in, Graph& graph) {
  for (Weights& weights : graph.weights) {
    // Within the limits of the fields the product stays below 2^52.
    const uint64_t count =
        uint64_t{weights.out_channels} * weights.kernel_h * weights.kernel_w * weights.in_channels;
    weights.values = BorrowFloats(in, "float weights", count);
    weights.bias = BorrowFloats(in, "float bias", weights.out_channels);
  }
  in.End();
  return in.status();
}

// --- The small sections. ---

Status ReadPreprocessing(ByteReader in, bool is_float, Preprocessing& preprocessing) {
  preprocessing.resize_short_side = in.U32("resize");
  preprocessing.crop_height = in.U32("crop height");
  preprocessing.crop_width = in.U32("crop width");
  const uint8_t interpolation = in.U8("interpolation");
  if (interpolation > static_cast<uint8_t>(Interpolation::kBicubic)) {
    in.Fail(ErrorCode::kCorrupt, Message("unknown interpolation ", interpolation));
  }
  preprocessing.interpolation = static_cast<Interpolation>(interpolation);
  const uint8_t order = in.U8("channel order");
  if (order > 1) in.Fail(ErrorCode::kCorrupt, Message("unknown channel order ", order));
  preprocessing.bgr = order == 1;
  for (float& mean : preprocessing.mean) mean = in.F32("mean");
  for (float& std : preprocessing.std) std = in.F32("standard deviation");
  if (!is_float)
    preprocessing.input_codes = Copy<uint8_t>(in.Bytes("input codes", size_t{3} * 256));
  in.End();
  return in.status();
}

Status ReadLabels(ByteReader in, std::vector<std::string>& labels) {
  const uint32_t count = in.Count("number of labels", wire::kMaxChannels, 1);
  if (in.ok() && count == 0) in.Fail(ErrorCode::kCorrupt, "the section is there, but empty");
  for (uint32_t i = 0; i < count && in.ok(); ++i) {
    labels.push_back(in.Text("label", wire::kMaxLabelBytes));
  }
  in.End();
  return in.status();
}

Status ReadProvenance(ByteReader in, Provenance& provenance) {
  const uint32_t count = in.Count("number of entries", wire::kMaxProvenanceEntries, 2);
  if (in.ok() && count == 0) in.Fail(ErrorCode::kCorrupt, "the section is there, but empty");
  for (uint32_t i = 0; i < count && in.ok(); ++i) {
    std::string key = in.Text("key", wire::kMaxNameBytes);
    std::string value = in.Text("value", wire::kMaxProvenanceBytes);
    provenance.emplace_back(std::move(key), std::move(value));
  }
  in.End();
  return in.status();
}

// --- The whole file. ---

// Finds known sections and refuses what must not be ignored.
class SectionIndex {
 public:
  static Result<SectionIndex> Make(std::vector<Section> sections) {
    for (const Section& section : sections) {
      const bool known = section.id >= static_cast<uint32_t>(SectionId::kGraph) &&
                         section.id <= static_cast<uint32_t>(SectionId::kProvenance);
      if (!known && section.required) {
        return Error(ErrorCode::kUnsupported, "section ", section.id,
                     " is required and unknown to this program");
      }
      if (known && section.required != IsRequiredSection(static_cast<SectionId>(section.id))) {
        return Error(ErrorCode::kCorrupt, "section ", section.id, " (", SectionName(section.id),
                     ") has the wrong flags");
      }
    }
    SectionIndex index;
    index.sections_ = std::move(sections);
    return index;
  }

  bool Has(SectionId id) const { return Find(id) != nullptr; }

  Result<ByteReader> Open(SectionId id) const {
    const Section* section = Find(id);
    const char* name = SectionName(static_cast<uint32_t>(id));
    if (section == nullptr) {
      return Error(ErrorCode::kCorrupt, "section '", name, "' is missing");
    }
    return ByteReader(section->bytes, name, section->offset);
  }

 private:
  const Section* Find(SectionId id) const {
    const auto it = std::find_if(sections_.begin(), sections_.end(), [&](const Section& section) {
      return section.id == static_cast<uint32_t>(id);
    });
    return it == sections_.end() ? nullptr : &*it;
  }

  std::vector<Section> sections_;
};

Status ReadArrays(const SectionIndex& index, bool is_float, std::span<const ArraySizes> sizes,
                  Graph& graph) {
  // A model is float or integer; what belongs to the other kind would be dead weight.
  for (const SectionId id : {SectionId::kChannels, SectionId::kCodes, SectionId::kFloats}) {
    if (index.Has(id) && (id == SectionId::kFloats) != is_float) {
      return Error(ErrorCode::kCorrupt, is_float ? "a float" : "an integer",
                   " model has a section '", SectionName(static_cast<uint32_t>(id)), "'");
    }
  }
  if (is_float) {
    MPQ_ASSIGN_OR_RETURN(const ByteReader floats, index.Open(SectionId::kFloats));
    return ReadFloats(floats, graph);
  }
  MPQ_ASSIGN_OR_RETURN(const ByteReader channels, index.Open(SectionId::kChannels));
  MPQ_RETURN_IF_ERROR(ReadChannels(channels, graph, sizes));
  MPQ_ASSIGN_OR_RETURN(const ByteReader codes, index.Open(SectionId::kCodes));
  return ReadCodes(codes, graph, sizes);
}

Result<ModelData> ReadSectionContents(const SectionIndex& index) {
  ModelData model;
  bool is_float = false;
  std::vector<ArraySizes> sizes;
  MPQ_ASSIGN_OR_RETURN(const ByteReader graph, index.Open(SectionId::kGraph));
  MPQ_RETURN_IF_ERROR(ReadGraph(graph, model.graph, is_float, sizes));
  MPQ_RETURN_IF_ERROR(ReadArrays(index, is_float, sizes, model.graph));
  MPQ_ASSIGN_OR_RETURN(const ByteReader preprocessing, index.Open(SectionId::kPreprocessing));
  MPQ_RETURN_IF_ERROR(ReadPreprocessing(preprocessing, is_float, model.preprocessing));
  if (index.Has(SectionId::kLabels)) {
    MPQ_ASSIGN_OR_RETURN(const ByteReader labels, index.Open(SectionId::kLabels));
    MPQ_RETURN_IF_ERROR(ReadLabels(labels, model.labels));
  }
  if (index.Has(SectionId::kProvenance)) {
    MPQ_ASSIGN_OR_RETURN(const ByteReader provenance, index.Open(SectionId::kProvenance));
    MPQ_RETURN_IF_ERROR(ReadProvenance(provenance, model.provenance));
  }
  return model;
}

}  // namespace

Result<ModelData> ReadModel(std::span<const uint8_t> file) try {
  if (reinterpret_cast<uintptr_t>(file.data()) % kStreamAlignment != 0) {
    return Error(ErrorCode::kInvalidArgument, "the bytes of a model must be aligned to ",
                 kStreamAlignment, " bytes");
  }
  MPQ_ASSIGN_OR_RETURN(std::vector<Section> sections, ReadSections(file));
  MPQ_ASSIGN_OR_RETURN(const SectionIndex index, SectionIndex::Make(std::move(sections)));
  MPQ_ASSIGN_OR_RETURN(ModelData model, ReadSectionContents(index));
  MPQ_RETURN_IF_ERROR(Validate(model));
  return model;
} catch (const std::bad_alloc&) {
  return Error(ErrorCode::kOutOfMemory, "out of memory reading a model of ", file.size(), " bytes");
}

}  // namespace mpq
