// Which fields of a Node its operator uses: only those are written to files and read back.
#ifndef MPQ_FORMAT_NODE_FIELDS_H_
#define MPQ_FORMAT_NODE_FIELDS_H_

#include <cstddef>

#include "format/graph.h"

namespace mpq {

inline bool HasWeights(OpKind kind) {
  return kind == OpKind::kConv || kind == OpKind::kDepthwiseConv;
}

// A convolution that adds its second input to its result.
inline bool HasResidual(const Node& node) {
  return node.kind == OpKind::kConv && node.inputs.size() > 1;
}

// As people see it.
inline const char* OperatorName(const Node& node) {
  return HasResidual(node) ? "Conv+residual" : OpKindName(node.kind);
}

inline bool HasWindow(OpKind kind) {
  return HasWeights(kind) || kind == OpKind::kMaxPool || kind == OpKind::kAvgPool ||
         kind == OpKind::kSlicePad;
}

// Integer graphs: operators that compute new codes clamp them. The rest copies codes.
inline bool HasCodeLow(OpKind kind) { return kind != OpKind::kConcat && kind != OpKind::kSlicePad; }

// Convolutions have the upper bound per channel instead.
inline bool HasCodeHigh(OpKind kind) { return HasCodeLow(kind) && !HasWeights(kind); }

// Integer graphs: whether Node::shift counts.
inline bool HasShift(OpKind kind) {
  return kind == OpKind::kAdd || kind == OpKind::kClip || kind == OpKind::kAvgPool ||
         kind == OpKind::kGlobalAvgPool;
}

// Integer graphs: how many of Node::multiplier count.
inline size_t NumMultipliers(const Node& node) {
  switch (node.kind) {
    case OpKind::kConv:
      return HasResidual(node) ? 1 : 0;
    case OpKind::kAdd:
      return 2;
    case OpKind::kClip:
    case OpKind::kAvgPool:
    case OpKind::kGlobalAvgPool:
      return 1;
    default:
      return 0;
  }
}

}  // namespace mpq

#endif  // MPQ_FORMAT_NODE_FIELDS_H_
