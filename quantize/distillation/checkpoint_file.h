// The file from which an interrupted distillation goes on.
#ifndef MPQ_QUANTIZE_DISTILLATION_CHECKPOINT_FILE_H_
#define MPQ_QUANTIZE_DISTILLATION_CHECKPOINT_FILE_H_

#include <string>

#include "mpq/status.h"

namespace mpq {

class Distillation;

class CheckpointFile {
 public:
  // An empty path: nothing is ever saved.
  explicit CheckpointFile(std::string path) : path_(std::move(path)) {}

  // Does nothing where there is no file yet; an error where it does not fit.
  Status Restore(Distillation& distillation) const;
  // Replaces the file, so that a crash leaves the old state or the new one.
  Status Save(Distillation& distillation) const;

 private:
  std::string path_;
};

}  // namespace mpq

#endif  // MPQ_QUANTIZE_DISTILLATION_CHECKPOINT_FILE_H_
