// Runs an ONNX model through the importer and the float executor on prepared pixels and prints the
// backend and the instruction set: our half of compare_onnxruntime.py.
//   float_logits MODEL.onnx SRC DST BATCH [ISA]
// SRC: raw floats, [batch][height][width][channels] at the model's nominal size. DST: raw logits.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "engine/core/float_executor.h"
#include "quantize/import/onnx_import.h"

namespace mpq {
namespace {

std::vector<float> ReadFloats(const char* path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  std::vector<float> values(file ? static_cast<size_t>(file.tellg()) / sizeof(float) : 0);
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(float)));
  return values;
}

Status RunModel(int argc, char** argv) {
  if (argc > 5) MPQ_RETURN_IF_ERROR(SetFloatIsa(argv[5]));
  MPQ_ASSIGN_OR_RETURN(const ImportedModel model, ImportOnnx(argv[1]));
  const auto batch = static_cast<uint32_t>(std::atoi(argv[4]));
  MPQ_ASSIGN_OR_RETURN(auto executor, MakeFloatExecutor(model.graph, {.batch = batch}));
  MPQ_RETURN_IF_ERROR(executor->Run(ReadFloats(argv[2])));
  MPQ_ASSIGN_OR_RETURN(const std::span<const float> logits, executor->Read(model.graph.output));
  std::ofstream file(argv[3], std::ios::binary);
  file.write(reinterpret_cast<const char*>(logits.data()),
             static_cast<std::streamsize>(logits.size_bytes()));
  std::printf("%s, %s\n", FloatBackendDescription().c_str(), FloatIsaName().c_str());
  return file.flush() ? Status() : Status(ErrorCode::kIo, std::string(argv[3]) + ": not written");
}

}  // namespace
}  // namespace mpq

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: float_logits MODEL.onnx SRC DST BATCH [ISA]\n");
    return 2;
  }
  const mpq::Status status = mpq::RunModel(argc, argv);
  if (!status.ok()) std::fprintf(stderr, "float_logits: %s\n", status.message().c_str());
  return status.ok() ? 0 : 1;
}
