// Real models beside the project, for tests that skip where they are absent.
#ifndef MPQ_TESTS_IMPORT_SHARED_MODELS_H_
#define MPQ_TESTS_IMPORT_SHARED_MODELS_H_

#include <optional>
#include <string>

namespace mpq {

// The folder of unpacked ONNX models of ../shared (or of the folder MPQ_SHARED names). Nothing, and
// a visible message, where it does not exist.
std::optional<std::string> SharedModelsFolder();

}  // namespace mpq

#endif  // MPQ_TESTS_IMPORT_SHARED_MODELS_H_
