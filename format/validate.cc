#include "format/validate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "format/message.h"
#include "format/node_fields.h"
#include "format/shape.h"
#include "format/text.h"
#include "format/validate_weights.h"
#include "format/wire.h"

namespace mpq {

namespace {

constexpr uint32_t kImageChannels = 3;

template <typename... Parts>
Status Corrupt(const Parts&... parts) {
  return Error(ErrorCode::kCorrupt, parts...);
}

Status CheckLimit(const std::string& what, uint64_t value, uint64_t limit) {
  if (value <= limit) return Status();
  return Error(ErrorCode::kLimitExceeded, what, ": ", value, ", the limit is ", limit);
}

Status CheckText(const char* what, const std::string& text, uint32_t max_bytes,
                 bool several_lines = false) {
  MPQ_RETURN_IF_ERROR(CheckLimit(Message("bytes of a ", what), text.size(), max_bytes));
  if (!IsPlainText(text, several_lines)) {
    return Corrupt("a ", what, " is not UTF-8 text without control characters");
  }
  return Status();
}

bool SameQuantisation(const Tensor& a, const Tensor& b) {
  return a.scale == b.scale && a.zero_point == b.zero_point;
}

// --- One node's own attributes. ---

Status CheckWindow(const Node& node) {
  const Window& w = node.window;
  for (const uint32_t size :
       {w.kernel_h, w.kernel_w, w.stride_h, w.stride_w, w.dilation_h, w.dilation_w}) {
    if (size == 0) return Corrupt("a kernel, stride or dilation of 0");
    MPQ_RETURN_IF_ERROR(CheckLimit("kernel, stride or dilation", size, wire::kMaxKernel));
  }
  for (const uint32_t pad : {w.pad_top, w.pad_left, w.pad_bottom, w.pad_right}) {
    MPQ_RETURN_IF_ERROR(CheckLimit("padding", pad, wire::kMaxPad));
  }
  const bool pool = node.kind == OpKind::kMaxPool || node.kind == OpKind::kAvgPool;
  if (w.ceil_mode && !pool) return Corrupt("ceil_mode is for pools only");
  // So every window of a pool holds at least one pixel.
  if (pool && (w.dilation_h != 1 || w.dilation_w != 1)) return Corrupt("a pool with dilation");
  if (pool && (std::max(w.pad_top, w.pad_bottom) >= w.kernel_h ||
               std::max(w.pad_left, w.pad_right) >= w.kernel_w)) {
    return Corrupt("a pool's padding is not smaller than its kernel");
  }
  if (node.kind == OpKind::kSlicePad &&
      (w.kernel_h != 1 || w.kernel_w != 1 || w.dilation_h != 1 || w.dilation_w != 1)) {
    return Corrupt("a slice takes single pixels, expected kernel and dilation 1");
  }
  return Status();
}

Status CheckMultipliers(const Node& node) {
  if (HasResidual(node) &&
      (node.multiplier[0] < 0 || node.multiplier[0] > kMaxResidualMultiplier)) {
    return Corrupt("multiplier ", node.multiplier[0], " of the residual, expected 0..",
                   kMaxResidualMultiplier);
  }
  if (!HasShift(node.kind)) return Status();
  const bool average = node.kind == OpKind::kAvgPool || node.kind == OpKind::kGlobalAvgPool;
  const int32_t lowest = average ? 0 : std::numeric_limits<int16_t>::min();
  const int32_t highest =
      average ? wire::kMaxAverageMultiplier : std::numeric_limits<int16_t>::max();
  for (size_t i = 0; i < NumMultipliers(node); ++i) {
    if (node.multiplier[i] < lowest || node.multiplier[i] > highest) {
      return Corrupt("multiplier ", node.multiplier[i], ", expected ", lowest, "..", highest);
    }
  }
  const uint32_t lowest_shift = average ? 0 : 1;
  if (node.shift < lowest_shift || node.shift > wire::kMaxShift) {
    return Corrupt("shift ", node.shift, ", expected ", lowest_shift, "..", wire::kMaxShift);
  }
  return Status();
}

// --- The graph. ---

class GraphValidator {
 public:
  explicit GraphValidator(const Graph& graph) : graph_(graph) {}

  Status Check() {
    MPQ_RETURN_IF_ERROR(CheckCounts());
    for (uint32_t i = 0; i < graph_.tensors.size(); ++i) {
      const Tensor& tensor = graph_.tensors[i];
      MPQ_RETURN_IF_ERROR(CheckTensor(i).WithContext(Message("tensor '", tensor.name, "'")));
    }
    produced_.assign(graph_.tensors.size(), false);
    produced_[graph_.input] = true;
    weights_used_.assign(graph_.weights.size(), false);
    for (const Node& node : graph_.nodes) {
      MPQ_RETURN_IF_ERROR(
          CheckNode(node).WithContext(Message(OpKindName(node.kind), " '", node.name, "'")));
    }
    return CheckComplete();
  }

 private:
  Status CheckCounts() const {
    MPQ_RETURN_IF_ERROR(CheckLimit("number of tensors", graph_.tensors.size(), wire::kMaxTensors));
    MPQ_RETURN_IF_ERROR(CheckLimit("number of nodes", graph_.nodes.size(), wire::kMaxNodes));
    MPQ_RETURN_IF_ERROR(CheckLimit("number of weights", graph_.weights.size(), wire::kMaxWeights));
    if (graph_.input >= graph_.tensors.size() || graph_.output >= graph_.tensors.size()) {
      return Corrupt("input tensor ", graph_.input, " or output tensor ", graph_.output, " of ",
                     graph_.tensors.size(), " does not exist");
    }
    if (graph_.tensors[graph_.input].channels != kImageChannels) {
      return Corrupt("the input has ", graph_.tensors[graph_.input].channels,
                     " channels, expected ", kImageChannels);
    }
    return Status();
  }

  Status CheckTensor(uint32_t index) {
    const Tensor& tensor = graph_.tensors[index];
    MPQ_RETURN_IF_ERROR(CheckText("tensor's name", tensor.name, wire::kMaxNameBytes));
    MPQ_RETURN_IF_ERROR(CheckLimit("height", tensor.height, wire::kMaxSide));
    MPQ_RETURN_IF_ERROR(CheckLimit("width", tensor.width, wire::kMaxSide));
    MPQ_RETURN_IF_ERROR(CheckLimit("channels", tensor.channels, wire::kMaxChannels));
    const uint64_t num_values = uint64_t{tensor.height} * tensor.width * tensor.channels;
    if (num_values == 0) return Corrupt("has no values");
    MPQ_RETURN_IF_ERROR(CheckLimit("values", num_values, wire::kMaxTensorValues));
    total_values_ += num_values;
    MPQ_RETURN_IF_ERROR(
        CheckLimit("values of all tensors up to here", total_values_, wire::kMaxTotalValues));
    return CheckQuantisation(index);
  }

  Status CheckQuantisation(uint32_t index) const {
    const Tensor& tensor = graph_.tensors[index];
    if (graph_.is_float() != (tensor.type == ElementType::kF32)) {
      return Corrupt("float and integer tensors in one graph");
    }
    if (tensor.type == ElementType::kF32) return Status();
    if (!std::isfinite(tensor.scale) || tensor.scale <= 0) {
      return Corrupt("scale ", tensor.scale, ", expected a positive number");
    }
    if (tensor.type == ElementType::kS16) {
      if (index != graph_.output) return Corrupt("only the graph's output may have 16 bits");
      if (tensor.zero_point != 0) return Corrupt("zero point ", tensor.zero_point, ", expected 0");
      return Status();
    }
    if (tensor.type != ElementType::kU8) return Corrupt("unknown element type");
    if (tensor.bits < 1 || tensor.bits > 8) return Corrupt(tensor.bits, " bits, expected 1..8");
    const int largest = (1 << tensor.bits) - 1;
    if (tensor.zero_point < 0 || tensor.zero_point > largest) {
      return Corrupt("zero point ", tensor.zero_point, ", expected 0..", largest);
    }
    return Status();
  }

  Status CheckNode(const Node& node) {
    MPQ_RETURN_IF_ERROR(CheckText("node's name", node.name, wire::kMaxNameBytes));
    if (node.kind > OpKind::kSlicePad) {
      return Corrupt("unknown operator ", static_cast<int>(node.kind));
    }
    MPQ_RETURN_IF_ERROR(CheckLimit("inputs", node.inputs.size(), wire::kMaxInputs));
    MPQ_RETURN_IF_ERROR(CheckTensorsOf(node));
    if (HasWindow(node.kind)) MPQ_RETURN_IF_ERROR(CheckWindow(node));
    if (!(node.clip_lo <= node.clip_hi)) {
      return Corrupt("clip bounds ", node.clip_lo, " and ", node.clip_hi);
    }
    if (HasWeights(node.kind)) MPQ_RETURN_IF_ERROR(CheckWeightsOf(node));
    MPQ_RETURN_IF_ERROR(CheckShape(node));
    MPQ_RETURN_IF_ERROR(CheckPoolCount(node));
    if (graph_.is_float() && HasResidual(node)) return Corrupt("a residual in a float model");
    if (!graph_.is_float()) MPQ_RETURN_IF_ERROR(CheckCodes(node));
    if (HasWeights(node.kind)) MPQ_RETURN_IF_ERROR(ValidateWeightsArrays(graph_, node));
    return Status();
  }

  Status CheckTensorsOf(const Node& node) {
    if (node.inputs.empty()) return Corrupt("has no inputs");
    for (const uint32_t input : node.inputs) {
      if (input >= produced_.size() || !produced_[input]) {
        return Corrupt("input tensor ", input, " is not computed before");
      }
    }
    if (node.output >= produced_.size()) {
      return Corrupt("output tensor ", node.output, " does not exist");
    }
    if (produced_[node.output]) return Corrupt("output tensor ", node.output, " exists already");
    produced_[node.output] = true;
    return Status();
  }

  Status CheckWeightsOf(const Node& node) {
    if (node.weights >= graph_.weights.size()) {
      return Corrupt("weights ", node.weights, " of ", graph_.weights.size(), " do not exist");
    }
    if (weights_used_[node.weights]) {
      return Corrupt("weights ", node.weights, " belong to another node");
    }
    weights_used_[node.weights] = true;
    if (node.groups == 0) return Corrupt("0 groups");
    const Weights& weights = graph_.weights[node.weights];
    MPQ_RETURN_IF_ERROR(ValidateWeightsShape(weights));
    if (node.kind == OpKind::kDepthwiseConv &&
        (node.groups != weights.out_channels || weights.in_channels != 1)) {
      return Corrupt("depthwise weights of ", weights.out_channels, " x ", weights.in_channels,
                     " channels in ", node.groups, " groups");
    }
    return Status();
  }

  Status CheckShape(const Node& node) const {
    std::vector<Shape> inputs;
    for (const uint32_t input : node.inputs) inputs.push_back(ShapeOf(input));
    const Result<Shape> expected = OutputShape(graph_, node, inputs);
    if (!expected.ok()) return Corrupt(expected.status().message());
    const Shape stored = ShapeOf(node.output);
    if (stored != *expected) {
      return Corrupt("output of ", stored.height, "x", stored.width, "x", stored.channels,
                     ", expected ", expected->height, "x", expected->width, "x",
                     expected->channels);
    }
    return Status();
  }

  Status CheckPoolCount(const Node& node) const {
    return CheckLimit("pixels averaged", PixelsAveraged(node, ShapeOf(node.inputs[0])),
                      wire::kMaxPoolCount);
  }

  // Integer graphs.
  Status CheckCodes(const Node& node) const {
    const Tensor& dst = graph_.tensors[node.output];
    for (const uint32_t input : node.inputs) {
      // Kernels read and place activations as bytes.
      if (graph_.tensors[input].type != ElementType::kU8) {
        return Corrupt("reads '", graph_.tensors[input].name, "', which has 16 bits");
      }
    }
    if (dst.type == ElementType::kS16) {
      if (node.kind != OpKind::kConv && node.kind != OpKind::kDepthwiseConv) {
        return Corrupt("16-bit output, which only convolutions make");
      }
      if (HasResidual(node)) return Corrupt("a residual and a 16-bit output");
      return Status();
    }
    const int largest = (1 << dst.bits) - 1;
    if (HasCodeHigh(node.kind) && node.code_lo > node.code_hi) {
      return Corrupt("lowest code ", node.code_lo, ", highest code ", node.code_hi);
    }
    if (HasShift(node.kind) && node.code_hi > largest) {
      return Corrupt("highest code ", node.code_hi, " in an output of ", dst.bits, " bits");
    }
    MPQ_RETURN_IF_ERROR(CheckMultipliers(node));
    if (node.kind == OpKind::kMaxPool || node.kind == OpKind::kConcat ||
        node.kind == OpKind::kSlicePad) {
      for (const uint32_t input : node.inputs) {
        const Tensor& src = graph_.tensors[input];
        if (!SameQuantisation(src, dst) || src.bits > dst.bits) {
          return Corrupt("moves codes, but '", src.name, "' and '", dst.name,
                         "' differ in scale, zero point or bits");
        }
      }
    }
    return Status();
  }

  Status CheckComplete() const {
    for (uint32_t i = 0; i < produced_.size(); ++i) {
      if (!produced_[i]) {
        return Corrupt("tensor '", graph_.tensors[i].name, "' is made by no node");
      }
    }
    for (uint32_t i = 0; i < weights_used_.size(); ++i) {
      if (!weights_used_[i]) return Corrupt("weights ", i, " belong to no node");
    }
    if (graph_.output == graph_.input) return Corrupt("the output of the graph is its input");
    const Tensor& output = graph_.tensors[graph_.output];
    if (output.height != 1 || output.width != 1) {
      return Corrupt("the output has ", output.height, "x", output.width, " pixels, expected 1x1");
    }
    return Status();
  }

  Shape ShapeOf(uint32_t tensor) const {
    const Tensor& t = graph_.tensors[tensor];
    return {t.height, t.width, t.channels};
  }

  const Graph& graph_;
  uint64_t total_values_ = 0;
  std::vector<bool> produced_;
  std::vector<bool> weights_used_;
};

// --- The rest of the model. ---

Status CheckPreprocessing(const ModelData& model) {
  const Preprocessing& p = model.preprocessing;
  const Tensor& input = model.graph.tensors[model.graph.input];
  if (p.crop_height != input.height || p.crop_width != input.width) {
    return Corrupt("crop of ", p.crop_height, "x", p.crop_width, ", the input has ", input.height,
                   "x", input.width, " pixels");
  }
  MPQ_RETURN_IF_ERROR(CheckLimit("resize", p.resize_short_side, wire::kMaxSide));
  if (p.resize_short_side != 0 && p.resize_short_side < std::max(p.crop_height, p.crop_width)) {
    return Corrupt("resize to ", p.resize_short_side, " pixels is smaller than the crop of ",
                   p.crop_height, "x", p.crop_width);
  }
  if (p.interpolation > Interpolation::kBicubic) return Corrupt("unknown interpolation");
  for (size_t c = 0; c < kImageChannels; ++c) {
    if (!std::isfinite(p.mean[c]) || !std::isfinite(p.std[c]) || p.std[c] <= 0) {
      return Corrupt("mean ", p.mean[c], " and standard deviation ", p.std[c], " of channel ", c);
    }
  }
  const size_t num_codes = model.graph.is_float() ? 0 : kImageChannels * 256;
  if (p.input_codes.size() != num_codes) {
    return Corrupt(p.input_codes.size(), " input codes, expected ", num_codes);
  }
  const int largest = (1 << input.bits) - 1;
  for (const uint8_t code : p.input_codes) {
    if (code > largest) return Corrupt("input code ", code, ", expected 0..", largest);
  }
  return Status();
}

Status CheckLabels(const ModelData& model) {
  const uint32_t classes = model.graph.tensors[model.graph.output].channels;
  if (!model.labels.empty() && model.labels.size() != classes) {
    return Corrupt(model.labels.size(), " labels, expected ", classes);
  }
  for (const std::string& label : model.labels) {
    MPQ_RETURN_IF_ERROR(CheckText("label", label, wire::kMaxLabelBytes));
  }
  return Status();
}

Status CheckProvenance(const Provenance& provenance) {
  MPQ_RETURN_IF_ERROR(CheckLimit("entries", provenance.size(), wire::kMaxProvenanceEntries));
  for (const auto& [key, value] : provenance) {
    if (key.empty()) return Corrupt("an entry without a key");
    MPQ_RETURN_IF_ERROR(CheckText("key", key, wire::kMaxNameBytes));
    MPQ_RETURN_IF_ERROR(
        CheckText("value", value, wire::kMaxProvenanceBytes, /*several_lines=*/true));
  }
  return Status();
}

}  // namespace

Status Validate(const ModelData& model) {
  MPQ_RETURN_IF_ERROR(GraphValidator(model.graph).Check().WithContext("graph"));
  MPQ_RETURN_IF_ERROR(CheckPreprocessing(model).WithContext("preprocessing"));
  MPQ_RETURN_IF_ERROR(CheckLabels(model).WithContext("labels"));
  return CheckProvenance(model.provenance).WithContext("provenance");
}

}  // namespace mpq
