// What a stage that decides layers one after the other has done so far, in the cache.
#ifndef MPQ_QUANTIZE_CACHE_SAVED_LAYERS_H_
#define MPQ_QUANTIZE_CACHE_SAVED_LAYERS_H_

#include <cstddef>
#include <cstdint>

#include "mpq/status.h"
#include "quantize/cache/stage_cache.h"
#include "quantize/decisions.h"

namespace mpq {

class SavedLayers {
 public:
  // `cache` must outlive the object. The fingerprint is of all that the stage depends
  // on; it does not matter if the cache is not enabled.
  SavedLayers(const StageCache& cache, const char* stage, uint64_t fingerprint)
      : cache_(cache), stage_(stage), fingerprint_(fingerprint) {}

  // How many steps are done, with the layers as they were then; 0 leaves them as they are.
  Result<size_t> Restore(Decisions& decisions) const;
  Status Save(size_t done, const Decisions& decisions) const;

 private:
  const StageCache& cache_;
  const char* const stage_;
  const uint64_t fingerprint_;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_CACHE_SAVED_LAYERS_H_
