#include "tests/import/shared_models.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

namespace mpq {

std::optional<std::string> SharedModelsFolder() {
  const char* chosen = std::getenv("MPQ_SHARED");
  const std::filesystem::path shared = chosen != nullptr ? chosen : MPQ_SOURCE_ROOT "/../shared";
  if (!std::filesystem::exists(shared / "unpack.sh")) {
    MESSAGE("skipped: no " << shared.string() << "; set MPQ_SHARED to the folder");
    return std::nullopt;
  }
  const std::string folder = MPQ_MODELS_FOLDER;
  const std::string unpack = "sh '" + (shared / "unpack.sh").string() + "' '" + folder + "'";
  REQUIRE(std::system(unpack.c_str()) == 0);
  return folder;
}

}  // namespace mpq
