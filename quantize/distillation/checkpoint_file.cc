#include "quantize/distillation/checkpoint_file.h"

#include <filesystem>
#include <fstream>
#include <vector>

#include "format/atomic_file.h"
#include "format/message.h"
#include "quantize/distillation/distillation.h"

namespace mpq {

Status CheckpointFile::Restore(Distillation& distillation) const {
  std::error_code error;
  if (path_.empty() || !std::filesystem::exists(path_, error)) return Status();
  std::ifstream file(path_, std::ios::binary | std::ios::ate);
  std::vector<uint8_t> state(file ? static_cast<size_t>(file.tellg()) : 0);
  file.seekg(0);
  file.read(reinterpret_cast<char*>(state.data()), static_cast<std::streamsize>(state.size()));
  if (!file) return Error(ErrorCode::kIo, path_, ": cannot be read");
  return distillation.RestoreState(state).WithContext(path_);
}

Status CheckpointFile::Save(Distillation& distillation) const {
  if (path_.empty()) return Status();
  return WriteFileAtomically(path_, distillation.SaveState());
}

}  // namespace mpq
