// Bits for every layer under a budget: the widths with the least predicted divergence that fit
// (HAWQ-V3's integer programme, with measured sensitivities and true bytes).
#ifndef MPQ_QUANTIZE_ALLOCATION_ALLOCATION_H_
#define MPQ_QUANTIZE_ALLOCATION_ALLOCATION_H_

#include <cstdint>
#include <vector>

#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/allocation/sensitivity.h"

namespace mpq {

// Widths that layers may get; 7 bits seldom pays.
inline constexpr int kAllocatedWidths[] = {2, 3, 4, 5, 6, 8};

// Chooses an option of every layer such that the file has at most `target_bytes`, and puts them
// into `decisions`. Fails if even the narrowest layers make a larger file; the message says how
// large.
Status AllocateToSize(const ModelData& float_model, std::vector<LayerSensitivity> table,
                      uint64_t target_bytes, Decisions& decisions);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ALLOCATION_ALLOCATION_H_
