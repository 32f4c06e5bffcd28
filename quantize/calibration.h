// Runs the float graph over the calibration images and gathers what the later steps ask for.
//
// Images are split into a fixed number of parts, each summed by itself in a single thread and then
// added in order: the result does not depend on the number of threads.
#ifndef MPQ_QUANTIZE_CALIBRATION_H_
#define MPQ_QUANTIZE_CALIBRATION_H_

#include <cstdint>
#include <vector>

#include "format/graph.h"
#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/histogram.h"
#include "quantize/images.h"
#include "quantize/passes/equalize.h"
#include "quantize/progress.h"

namespace mpq {

inline constexpr uint32_t kCalibrationParts = 8;

struct Calibration {
  std::vector<Histogram> histograms;                   // per tensor, of equalised values
  std::vector<std::vector<float>> channel_magnitudes;  // per tensor and channel: largest |value|
  std::vector<std::vector<double>> patch_means;        // per node: convolutions, see patch_mean.h
  std::vector<float> logits;                           // [images][classes]
  uint32_t num_images = 0;

  std::span<const float> image_logits(uint32_t image) const {
    const size_t classes = logits.size() / num_images;
    return std::span(logits).subspan(image * classes, classes);
  }
};

// `equalization`: histograms are of values divided by their channel's scale, as they will be
// stored. Magnitudes and patch means are of plain values.
Result<Calibration> Calibrate(const Graph& graph, const Preprocessing& preprocessing,
                              const CalibrationImages& images, const Equalization& equalization,
                              uint32_t threads, const Progress& progress);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_CALIBRATION_H_
