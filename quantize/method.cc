#include "quantize/method.h"

#include "format/message.h"
#include "quantize/learned_levels.h"
#include "quantize/parallel.h"
#include "quantize/passes/graph_view.h"
#include "quantize/ptilmpq/method.h"
#include "quantize/two_region.h"
#include "quantize/uniform.h"

namespace mpq {

namespace {

struct MethodEntry {
  std::string_view name;
  std::unique_ptr<Method> (*make)(const MethodOptions& options);
};

// A new method is one line here.
constexpr MethodEntry kMethods[] = {
    {"uniform", [](const MethodOptions&) { return MakeUniformMethod(); }},
    {"two-region", [](const MethodOptions&) { return MakeTwoRegionMethod(); }},
    {"learned", [](const MethodOptions&) { return MakeLearnedLevelsMethod(); }},
    {"ptilmpq", MakePtilmpqMethod},
};

class LayerwiseMethod final : public Method {
 public:
  LayerwiseMethod(std::string_view name, DecideLayer* decide) : name_(name), decide_(decide) {}

  std::string_view name() const override { return name_; }

  Result<std::vector<LayerDecision>> Decide(const MethodInput& input) const override {
    MPQ_ASSIGN_OR_RETURN(const std::vector<uint8_t> bits,
                         ResolveBitWidths(input.graph, input.bit_widths));
    std::vector<LayerDecision> layers(input.graph.nodes.size());
    ProgressStage stage(input.progress, "choose levels", layers.size());
    MPQ_RETURN_IF_ERROR(ParallelFor(input.threads, static_cast<uint32_t>(layers.size()),
                                    [&](uint32_t n, uint32_t) -> Status {
                                      if (IsConvolution(input.graph.nodes[n])) {
                                        MPQ_ASSIGN_OR_RETURN(layers[n], decide_(input, n, bits[n]));
                                      }
                                      stage.Step();
                                      return Status();
                                    }));
    return layers;
  }

 private:
  std::string_view name_;
  DecideLayer* decide_;
};

}  // namespace

std::unique_ptr<Method> MakeLayerwiseMethod(std::string_view name, DecideLayer* decide) {
  return std::make_unique<LayerwiseMethod>(name, decide);
}

Result<std::unique_ptr<Method>> MakeMethod(std::string_view name, const MethodOptions& options) {
  std::string names;
  for (const MethodEntry& entry : kMethods) {
    if (entry.name == name) return entry.make(options);
    names += names.empty() ? "" : ", ";
    names += entry.name;
  }
  return Error(ErrorCode::kInvalidArgument, "unknown method '", name, "'; known: ", names);
}

std::vector<std::string_view> MethodNames() {
  std::vector<std::string_view> names;
  for (const MethodEntry& entry : kMethods) names.push_back(entry.name);
  return names;
}

}  // namespace mpq
