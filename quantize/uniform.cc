#include "quantize/uniform.h"

#include <algorithm>

#include "quantize/weight_range.h"
#include "quantize/weight_rows.h"

namespace mpq {

namespace {

double BestError(const WeightRows& rows, const Levels& levels) {
  double error = 0;
  for (uint32_t c = 0; c < rows.count(); ++c) {
    const double scale = ChooseWeightScale(rows.row(c), rows.importance(c), levels);
    error += WeightError(rows.row(c), rows.importance(c), levels, scale > 0 ? scale : 1.0);
  }
  return error;
}

// The level set of `bits`; 1 bit sets the layer's table too.
Result<Levels> ChooseLevels(const WeightRows& rows, int bits, LayerDecision& layer) {
  if (bits > 1) return UniformLevels(bits);
  const int8_t positive[] = {0, 1};
  const int8_t negative[] = {-1, 0};
  MPQ_ASSIGN_OR_RETURN(const Levels above, TableLevels(1, positive));
  MPQ_ASSIGN_OR_RETURN(const Levels below, TableLevels(1, negative));
  const bool take_negative = BestError(rows, below) < BestError(rows, above);
  layer.level_set = LevelSetKind::kTable;
  layer.tables.assign(take_negative ? negative : positive,
                      (take_negative ? negative : positive) + 2);
  return take_negative ? below : above;
}

}  // namespace

Result<LayerDecision> DecideUniformLayer(const MethodInput& input, uint32_t node, int bits) {
  const WeightRows rows(input, node);
  LayerDecision layer = EmptyDecision(input, node, bits);
  MPQ_ASSIGN_OR_RETURN(const Levels levels, ChooseLevels(rows, bits, layer));
  for (uint32_t c = 0; c < rows.count(); ++c) EncodeRow(rows, c, levels, layer);
  return layer;
}

std::unique_ptr<Method> MakeUniformMethod() {
  return MakeLayerwiseMethod("uniform", DecideUniformLayer);
}

}  // namespace mpq
