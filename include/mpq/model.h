// A model: the immutable contents of a .mpq file. Shared by any number of sessions and threads.
#ifndef MPQ_MODEL_H_
#define MPQ_MODEL_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mpq/status.h"

namespace mpq {

struct ModelData;  // format/model_data.h; what tools and tests look into

class Model {
 public:
  // Maps the file; weights are used in place. The file must not be changed or truncated while the
  // model lives: the operating system would end the process (SIGBUS). Replace files by renaming, as
  // the writer does.
  static Result<Model> Load(const std::string& path);
  // Uses the caller's memory in place: a const array in flash, say. It must stay alive and be
  // 64-byte aligned.
  static Result<Model> FromMemory(std::span<const uint8_t> file);
  // Copies the bytes first; no demands on lifetime or alignment.
  static Result<Model> FromCopy(std::span<const uint8_t> file);
  // A model that never was a file. Validated like one.
  static Result<Model> FromData(ModelData data);

  const ModelData& data() const;
  // Class names, one per logit, or none.
  const std::vector<std::string>& labels() const;
  // False for float models, whose results are not bit-identical between machines.
  bool is_integer() const;
  // Nominal size of the input in pixels, and the number of logits.
  uint32_t input_height() const;
  uint32_t input_width() const;
  uint32_t input_channels() const;
  uint32_t num_classes() const;
  // Size of the file, 0 for FromData.
  uint64_t file_bytes() const;

  struct Contents;
  explicit Model(std::shared_ptr<const Contents> contents) : contents_(std::move(contents)) {}

 private:
  std::shared_ptr<const Contents> contents_;
};

}  // namespace mpq

#endif  // MPQ_MODEL_H_
