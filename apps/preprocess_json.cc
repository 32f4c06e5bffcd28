#include "apps/preprocess_json.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "format/message.h"

namespace mpq {

namespace {

using Json = nlohmann::json;

constexpr uint32_t kMaxSide = 16384;

// Reads keys of one object; remembers the first thing that is wrong.
class KeyReader {
 public:
  explicit KeyReader(const Json& json) : json_(json) {}

  const Status& status() const { return status_; }

  uint32_t Pixels(const char* key, uint32_t least) {
    const auto it = json_.find(key);
    if (it == json_.end()) return Fail(key, "is missing"), 0;
    return ToPixels(key, *it, least);
  }

  void Crop(uint32_t& height, uint32_t& width) {
    const auto it = json_.find("crop");
    if (it == json_.end()) return Fail("crop", "is missing");
    const bool pair = it->is_array() && it->size() == 2;
    height = ToPixels("crop", pair ? (*it)[0] : *it, 1);
    width = ToPixels("crop", pair ? (*it)[1] : *it, 1);
  }

  std::string Word(const char* key, std::string otherwise) {
    const auto it = json_.find(key);
    if (it == json_.end()) return otherwise;
    if (!it->is_string()) return Fail(key, "is not a string"), otherwise;
    return it->get<std::string>();
  }

  void Triple(const char* key, bool positive, std::array<float, 3>& values) {
    const auto it = json_.find(key);
    if (it == json_.end()) return;
    if (!it->is_array() || it->size() != 3) return Fail(key, "is not a list of three numbers");
    for (size_t i = 0; i < 3; ++i) {
      if (!(*it)[i].is_number()) return Fail(key, "is not a list of three numbers");
      values[i] = (*it)[i].get<float>();
      if (!std::isfinite(values[i]) || (positive && values[i] <= 0)) {
        return Fail(key, "is out of range");
      }
    }
  }

  void Fail(const char* key, std::string_view problem) {
    if (status_.ok()) status_ = Error(ErrorCode::kInvalidArgument, "'", key, "' ", problem);
  }

 private:
  uint32_t ToPixels(const char* key, const Json& value, uint32_t least) {
    if (!value.is_number_integer() || value < least || value > kMaxSide) {
      Fail(key, Message("is not a number of pixels in ", least, "..", kMaxSide));
      return least;
    }
    return value.get<uint32_t>();
  }

  const Json& json_;
  Status status_;
};

Result<Preprocessing> Parse(const Json& json) {
  if (!json.is_object()) return Error(ErrorCode::kInvalidArgument, "not a JSON object");
  KeyReader reader(json);
  Preprocessing preprocessing;
  preprocessing.resize_short_side = reader.Pixels("resize_short_side", 0);
  reader.Crop(preprocessing.crop_height, preprocessing.crop_width);
  const std::string filter = reader.Word("interpolation", "bilinear");
  if (filter == "nearest") {
    preprocessing.interpolation = Interpolation::kNearest;
  } else if (filter == "bilinear") {
    preprocessing.interpolation = Interpolation::kBilinear;
  } else if (filter == "bicubic") {
    preprocessing.interpolation = Interpolation::kBicubic;
  } else {
    reader.Fail("interpolation", "is none of nearest, bilinear, bicubic");
  }
  const std::string order = reader.Word("channel_order", "RGB");
  if (order != "RGB" && order != "BGR") reader.Fail("channel_order", "is none of RGB, BGR");
  preprocessing.bgr = order == "BGR";
  reader.Triple("mean", /*positive=*/false, preprocessing.mean);
  reader.Triple("std", /*positive=*/true, preprocessing.std);
  if (!reader.status().ok()) return reader.status();
  return preprocessing;
}

}  // namespace

Result<Preprocessing> ReadPreprocessJson(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Error(ErrorCode::kIo, path, ": cannot be opened");
  const Json json = Json::parse(file, /*callback=*/nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Error(ErrorCode::kInvalidArgument, path, ": not valid JSON");
  Result<Preprocessing> parsed = Parse(json);
  if (!parsed.ok()) return parsed.status().WithContext(path);
  return parsed;
}

}  // namespace mpq
