#include "engine/onednn/tensor_storage.h"

#include <algorithm>
#include <limits>

#include "engine/core/arena.h"

namespace mpq::onednn {

namespace {

bool HasClip(const Node& node) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return node.clip_lo != -kInfinity || node.clip_hi != kInfinity;
}

}  // namespace

TensorStorage::TensorStorage(const Graph& graph, std::span<const Shape> shapes, uint32_t batch,
                             bool keep_tensors)
    : producers_(shapes.size(), kNone),
      readers_(shapes.size()),
      fused_adds_(graph.nodes.size(), kNone),
      is_fused_(graph.nodes.size(), false),
      owners_(shapes.size()),
      offsets_(shapes.size()) {
  for (uint32_t tensor = 0; tensor < shapes.size(); ++tensor) owners_[tensor] = tensor;
  FindUses(graph);
  if (!keep_tensors) FuseAdds(graph);
  Place(graph, shapes, batch, keep_tensors);
}

void TensorStorage::FindUses(const Graph& graph) {
  for (uint32_t i = 0; i < graph.nodes.size(); ++i) {
    for (const uint32_t tensor : graph.nodes[i].inputs) readers_[tensor].push_back(i);
    producers_[graph.nodes[i].output] = i;
  }
}

void TensorStorage::FuseAdds(const Graph& graph) {
  for (uint32_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& add = graph.nodes[i];
    if (add.kind != OpKind::kAdd) continue;
    for (const auto& [result, other] :
         {std::pair(add.inputs[0], add.inputs[1]), std::pair(add.inputs[1], add.inputs[0])}) {
      if (!CanFuse(graph, i, result, other)) continue;
      fused_adds_[producers_[result]] = i;
      is_fused_[i] = true;
      owners_[result] = owners_[add.output] = owners_[other];
      break;
    }
  }
}

// The convolution writes where `other` lies, so `other` must be there before and unread after.
bool TensorStorage::CanFuse(const Graph& graph, uint32_t add, uint32_t conv_result,
                            uint32_t other) const {
  const uint32_t conv = producers_[conv_result];
  if (conv == kNone || conv_result == graph.output || other == graph.output) return false;
  const Node& node = graph.nodes[conv];
  if ((node.kind != OpKind::kConv && node.kind != OpKind::kDepthwiseConv) || HasClip(node) ||
      readers_[conv_result].size() != 1) {
    return false;
  }
  if (producers_[other] != kNone && producers_[other] >= conv) return false;
  return std::all_of(readers_[other].begin(), readers_[other].end(),
                     [&](uint32_t reader) { return reader < conv || reader == add; });
}

void TensorStorage::Place(const Graph& graph, std::span<const Shape> shapes, uint32_t batch,
                          bool keep_tensors) {
  std::vector<ArenaBuffer> buffers(shapes.size());
  const auto last_node = static_cast<uint32_t>(graph.nodes.size());
  for (uint32_t tensor = 0; tensor < shapes.size(); ++tensor) {
    ArenaBuffer& buffer = buffers[owners_[tensor]];
    const bool owns = owners_[tensor] == tensor;
    const uint32_t first = producers_[tensor] == kNone ? 0 : producers_[tensor];
    const uint32_t last = readers_[tensor].empty() ? first : readers_[tensor].back();
    if (owns) {
      buffer.bytes = batch * shapes[tensor].num_values() * sizeof(float);
      buffer.first = keep_tensors ? 0 : first;
    }
    const bool stays = keep_tensors || tensor == graph.output;
    buffer.last = std::max(buffer.last, stays ? last_node : last);
  }
  arena_bytes_ = PlaceBuffers(buffers);
  for (uint32_t tensor = 0; tensor < shapes.size(); ++tensor) {
    offsets_[tensor] = buffers[owners_[tensor]].offset;
  }
}

}  // namespace mpq::onednn
