#include "quantize/passes/simplify.h"

#include "quantize/passes/fold_affine.h"
#include "quantize/passes/fuse_clips.h"
#include "quantize/passes/prune.h"

namespace mpq {

SimplifyCounts Simplify(Graph& graph) {
  SimplifyCounts counts;
  Prune(graph);  // folding needs weights of one's own
  counts.affine_folded = FoldAffine(graph);
  counts.clips_fused = FuseClips(graph);
  Prune(graph);
  return counts;
}

}  // namespace mpq
