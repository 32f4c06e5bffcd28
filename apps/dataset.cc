#include "apps/dataset.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "apps/image_file.h"
#include "engine/image/preprocess.h"
#include "format/message.h"
#include "format/system_error.h"

namespace mpq {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kCifarSide = 32;
constexpr size_t kCifarPlane = kCifarSide * kCifarSide;
constexpr size_t kCifarRecord = 1 + 3 * kCifarPlane;
constexpr uint32_t kCifarClasses = 10;

// One CIFAR-10 record, planes to packed pixels.
Image CifarImage(const uint8_t* record) {
  Image image{kCifarSide, kCifarSide, std::vector<uint8_t>(3 * kCifarPlane)};
  for (size_t p = 0; p < kCifarPlane; ++p) {
    for (size_t c = 0; c < 3; ++c) image.rgb[p * 3 + c] = record[1 + c * kCifarPlane + p];
  }
  return image;
}

struct LabelLine {
  std::string file;
  uint32_t class_index = 0;
};

Result<LabelLine> ParseLabelLine(std::string_view line) {
  const size_t tab = line.find('\t');
  if (tab == 0 || tab == line.npos) {
    return Error(ErrorCode::kCorrupt, "expected file<TAB>class index, found '", line, "'");
  }
  const std::string_view number = line.substr(tab + 1);
  LabelLine label{std::string(line.substr(0, tab)), 0};
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), label.class_index);
  if (error != std::errc() || end != number.data() + number.size()) {
    return Error(ErrorCode::kCorrupt, "class index '", number, "' is no number");
  }
  return label;
}

// Subfolders that hold the classes, sorted; empty if `folder` has none.
Result<std::vector<std::string>> ClassFolders(const std::string& folder) {
  std::vector<std::string> folders;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->is_directory(error)) folders.push_back(it->path().string());
  }
  if (error) return Error(ErrorCode::kIo, folder, ": ", error.message());
  std::sort(folders.begin(), folders.end());
  return folders;
}

}  // namespace

Status Dataset::Add(const std::string& path, const std::string& labels_file) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return Error(ErrorCode::kIo, path, ": ",
                 std::make_error_code(std::errc::no_such_file_or_directory).message());
  }
  if (!fs::is_directory(status)) {
    if (fs::path(path).extension() == ".bin") return AddCifar(path);
    return Error(ErrorCode::kInvalidArgument, path,
                 ": expected a folder of images or a CIFAR-10 .bin file");
  }
  const std::string listed = path + "/labels.tsv";
  if (!labels_file.empty()) return AddListed(path, labels_file);
  if (fs::exists(listed, error)) return AddListed(path, listed);
  return AddFolder(path);
}

Status Dataset::AddCifar(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  auto bytes = std::make_shared<std::vector<uint8_t>>();
  bytes->assign(std::istreambuf_iterator<char>(file), {});
  if (!file) return SystemError(path);
  if (bytes->empty() || bytes->size() % kCifarRecord != 0) {
    return Error(ErrorCode::kCorrupt, path, ": ", bytes->size(),
                 " bytes are no whole number of CIFAR-10 records of ", kCifarRecord);
  }
  for (size_t record = 0; record < bytes->size() / kCifarRecord; ++record) {
    const uint32_t class_index = (*bytes)[record * kCifarRecord];
    if (class_index >= kCifarClasses) {
      return Error(ErrorCode::kCorrupt, path, ": record ", record, " has class ", class_index,
                   ", expected 0..", kCifarClasses - 1);
    }
    samples_.push_back({path, class_index, bytes, record});
  }
  return Status();
}

Status Dataset::AddListed(const std::string& folder, const std::string& labels_file) {
  std::ifstream file(labels_file);
  if (!file) return SystemError(labels_file);
  const size_t before = samples_.size();
  uint32_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) continue;
    const std::string place = Message(labels_file, ":", number);
    Result<LabelLine> label = ParseLabelLine(line);
    if (!label.ok()) return label.status().WithContext(place);
    const std::string image = folder + "/" + label->file;
    std::error_code error;
    if (!fs::exists(image, error)) {
      return Error(ErrorCode::kIo, place, ": no such file: ", image);
    }
    samples_.push_back({image, label->class_index, nullptr, 0});
  }
  if (samples_.size() == before) {
    return Error(ErrorCode::kCorrupt, labels_file, ": lists no images");
  }
  return Status();
}

Status Dataset::AddFolder(const std::string& folder) {
  MPQ_ASSIGN_OR_RETURN(const std::vector<std::string> folders, ClassFolders(folder));
  if (folders.empty()) {
    MPQ_ASSIGN_OR_RETURN(const std::vector<std::string> images, ListImages(folder));
    for (const std::string& image : images) samples_.push_back({image, kNoClass, nullptr, 0});
    return Status();
  }
  for (uint32_t i = 0; i < folders.size(); ++i) {
    MPQ_ASSIGN_OR_RETURN(const std::vector<std::string> images, ListImages(folders[i]));
    for (const std::string& image : images) samples_.push_back({image, i, nullptr, 0});
  }
  return Status();
}

void Dataset::Truncate(size_t count) {
  if (count < samples_.size()) samples_.resize(count);
}

bool Dataset::has_classes() const {
  return std::all_of(samples_.begin(), samples_.end(),
                     [](const Sample& sample) { return sample.class_index != kNoClass; });
}

std::string Dataset::name(size_t i) const {
  const Sample& sample = samples_[i];
  return sample.cifar == nullptr ? sample.file : Message(sample.file, "[", sample.record, "]");
}

Status Dataset::CheckClasses(uint32_t num_classes) const {
  for (size_t i = 0; i < size(); ++i) {
    if (class_of(i) == kNoClass || class_of(i) < num_classes) continue;
    return Error(ErrorCode::kInvalidArgument, name(i), ": class ", class_of(i), ", the model has ",
                 num_classes, " classes");
  }
  return Status();
}

Result<Image> Dataset::Load(size_t i, const Preprocessing& preprocessing, uint32_t height,
                            uint32_t width) const {
  const Sample& sample = samples_[i];
  if (sample.cifar != nullptr) {
    const Image image = CifarImage(sample.cifar->data() + sample.record * kCifarRecord);
    return Preprocess(preprocessing, image, height, width);
  }
  MPQ_ASSIGN_OR_RETURN(const DecodedImage image, ReadImageFile(sample.file, Orientation::kIgnore));
  Result<Image> input = Preprocess(preprocessing, image.view(), height, width);
  if (!input.ok()) return input.status().WithContext(sample.file);
  return input;
}

}  // namespace mpq
