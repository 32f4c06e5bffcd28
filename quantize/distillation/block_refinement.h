// Refines a quantised network block by block: weights, scales and biases of a block are trained so
// that it gives the float block's output from what the quantised blocks before it give. As BRECQ
// (Li et al., "BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction",
// 2021), but from rounded weights on, with straight-through gradients instead of soft rounding: it
// needs hundreds of steps a block instead of twenty thousand.
//
//   loss = mean over a block's outputs of ((quantised - float) / step)^2
//
// with the output's quantisation step; float outputs are clamped to what the stored tensor can
// hold. A block ends where one tensor is all that later layers read, with at least two convolutions
// in it.
#ifndef MPQ_QUANTIZE_DISTILLATION_BLOCK_REFINEMENT_H_
#define MPQ_QUANTIZE_DISTILLATION_BLOCK_REFINEMENT_H_

#include <cstdint>
#include <vector>

#include "format/graph.h"
#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/cache/stage_cache.h"
#include "quantize/decisions.h"
#include "quantize/distillation/latent_layer.h"
#include "quantize/images.h"
#include "quantize/progress.h"

namespace mpq {

struct RefinementOptions {
  uint32_t epochs = 0;  // over all views, of every block
  LearningRates rates{1e-3f, 1e-4f, 2e-3f};
};

// Tensors and nodes of a block: it reads `first` and ends with `last`.
struct Block {
  uint32_t first = 0, last = 0;
  uint32_t first_node = 0, end_node = 0;
};
std::vector<Block> SplitIntoBlocks(const Graph& graph);

// `float_model`: prepared; `decisions`: complete; their layers receive the result. kUnsupported
// without oneDNN and for equalised decisions. Deterministic for any number of threads. `cache`
// keeps the blocks that are done. `num_views`: of every image (Views).
Status RefineBlocks(const ModelData& float_model, const CalibrationImages& images,
                    uint32_t num_views, const RefinementOptions& options, uint64_t seed,
                    uint32_t threads, const StageCache& cache, const Progress& progress,
                    Decisions& decisions);

// What it takes beside the images.
uint64_t EstimateRefinementBytes(const Graph& graph, uint32_t num_images, uint32_t num_views,
                                 uint32_t threads);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_DISTILLATION_BLOCK_REFINEMENT_H_
