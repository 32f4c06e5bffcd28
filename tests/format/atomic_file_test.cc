#include "format/atomic_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "format/reader.h"
#include "format/writer.h"
#include "tests/format/sample_models.h"

namespace mpq {
namespace {

namespace fs = std::filesystem;

// A folder of its own that is removed at the end.
class Folder {
 public:
  Folder() : path_((fs::temp_directory_path() / "mpq-test-XXXXXX").string()) {
    REQUIRE(mkdtemp(path_.data()) != nullptr);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  size_t size() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(path_), {}));
  }

 private:
  std::string path_;
};

std::vector<uint8_t> ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::vector<uint8_t>(std::istreambuf_iterator<char>(in), {});
}

TEST_CASE("a file is created and replaced") {
  const Folder folder;
  const std::string path = folder / "a";
  const std::vector<uint8_t> first = {1, 2, 3};
  const std::vector<uint8_t> second(100000, 7);
  REQUIRE(WriteFileAtomically(path, first).ok());
  CHECK(ReadAll(path) == first);
  REQUIRE(WriteFileAtomically(path, second).ok());
  CHECK(ReadAll(path) == second);
  REQUIRE(WriteFileAtomically(path, {}).ok());
  CHECK(ReadAll(path).empty());
  CHECK(folder.size() == 1);
}

TEST_CASE("permissions: those of the file replaced, or what the umask leaves") {
  const Folder folder;
  const std::string path = folder / "a";
  const auto mode = [&] {
    struct stat info;
    REQUIRE(stat(path.c_str(), &info) == 0);
    return info.st_mode & 0777;
  };
  const mode_t old_mask = umask(027);
  REQUIRE(WriteFileAtomically(path, {}).ok());
  umask(old_mask);
  CHECK(mode() == 0640);
  REQUIRE(chmod(path.c_str(), 0604) == 0);
  REQUIRE(WriteFileAtomically(path, {}).ok());
  CHECK(mode() == 0604);
}

TEST_CASE("failures name the path and leave nothing behind") {
  const Folder folder;
  const Status missing = WriteFileAtomically(folder / "no/such/file", {});
  CHECK(missing.code() == ErrorCode::kIo);
  CHECK(missing.message().find("no/such/file") != std::string::npos);
  // A folder cannot be replaced by a file.
  fs::create_directory(folder / "taken");
  fs::create_directory(folder / "taken/inside");
  const Status taken = WriteFileAtomically(folder / "taken", {});
  CHECK(taken.code() == ErrorCode::kIo);
  CHECK(folder.size() == 1);
}

TEST_CASE("models are written to files; bad models do not touch them") {
  const Folder folder;
  const std::string path = folder / "model.mpq";
  ModelData model = AllOperatorsModel(false);
  REQUIRE(WriteModel(model, path).ok());
  const std::vector<uint8_t> bytes = ReadAll(path);
  CHECK(bytes == SerializeModel(model).value());
  model.labels.pop_back();
  CHECK(WriteModel(model, path).code() == ErrorCode::kCorrupt);
  CHECK(ReadAll(path) == bytes);
}

}  // namespace
}  // namespace mpq
