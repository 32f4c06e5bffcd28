// A folder of a test's own, removed afterwards, and files in it.
#ifndef MPQ_TESTS_TEST_FOLDER_H_
#define MPQ_TESTS_TEST_FOLDER_H_

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <span>
#include <string>

namespace mpq {

class TestFolder {
 public:
  TestFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mpq_test_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }
  // Writes a file, with the folders on its way, and returns its path.
  std::string Write(const std::string& name, const std::string& contents) const {
    const std::filesystem::path file = std::filesystem::path(path_) / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << contents;
    return file.string();
  }

 private:
  std::string path_;
};

// A binary PPM of one colour.
inline std::string Ppm(int width, int height, uint8_t red, uint8_t green, uint8_t blue) {
  std::string file = "P6\n" + std::to_string(width) + " " + std::to_string(height) + "\n255\n";
  for (int i = 0; i < width * height; ++i) {
    file.push_back(static_cast<char>(red));
    file.push_back(static_cast<char>(green));
    file.push_back(static_cast<char>(blue));
  }
  return file;
}

}  // namespace mpq

#endif  // MPQ_TESTS_TEST_FOLDER_H_
