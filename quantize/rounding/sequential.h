// Rounds the layers once more, first to last, each with the inputs that the quantised layers before
// it really give ("asymmetric" reconstruction: GPTQ as published, and GPTAQ, Li et al.,
// arXiv 2504.02692). A layer's weights are then those that bring its float output back from its
// quantised inputs, so errors of earlier layers are made up for instead of adding up.
#ifndef MPQ_QUANTIZE_ROUNDING_SEQUENTIAL_H_
#define MPQ_QUANTIZE_ROUNDING_SEQUENTIAL_H_

#include <cstdint>

#include "format/graph.h"
#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/cache/stage_cache.h"
#include "quantize/decisions.h"
#include "quantize/images.h"
#include "quantize/progress.h"

namespace mpq {

// With x the float inputs of a layer (im2col), x' the quantised ones, r and r' the residual that
// its output is added to, the layer minimises E |w x + r - r' - (w' x' + b')|^2. Without rounding
// that is linear regression: w~ = Cov(w x + r - r', x') Cov(x')^-1; rounding then works on w~ with
// the Hessian Cov(x') as ever (rows.h). Replaces codes, scales and biases of all layers but
// `shifted` ones, whose inputs and scales are tied to others.
//
// One layer at a time: two that are rounded with the same inputs would both make up for the same
// error (MobileNetV1, 4 bits, three at a time: KL 0.20 where one at a time gives 0.037).
//
// Float inputs are clamped to what activations can hold: no weight could make up for what is cut
// off there without moving everything else.
//
// Fewer than kMinSequentialImages teach a layer less about its inputs than they mislead: then
// callers should leave rounding as it is.
//
// `float_model`: prepared; `decisions`: complete, as RoundLayers and bias correction leave them.
// Deterministic for any number of threads. `cache` keeps what is done.
//
// Of every image `views` are seen: itself, and random parts of it (augmentation.h), each sampled as
// densely as an image. What the layers learn by heart of few images is most of what they lose on
// others (ResNet-18 at 3.1 MB, three views for the last three layers alone: KL 0.235 to 0.209 on
// images not seen; the same number of samples from more views brings nothing).
inline constexpr uint32_t kMinSequentialImages = 32;
Status RoundSequentially(const ModelData& float_model, const CalibrationImages& images,
                         uint32_t views, uint64_t seed, uint32_t threads, const StageCache& cache,
                         const Progress& progress, Decisions& decisions);

// Bytes that the sums and samples of one layer take, and what is kept of the float network.
// `num_views`: of every image.
uint64_t EstimateSequentialBytes(const Graph& graph, uint32_t num_images, uint32_t num_views);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ROUNDING_SEQUENTIAL_H_
