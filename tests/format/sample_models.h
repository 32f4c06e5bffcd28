// Small valid models for tests, the same bytes on every machine. Weights are pseudorandom; what
// they compute has no meaning, but every value is in range.
#ifndef MPQ_TESTS_FORMAT_SAMPLE_MODELS_H_
#define MPQ_TESTS_FORMAT_SAMPLE_MODELS_H_

#include <cstdint>
#include <new>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "format/code_layout.h"
#include "format/model_data.h"

namespace mpq {

struct SampleConv {
  uint32_t kernel = 1;
  uint32_t stride = 1;
  uint32_t dilation = 1;
  uint32_t pad = 0;
  uint32_t groups = 1;
  LevelSetKind level_set = LevelSetKind::kUniform;
  std::vector<uint8_t> bits = {8};  // of block i: bits[i % size]
  bool shifted = false;             // power-of-two requantisation
  uint32_t residual = kNone;        // Conv: a tensor that is added to the result
};

// Builds a graph node by node; every method returns the tensor it makes.
class SampleBuilder {
 public:
  explicit SampleBuilder(bool is_float, uint32_t height = 16, uint32_t width = 16,
                         uint32_t seed = 1);

  uint32_t input() const { return model_.graph.input; }
  uint32_t Conv(uint32_t src, uint32_t out_channels, const SampleConv& conv = {});
  uint32_t DepthwiseConv(uint32_t src, const SampleConv& conv);
  uint32_t MaxPool(uint32_t src, const Window& window);
  uint32_t AvgPool(uint32_t src, const Window& window, bool count_include_pad = false);
  uint32_t GlobalAvgPool(uint32_t src);
  uint32_t Add(uint32_t a, uint32_t b);
  uint32_t Concat(const std::vector<uint32_t>& inputs);
  uint32_t Clip(uint32_t src, float lo, float hi);
  uint32_t SlicePad(uint32_t src, uint32_t stride, uint32_t before, uint32_t after);
  // The last convolution: 1x1 on a pixel, giving 16-bit logits.
  uint32_t Logits(uint32_t src, uint32_t classes, const SampleConv& conv = {});

  // The model, with preprocessing, labels and provenance.
  ModelData Finish(uint32_t output);

 private:
  uint32_t Random(uint32_t below) { return random_() % below; }
  uint32_t AddNode(Node node, const Tensor& like);
  uint32_t AddConv(Node node, uint32_t out_channels, const SampleConv& conv, ElementType type);
  void FillWeights(const Node& node, const SampleConv& conv);
  void FillFloatWeights(Weights& weights);
  void FillLevelSets(Weights& weights, const CodeLayout& layout, const SampleConv& conv);
  void FillChannels(Weights& weights, const CodeLayout& layout, bool shifted, bool logits);

  bool is_float_;
  std::mt19937 random_;
  ModelData model_;
};

// Every operator once or more, mixed widths, all level sets.
ModelData AllOperatorsModel(bool is_float);

// Integer: convolutions with residuals of all kinds - a block's input, a shortcut, the
// convolution's own input - in a chain, with branches, around a depthwise convolution.
ModelData ResidualModel();

// The smallest models that show one thing each; names are those of the golden files.
struct NamedModel {
  std::string name;
  ModelData model;
};
std::vector<NamedModel> GoldenModels();

// Bytes at an address that is a multiple of 64, and exactly as long as asked, so that sanitizers
// see every read beyond the end.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::span<const uint8_t> bytes);
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;
  ~AlignedBytes() { ::operator delete(data_, kAlignment); }

  std::span<const uint8_t> span() const { return {data_, size_}; }
  uint8_t* data() { return data_; }
  size_t size() const { return size_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  uint8_t* data_;
  size_t size_;
};

}  // namespace mpq

#endif  // MPQ_TESTS_FORMAT_SAMPLE_MODELS_H_
