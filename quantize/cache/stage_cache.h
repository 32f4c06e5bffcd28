// The folder from which an interrupted or repeated quantisation goes on: what its long stages have
// found, each under a fingerprint of all that it depends on. With it or without it, the result has
// the same bytes.
#ifndef MPQ_QUANTIZE_CACHE_STAGE_CACHE_H_
#define MPQ_QUANTIZE_CACHE_STAGE_CACHE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mpq/status.h"

namespace mpq {

class StageCache {
 public:
  // An empty folder's name: nothing is kept. The folder is made where it is missing.
  explicit StageCache(std::string folder = {}) : folder_(std::move(folder)) {}

  // Whether there is somewhere to keep things: fingerprints cost a pass over model and images.
  bool enabled() const { return !folder_.empty(); }

  // Nothing where there is no such file; an error, with its name, where it is damaged.
  Result<std::optional<std::vector<uint8_t>>> Load(std::string_view stage,
                                                   uint64_t fingerprint) const;
  // Replaces the file, so that a crash leaves the old contents or the new ones.
  Status Save(std::string_view stage, uint64_t fingerprint, std::span<const uint8_t> bytes) const;

 private:
  std::string Path(std::string_view stage, uint64_t fingerprint) const;

  std::string folder_;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_CACHE_STAGE_CACHE_H_
