// Bits for every layer under a budget: the widths with the least predicted divergence that fit
// (HAWQ-V3's integer programme, with measured sensitivities and true bytes).
#ifndef MPQ_QUANTIZE_ALLOCATION_ALLOCATION_H_
#define MPQ_QUANTIZE_ALLOCATION_ALLOCATION_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/model_data.h"
#include "mpq/status.h"
#include "quantize/allocation/activation_sensitivity.h"
#include "quantize/allocation/knapsack.h"
#include "quantize/allocation/sensitivity.h"
#include "quantize/model_run.h"
#include "quantize/progress.h"

namespace mpq {

// Widths that layers may get; 7 bits seldom pays.
inline constexpr int kAllocatedWidths[] = {2, 3, 4, 5, 6, 8};

// One point of the curve of accuracy against size.
struct ParetoPoint {
  std::vector<int> bits;  // of every layer of the table
  uint64_t file_bytes = 0;
  double predicted_kl = 0;  // the sum of the layers' losses
  Agreement agreement;      // measured, on the calibration images
};

// What a model may take; 0: as much as it likes.
struct Budget {
  uint64_t file_bytes = 0;    // of the whole file
  double bit_operations = 0;  // of all convolutions (format/bit_operations.h)
};

// The model and the tables must outlive it. `table`: from MeasureSensitivity; `activations`: from
// MeasureActivationSensitivity, or empty: activations stay as they are.
class Allocator {
 public:
  Allocator(const ModelData& float_model, std::span<const LayerSensitivity> table,
            std::span<const ActivationSensitivity> activations = {});

  // Chooses an option of every layer within the budget, and puts them into `decisions`, whose
  // activations must be there. Activations are in memory as bytes whatever their bits, so these are
  // chosen only under a limit on bit operations. Fails if even the narrowest layers are beyond it;
  // the message says what they take.
  Status Fit(const Budget& budget, Decisions& decisions) const;

  // The best models from the smallest to the largest, at equal steps of size: as rounded for the
  // table, so without what sequential rounding and distillation add to a single model.
  // `float_logits`: of the images.
  Result<std::vector<ParetoPoint>> Curve(const CalibrationImages& images,
                                         std::span<const float> float_logits, uint32_t points,
                                         uint32_t threads, const Progress& progress,
                                         Decisions decisions) const;

 private:
  // What a layer computes, and which of `activations_` it reads (kNone: one that stays).
  struct LayerWork {
    double macs = 0;
    uint64_t products = 0;  // of an output
    uint32_t activation = kNone;
    int activation_bits = 8;  // of one that stays
  };
  // An option of every layer and of every activation.
  struct Choices {
    std::vector<uint32_t> layers, activations;
  };

  std::vector<LayerWork> MeasureWork(const Decisions& decisions) const;
  int ActivationBits(const LayerWork& work, std::span<const uint32_t> activations) const;
  // The bit operations of a layer with so many bits.
  double BitOperationsOf(const LayerWork& work, int bits,
                         std::span<const uint32_t> activations) const;
  double TotalBitOperations(std::span<const LayerWork> work, const Choices& choices) const;
  // Sizes of codes under losses to which a price of bit operations is added.
  Knapsack MakeKnapsack(double price, std::span<const LayerWork> work,
                        std::span<const uint32_t> activations) const;
  std::vector<uint32_t> ChooseActivations(double price, std::span<const LayerWork> work,
                                          std::span<const uint32_t> layers) const;
  // Layers and activations in turns, as their bits are multiplied with each other.
  Choices Choose(double price, uint64_t code_bytes, std::span<const LayerWork> work) const;
  // Bytes of codes such that the file has at most `file_bytes`.
  Result<uint64_t> CodeBudget(uint64_t file_bytes, Decisions& decisions) const;
  // The choices within `code_bytes` that keep to `most` bit operations.
  Result<Choices> ChooseWithin(double most, uint64_t code_bytes,
                               std::span<const LayerWork> work) const;
  void Take(std::span<const uint32_t> choices, Decisions& decisions) const;
  void TakeActivations(std::span<const uint32_t> choices, Decisions& decisions) const;

  const ModelData& float_model_;
  std::span<const LayerSensitivity> table_;
  std::span<const ActivationSensitivity> activations_;
  std::vector<std::vector<uint64_t>> code_bytes_;  // [layers][options]
  uint64_t most_code_bytes_;
  Knapsack knapsack_;  // of losses alone
};

// Of the file that the decisions make.
Result<uint64_t> FileBytes(const ModelData& float_model, const Decisions& decisions);

}  // namespace mpq

#endif  // MPQ_QUANTIZE_ALLOCATION_ALLOCATION_H_
