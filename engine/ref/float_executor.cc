#include "engine/core/float_executor.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/core/no_throw.h"
#include "engine/ref/float_ops.h"
#include "format/message.h"

namespace mpq {

namespace {

class RefFloatExecutor final : public FloatExecutor {
 public:
  RefFloatExecutor(const Graph& graph, const FloatExecutorOptions& options,
                   std::vector<Shape> shapes)
      : graph_(graph), options_(options), shapes_(std::move(shapes)) {
    values_.resize(shapes_.size());
    last_use_.resize(shapes_.size());
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      for (const uint32_t tensor : graph_.nodes[i].inputs) last_use_[tensor] = i;
    }
  }

  Status Run(std::span<const float> src) override {
    return WithoutThrowing("float inference", [&] { return RunNodes(src); });
  }

  Result<std::span<const float>> Read(uint32_t tensor) override {
    if (!Kept(tensor) || values_[tensor].empty()) {
      return Error(ErrorCode::kInvalidArgument, "tensor ", tensor, " of ", values_.size(),
                   " was not kept");
    }
    return std::span<const float>(values_[tensor]);
  }

 private:
  bool Kept(uint32_t tensor) const {
    return tensor == graph_.output || (options_.keep_tensors && tensor < values_.size());
  }

  ref::FloatView Allocate(uint32_t tensor) {
    values_[tensor].resize(options_.batch * shapes_[tensor].num_values());
    return View(tensor);
  }

  ref::FloatView View(uint32_t tensor) {
    return {values_[tensor].data(), options_.batch, shapes_[tensor]};
  }

  Status RunNodes(std::span<const float> src) {
    const ref::FloatView input = Allocate(graph_.input);
    if (src.size() != input.num_values()) {
      return Error(ErrorCode::kInvalidArgument, "input of ", src.size(), " values, expected ",
                   input.num_values());
    }
    std::copy(src.begin(), src.end(), input.data);
    std::vector<ref::FloatView> operands;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      operands.clear();
      for (const uint32_t tensor : node.inputs) operands.push_back(View(tensor));
      ref::RunFloatNode(graph_, node, operands, Allocate(node.output));
      for (const uint32_t tensor : node.inputs) {
        if (last_use_[tensor] == i && !Kept(tensor)) values_[tensor] = {};
      }
    }
    return Status();
  }

  const Graph& graph_;
  const FloatExecutorOptions options_;
  const std::vector<Shape> shapes_;
  std::vector<std::vector<float>> values_;
  std::vector<size_t> last_use_;  // index of the last node that reads the tensor
};

}  // namespace

Result<std::unique_ptr<FloatExecutor>> MakeRefFloatExecutor(const Graph& graph,
                                                            const FloatExecutorOptions& options) {
  return WithoutThrowing("float executor", [&]() -> Result<std::unique_ptr<FloatExecutor>> {
    MPQ_ASSIGN_OR_RETURN(std::vector<Shape> shapes, ref::FloatShapes(graph, options));
    return std::unique_ptr<FloatExecutor>(
        std::make_unique<RefFloatExecutor>(graph, options, std::move(shapes)));
  });
}

}  // namespace mpq
