// What quantising will allocate, known before anything is.
#ifndef MPQ_QUANTIZE_MEMORY_ESTIMATE_H_
#define MPQ_QUANTIZE_MEMORY_ESTIMATE_H_

#include <cstdint>

#include "format/graph.h"

namespace mpq {

// Bytes beside the float graph itself: the images' pixels; for each thread a float executor, which
// keeps every tensor and its own copy of the weights; the statistics of every part of the images.
uint64_t EstimateCalibrationBytes(const Graph& graph, uint32_t num_images, uint32_t threads);

// The same for second-order and sequential rounding, which hold moments of the layers' inputs: of
// all layers, then of some at a time.
uint64_t EstimateRoundingBytes(const Graph& graph, uint32_t num_images, uint32_t num_views,
                               uint32_t threads);

// The same for distillation, which needs more: a gradient of the weights for every part of a batch,
// and for each thread a tape and the teacher.
uint64_t EstimateDistillationBytes(const Graph& graph, uint32_t num_images, uint32_t threads);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_MEMORY_ESTIMATE_H_
