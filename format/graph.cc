#include "format/graph.h"

namespace mpq {

const char* OpKindName(OpKind kind) {
  switch (kind) {
    case OpKind::kConv:
      return "Conv";
    case OpKind::kDepthwiseConv:
      return "DepthwiseConv";
    case OpKind::kMaxPool:
      return "MaxPool";
    case OpKind::kAvgPool:
      return "AvgPool";
    case OpKind::kGlobalAvgPool:
      return "GlobalAvgPool";
    case OpKind::kAdd:
      return "Add";
    case OpKind::kConcat:
      return "Concat";
    case OpKind::kClip:
      return "Clip";
    case OpKind::kSlicePad:
      return "SlicePad";
  }
  return "unknown";
}

}  // namespace mpq
