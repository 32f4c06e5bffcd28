// Where the activations of a float graph lie: which tensors share a buffer, and the buffers' places
// in one arena. Knows nothing of oneDNN.
#ifndef MPQ_ENGINE_ONEDNN_TENSOR_STORAGE_H_
#define MPQ_ENGINE_ONEDNN_TENSOR_STORAGE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "format/graph.h"
#include "format/shape.h"

namespace mpq::onednn {

// An Add of a convolution's result runs inside the convolution where it may overwrite the other
// operand: that one's buffer becomes the sum's, and the convolution's result is never stored.
class TensorStorage {
 public:
  // keep_tensors: no fusion and no sharing.
  TensorStorage(const Graph& graph, std::span<const Shape> shapes, uint32_t batch,
                bool keep_tensors);

  size_t arena_bytes() const { return arena_bytes_; }
  // Byte offset of a tensor in the arena.
  size_t offset(uint32_t tensor) const { return offsets_[tensor]; }
  // The Add that runs inside node `index`, or kNone.
  uint32_t fused_add(uint32_t index) const { return fused_adds_[index]; }
  // True for an Add that runs inside a convolution.
  bool is_fused(uint32_t index) const { return is_fused_[index]; }

 private:
  void FindUses(const Graph& graph);
  void FuseAdds(const Graph& graph);
  bool CanFuse(const Graph& graph, uint32_t add, uint32_t conv_result, uint32_t other) const;
  void Place(const Graph& graph, std::span<const Shape> shapes, uint32_t batch, bool keep_tensors);

  std::vector<uint32_t> producers_;             // node of each tensor; kNone: the input
  std::vector<std::vector<uint32_t>> readers_;  // nodes, per tensor, ascending
  std::vector<uint32_t> fused_adds_;
  std::vector<bool> is_fused_;
  std::vector<uint32_t> owners_;  // the tensor whose buffer each tensor uses
  std::vector<size_t> offsets_;
  size_t arena_bytes_ = 0;
};

}  // namespace mpq::onednn

#endif  // MPQ_ENGINE_ONEDNN_TENSOR_STORAGE_H_
