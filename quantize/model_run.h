// Runs a model, integer or float, over images through the engine that users get.
#ifndef MPQ_QUANTIZE_MODEL_RUN_H_
#define MPQ_QUANTIZE_MODEL_RUN_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "mpq/model.h"
#include "mpq/session.h"
#include "mpq/status.h"
#include "quantize/images.h"
#include "quantize/progress.h"

namespace mpq {

// visit(part, image, session) after every run of one of the first `count` images. Images are split
// into kCalibrationParts parts as in calibration.h; visits of one part come in order, in one
// thread. `stage`, unless null, makes a step an image.
Status RunModel(
    const Model& model, const CalibrationImages& images, uint32_t count, bool keep_tensors,
    uint32_t threads, ProgressStage* stage,
    const std::function<Status(uint32_t part, uint32_t image, const Session& session)>& visit);

// How close a model's logits are to the float ones.
struct Agreement {
  uint32_t num_images = 0;
  uint32_t num_agreeing = 0;      // the same best class
  double mean_kl = 0;             // mean KL(softmax(float) || softmax(model)), in nats
  double signal_to_noise_db = 0;  // of the logits

  double fraction() const {
    return num_images == 0 ? 0 : static_cast<double>(num_agreeing) / num_images;
  }
};
Agreement CompareLogits(std::span<const float> reference, std::span<const float> logits,
                        uint32_t num_images);

// The logits of all images, [images][classes].
Result<std::vector<float>> ModelLogits(const Model& model, const CalibrationImages& images,
                                       uint32_t threads, const Progress& progress);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_MODEL_RUN_H_
