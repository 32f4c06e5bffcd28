// Feeds bytes to the ONNX importer. Whatever it accepts must pass through the quantiser's passes
// and be written as a float model, or be refused with a message.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "format/writer.h"
#include "quantize/import/onnx_import.h"
#include "quantize/passes/simplify.h"

namespace mpq {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

// The importer takes a path, because weights may lie in files beside the model: a file in memory
// has one, and nothing beside it.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : file_(memfd_create("fuzz.onnx", 0)) {
    Require(file_ >= 0);
    Require(write(file_, data, size) == static_cast<ssize_t>(size));
  }
  ~MemoryFile() { close(file_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  int file_;
};

void Import(const std::string& path) {
  Result<ImportedModel> imported = ImportOnnx(path);
  if (!imported.ok()) {
    Require(!imported.status().message().empty());
    return;
  }
  ModelData model;
  model.graph = std::move(imported->graph);
  Simplify(model.graph);
  const Tensor& input = model.graph.tensors[model.graph.input];
  model.preprocessing.crop_height = input.height;
  model.preprocessing.crop_width = input.width;
  const Result<std::vector<uint8_t>> file = SerializeModel(model);
  Require(file.ok() || !file.status().message().empty());
}

}  // namespace
}  // namespace mpq

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mpq::Import(mpq::MemoryFile(data, size).path());
  return 0;
}
