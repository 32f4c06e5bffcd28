// The two-region method: dense levels in the centre, sparse ones in the tails, on one integer grid
// (format/level_set.h; the quantiser of PTILMPQ, arXiv 2404.02947, with one width a layer). Few
// weights are large: wider steps for those leave more levels for the many small ones.
#ifndef MPQ_QUANTIZE_TWO_REGION_H_
#define MPQ_QUANTIZE_TWO_REGION_H_

#include <cstdint>
#include <memory>

#include "quantize/method.h"
#include "quantize/weight_rows.h"

namespace mpq {

// 2..6 bits; other widths are uniform.
std::unique_ptr<Method> MakeTwoRegionMethod();
Result<LayerDecision> DecideTwoRegionLayer(const MethodInput& input, uint32_t node, int bits);

// The shape whose levels fit the rows [first, first + count) best, each at its own best scale: the
// least sum of weighted squared errors over all shapes of `bits`. Long rows are sampled.
TwoRegionShape ChooseTwoRegionShape(const WeightRows& rows, uint32_t first, uint32_t count,
                                    int bits);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_TWO_REGION_H_
