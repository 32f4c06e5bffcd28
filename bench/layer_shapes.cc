#include "bench/layer_shapes.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>

#include "format/message.h"

namespace mpq {

namespace {

constexpr size_t kFields = 7;
// Far beyond any network, and small enough that their products stay within 64 bits.
constexpr uint32_t kMaxCount = 1000, kMaxSize = 4096, kMaxChannels = 1 << 14, kMaxKernel = 64;
constexpr uint64_t kMaxValues = uint64_t{1} << 28;  // of a tensor or of the weights

// Where a value stands, for messages.
struct Place {
  const std::string& source;
  size_t line;

  template <typename... Parts>
  Status Bad(const Parts&... parts) const {
    return Error(ErrorCode::kInvalidArgument, source, ":", line, ": ", parts...);
  }
};

Status ParseField(const Place& place, const char* name, const std::string& text, uint32_t limit,
                  uint32_t& value) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || rest != end || value == 0 || value > limit) {
    return place.Bad(name, " '", text, "', expected 1 to ", limit);
  }
  return Status();
}

Result<LayerShape> ParseFields(const Place& place, const std::vector<std::string>& fields) {
  if (fields.size() != kFields) {
    return place.Bad(fields.size(), " fields, expected ", kFields,
                     ": count operator size in_channels out_channels kernel stride");
  }
  LayerShape shape;
  MPQ_RETURN_IF_ERROR(ParseField(place, "count", fields[0], kMaxCount, shape.count));
  shape.depthwise = fields[1] == "depthwise";
  if (!shape.depthwise && fields[1] != "conv") {
    return place.Bad("operator '", fields[1], "', expected conv or depthwise");
  }
  MPQ_RETURN_IF_ERROR(ParseField(place, "size", fields[2], kMaxSize, shape.size));
  MPQ_RETURN_IF_ERROR(ParseField(place, "in_channels", fields[3], kMaxChannels, shape.in_channels));
  MPQ_RETURN_IF_ERROR(
      ParseField(place, "out_channels", fields[4], kMaxChannels, shape.out_channels));
  MPQ_RETURN_IF_ERROR(ParseField(place, "kernel", fields[5], kMaxKernel, shape.kernel));
  MPQ_RETURN_IF_ERROR(ParseField(place, "stride", fields[6], kMaxKernel, shape.stride));
  if (shape.depthwise && shape.in_channels != shape.out_channels) {
    return place.Bad("depthwise with ", shape.in_channels, " in_channels and ", shape.out_channels,
                     " out_channels, expected as many");
  }
  if (shape.size + 2 * (shape.kernel / 2) < shape.kernel) {
    return place.Bad("kernel ", shape.kernel, " is larger than the padded size ", shape.size);
  }
  const uint64_t pixels = uint64_t{shape.size} * shape.size;
  const uint64_t taps = uint64_t{shape.kernel} * shape.kernel;
  const uint64_t values = std::max({pixels * shape.in_channels, pixels * shape.out_channels,
                                    taps * shape.in_channels * shape.out_channels});
  if (values > kMaxValues) {
    return place.Bad(values, " values of a tensor or of the weights, expected at most ",
                     kMaxValues);
  }
  return shape;
}

}  // namespace

std::string LayerShape::Name() const {
  return Message(size, "x", size, "x", in_channels, depthwise ? " depthwise " : " -> ",
                 depthwise ? "" : Message(out_channels, " "), kernel, "x", kernel, " /", stride);
}

Result<std::vector<LayerShape>> ParseLayerShapes(std::string_view text, const std::string& source) {
  std::vector<LayerShape> shapes;
  std::istringstream stream{std::string(text)};
  size_t number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    std::istringstream words(line.substr(0, line.find('#')));
    const std::vector<std::string> fields(std::istream_iterator<std::string>(words), {});
    if (fields.empty()) continue;
    MPQ_ASSIGN_OR_RETURN(const LayerShape shape, ParseFields({source, number}, fields));
    shapes.push_back(shape);
  }
  if (shapes.empty()) return Error(ErrorCode::kInvalidArgument, source, ": no shapes");
  return shapes;
}

Result<std::vector<LayerShape>> ReadLayerShapes(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return Error(ErrorCode::kIo, path, ": cannot be read");
  return ParseLayerShapes(text.str(), path);
}

}  // namespace mpq
