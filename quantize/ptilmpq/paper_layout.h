// What the paper's own layout would make of the bits that were chosen: for comparison in the
// report.
//
// The float network gets the levels of pwlq.h, channel by channel, and biases that make up for the
// mean error; activations stay real. Nothing of it can run on integers: steps of the two regions
// are unrelated.
#ifndef MPQ_QUANTIZE_PTILMPQ_PAPER_LAYOUT_H_
#define MPQ_QUANTIZE_PTILMPQ_PAPER_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/calibration.h"
#include "quantize/decisions.h"
#include "quantize/images.h"
#include "quantize/model_run.h"

namespace mpq {

struct PaperLayout {
  // Of all weights. The paper counts b bits a weight, what must be stored is the region as well.
  uint64_t nominal_bits = 0;
  uint64_t stored_bits = 0;  // b + 1 a weight
  Agreement agreement;       // with float, on the calibration images
};

// Twice: with as many stored bits in each block of channels as `decisions` have (b one less, at
// least 2), and with as many nominal ones. `images`: those of `calibration`.
Result<std::vector<PaperLayout>> MeasurePaperLayouts(const ModelData& float_model,
                                                     const CalibrationImages& images,
                                                     const Calibration& calibration,
                                                     const Decisions& decisions, uint32_t threads);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_PTILMPQ_PAPER_LAYOUT_H_
