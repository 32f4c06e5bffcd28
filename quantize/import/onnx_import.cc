#include "quantize/import/onnx_import.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "format/message.h"
#include "format/model_data.h"
#include "format/shape.h"
#include "format/validate.h"
#include "format/wire.h"
#include "quantize/import/constant_folding.h"
#include "quantize/import/model_file.h"
#include "quantize/import/node_order.h"
#include "quantize/import/operator_context.h"

namespace mpq {

namespace onnx_import {
namespace {

constexpr uint32_t kRgbChannels = 3;
constexpr int64_t kMaxInputDim = wire::kMaxSide;

std::string DimText(const onnx::TensorShapeProto::Dimension& dim) {
  if (dim.has_dim_value()) return std::to_string(dim.dim_value());
  return "'" + dim.dim_param() + "'";
}

bool IsImageChannels(const onnx::TensorShapeProto::Dimension& dim) {
  return dim.has_dim_value() && (dim.dim_value() == 1 || dim.dim_value() == 3);
}

std::string SupportedOperators() {
  std::string names;
  for (const auto& [name, entry] : Operators()) {
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

// QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, QLinearConv, ConvInteger, ...
bool IsQuantisedOperator(const std::string& op) {
  return op.find("uantizeLinear") != std::string::npos || op.starts_with("QLinear") ||
         op.ends_with("Integer");
}

Status UnsupportedOperator(const onnx::NodeProto& node) {
  const std::string& op = node.op_type();
  if (IsQuantisedOperator(op)) {
    return Error(ErrorCode::kUnsupported, "operator '", op,
                 "': the model is quantised already; import the float model it was made from");
  }
  const std::string domain = node.domain().empty() ? "" : node.domain() + "::";
  return Error(ErrorCode::kUnsupported, "operator '", domain, op,
               "' is not supported; supported: ", SupportedOperators(),
               ", and shape arithmetic on constants");
}

// One import: walks the nodes in order and keeps what every ONNX tensor stands for.
class Importer {
 public:
  explicit Importer(ModelFile file) : file_(std::move(file)) {}

  Result<ImportedModel> Run() {
    MPQ_RETURN_IF_ERROR(CheckGraph());
    const std::string output = file_.graph().output(0).name();
    MPQ_ASSIGN_OR_RETURN(const NodeOrder order, OrderNodes(file_.graph(), output));
    uses_ = order.uses;
    MPQ_RETURN_IF_ERROR(AddInput());
    for (const onnx::TensorProto& initializer : file_.graph().initializer()) {
      initializers_[initializer.name()] = &initializer;
    }
    for (const onnx::NodeProto* node : order.nodes) {
      MPQ_RETURN_IF_ERROR(ConvertNode(*node).WithContext("node '" + NodeName(*node) + "' (" +
                                                         node->op_type() + ")"));
    }
    return Finish(output);
  }

 private:
  Status CheckGraph() {
    const onnx::GraphProto& graph = file_.graph();
    if (graph.output_size() == 0) return Error(ErrorCode::kCorrupt, "the graph has no output");
    if (graph.sparse_initializer_size() > 0) {
      return Error(ErrorCode::kUnsupported, "sparse initializers are not supported");
    }
    constexpr int64_t kNewestKnownOpset = 21;
    if (file_.opset() > kNewestKnownOpset) {
      notes_.push_back(Message("opset ", file_.opset(), " is newer than the newest tested, ",
                               kNewestKnownOpset));
    }
    for (int i = 1; i < graph.output_size(); ++i) {
      notes_.push_back(Message("output '", graph.output(i).name(), "' was left out: only '",
                               graph.output(0).name(), "' is kept"));
    }
    return {};
  }

  // The one input that is not an initialiser and that somebody reads.
  Status AddInput() {
    const onnx::ValueInfoProto* image = nullptr;
    for (const onnx::ValueInfoProto& input : file_.graph().input()) {
      const bool is_initializer = std::any_of(
          file_.graph().initializer().begin(), file_.graph().initializer().end(),
          [&](const onnx::TensorProto& tensor) { return tensor.name() == input.name(); });
      if (is_initializer || uses_[input.name()] == 0) continue;
      if (image != nullptr) {
        return Error(ErrorCode::kUnsupported, "the output depends on two inputs, '", image->name(),
                     "' and '", input.name(), "'; one image is supported");
      }
      image = &input;
    }
    if (image == nullptr) {
      return Error(ErrorCode::kCorrupt, "the output depends on no input");
    }
    return AddImage(*image).WithContext("input '" + image->name() + "'");
  }

  Status AddImage(const onnx::ValueInfoProto& image) {
    const onnx::TensorShapeProto& dims = image.type().tensor_type().shape();
    if (dims.dim_size() != 4) {
      return Error(ErrorCode::kUnsupported, "has ", dims.dim_size(),
                   " dims; an image [N, C, H, W] or [N, H, W, C] is supported");
    }
    const bool nhwc = !IsImageChannels(dims.dim(1)) && IsImageChannels(dims.dim(3));
    for (int i = 1; i < 4; ++i) {
      const onnx::TensorShapeProto::Dimension& dim = dims.dim(i);
      if (dim.dim_value() < 1 || dim.dim_value() > kMaxInputDim) {
        return Error(ErrorCode::kUnsupported, "dim ", i, " is ", DimText(dim),
                     "; export the model with a fixed image size between 1 and ", kMaxInputDim);
      }
    }
    // A batch that the file does not fix counts as one image: nothing we support mixes images.
    const int64_t batch = std::max<int64_t>(1, dims.dim(0).dim_value());
    if (batch > kMaxInputDim) {
      return Error(ErrorCode::kUnsupported, "a batch of ", batch, " images");
    }
    const auto size = [&](int i) { return static_cast<uint32_t>(dims.dim(i).dim_value()); };
    const Shape shape = nhwc ? Shape{size(1), size(2), size(3)} : Shape{size(2), size(3), size(1)};
    if (shape.channels != kRgbChannels) {
      return Error(ErrorCode::kUnsupported, "has ", shape.channels, " channels; ", kRgbChannels,
                   " are supported");
    }
    const View view = nhwc ? View::Nhwc(shape, batch) : View::Nchw(shape, batch);
    Store(image.name(), builder_.SetInput(image.name(), shape, view));
    return {};
  }

  Status ConvertNode(const onnx::NodeProto& node) {
    const bool standard = node.domain().empty() || node.domain() == "ai.onnx";
    if (!standard) return UnsupportedOperator(node);
    MPQ_RETURN_IF_ERROR(CheckAttributeTypes(node));
    for (int i = 1; i < node.output_size(); ++i) {
      if (uses_.contains(node.output(i)) && !node.output(i).empty()) {
        return Error(ErrorCode::kUnsupported, "output ", i, " '", node.output(i),
                     "' is used; only the first output is supported");
      }
    }
    OperatorContext context{node, Attributes(node), file_.opset(), {}, file_, builder_, notes_};
    for (const std::string& input : node.input()) {
      MPQ_ASSIGN_OR_RETURN(Value * value, Find(input));
      context.inputs.push_back(value);
    }
    MPQ_ASSIGN_OR_RETURN(Value value, Evaluate(context));
    Store(node.output(0), std::move(value));
    for (const std::string& input : node.input()) Release(input);
    return {};
  }

  Result<Value> Evaluate(OperatorContext& context) {
    const onnx::NodeProto& node = context.node;
    const bool constant =
        std::all_of(context.inputs.begin(), context.inputs.end(), [](const Value* input) {
          return input == nullptr || std::holds_alternative<ConstantPtr>(*input);
        });
    if (constant) {
      const auto fold = FoldFunctions().find(node.op_type());
      if (fold == FoldFunctions().end()) {
        if (!Operators().contains(node.op_type())) return UnsupportedOperator(node);
        return Error(ErrorCode::kUnsupported, "all inputs are constant, which is not supported");
      }
      MPQ_ASSIGN_OR_RETURN(Constant folded, fold->second(context));
      return MakeConstant(std::move(folded));
    }
    const auto entry = Operators().find(node.op_type());
    if (entry == Operators().end()) return UnsupportedOperator(node);
    if (!entry->second.is_view) {
      for (const Value* input : context.inputs) {
        const auto* activation = input == nullptr ? nullptr : std::get_if<Activation>(input);
        if (activation != nullptr && activation->is_softmax) {
          return Error(ErrorCode::kUnsupported,
                       "reads the result of a Softmax; Softmax is supported at the end only");
        }
      }
    }
    return entry->second.convert(context);
  }

  // What the name stands for; initialisers are read when they are needed first. Null for "".
  Result<Value*> Find(const std::string& name) {
    if (name.empty()) return static_cast<Value*>(nullptr);
    const auto known = values_.find(name);
    if (known != values_.end()) return &known->second;
    const auto initializer = initializers_.find(name);
    if (initializer == initializers_.end()) {
      return Error(ErrorCode::kCorrupt, "tensor '", name, "' has no value");
    }
    MPQ_ASSIGN_OR_RETURN(Constant constant, file_.ReadTensor(*initializer->second));
    return &values_.emplace(name, MakeConstant(std::move(constant))).first->second;
  }

  void Store(const std::string& name, Value value) {
    if (auto* activation = std::get_if<Activation>(&value)) {
      activation->sole_reader = activation->sole_reader && uses_[name] == 1;
    }
    values_.insert_or_assign(name, std::move(value));
  }

  // Weights are large: forget them after their last reader.
  void Release(const std::string& name) {
    if (!name.empty() && --uses_[name] == 0) values_.erase(name);
  }

  Result<ImportedModel> Finish(const std::string& output) {
    MPQ_ASSIGN_OR_RETURN(Value * value, Find(output));
    auto* logits = std::get_if<Activation>(value);
    if (logits == nullptr) {
      return Error(ErrorCode::kUnsupported, "output '", output, "' does not depend on the image");
    }
    MPQ_RETURN_IF_ERROR(builder_.Settle(*logits));
    if (logits->shape.height != 1 || logits->shape.width != 1) {
      return Error(ErrorCode::kUnsupported, "output '", output, "' has the shape ",
                   DimsText(logits->view.dims()), "; one value per class is supported");
    }
    if (builder_.producer(logits->tensor) == nullptr) {
      return Error(ErrorCode::kUnsupported, "output '", output, "' is the input itself");
    }
    ImportedModel model;
    model.graph = std::move(builder_).Finish(logits->tensor);
    MPQ_RETURN_IF_ERROR(CheckGraphRules(model));
    MPQ_ASSIGN_OR_RETURN(model.source_hash, file_.SourceHash());
    model.notes = std::move(notes_);
    return model;
  }

  // What is returned can be run and written: shapes, limits and names are those of the format.
  static Status CheckGraphRules(ImportedModel& model) {
    ModelData data;
    data.graph = std::move(model.graph);
    const Tensor& input = data.graph.tensors[data.graph.input];
    data.preprocessing.crop_height = input.height;
    data.preprocessing.crop_width = input.width;
    const Status status = Validate(data);
    model.graph = std::move(data.graph);
    return status.WithContext("the imported graph");
  }

  ModelFile file_;
  GraphBuilder builder_;
  std::vector<std::string> notes_;
  std::unordered_map<std::string, uint32_t> uses_;  // readers still to come
  std::unordered_map<std::string, const onnx::TensorProto*> initializers_;
  std::unordered_map<std::string, Value> values_;
};

}  // namespace
}  // namespace onnx_import

Result<ImportedModel> ImportOnnx(const std::string& path) {
  MPQ_ASSIGN_OR_RETURN(onnx_import::ModelFile file, onnx_import::ModelFile::Load(path));
  onnx_import::Importer importer(std::move(file));
  Result<ImportedModel> model = importer.Run();
  if (!model.ok()) return model.status().WithContext(path);
  return model;
}

}  // namespace mpq
