#include "apps/recipe.h"

#include <fstream>
#include <limits>
#include <utility>

#include "format/atomic_file.h"
#include "format/message.h"
#include "quantize/method.h"

namespace mpq {

namespace {

using Json = nlohmann::ordered_json;

// Takes settings out of an object; remembers the first thing that is wrong.
class SettingsReader {
 public:
  explicit SettingsReader(Json json) : json_(std::move(json)) {}

  template <typename T>
  void Number(const char* key, T least, T most, T& number) {
    const Json value = Take(key);
    if (!value.is_null()) ToNumber(key, value, least, most, number);
  }

  // 0..most
  void Real(const char* key, double most, double& number) {
    const Json value = Take(key);
    if (value.is_null()) return;
    if (!value.is_number() || value.get<double>() < 0 || value.get<double>() > most) {
      return Fail(key, value, Message("expected a number in 0..", most));
    }
    number = value.get<double>();
  }

  void Flag(const char* key, bool& flag) {
    const Json value = Take(key);
    if (value.is_null()) return;
    if (!value.is_boolean()) return Fail(key, value, "expected true or false");
    flag = value.get<bool>();
  }

  // `parse` makes a Result of a word; what it holds is given to `use`.
  template <typename Parse, typename Use>
  void Word(const char* key, Parse parse, Use use) {
    const Json value = Take(key);
    if (value.is_null()) return;
    if (!value.is_string()) return Fail(key, value, "expected a string");
    const auto word = value.get<std::string>();
    const auto parsed = parse(word);
    if (!parsed.ok()) return Fail(key, value, parsed.status().message());
    use(word, *parsed);
  }

  void Layers(const char* key, std::vector<LayerBits>& layers) {
    const Json value = Take(key);
    if (value.is_null()) return;
    if (!value.is_object()) return Fail(key, value, "expected layers' names and bits");
    for (const auto& [name, bits] : value.items()) {
      LayerBits layer{name, 0, /*whole_name=*/true};
      ToNumber(Message(key, ".", name), bits, 1, kMaxBits, layer.bits);
      layers.push_back(std::move(layer));
    }
  }

  // After all known keys.
  Status Finish() {
    for (const auto& [key, value] : json_.items()) Fail(key, value, "unknown key");
    return status_;
  }

 private:
  Json Take(const char* key) {
    const auto it = json_.find(key);
    if (it == json_.end()) return Json();
    Json value = std::move(*it);
    json_.erase(it);
    if (value.is_null()) Fail(key, value, "expected a value");
    return value;
  }

  template <typename T>
  void ToNumber(const std::string& key, const Json& value, T least, T most, T& number) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() < static_cast<uint64_t>(least) ||
        value.get<uint64_t>() > static_cast<uint64_t>(most)) {
      return Fail(key, value, Message("expected a whole number in ", least, "..", most));
    }
    number = value.get<T>();
  }

  void Fail(const std::string& key, const Json& value, const std::string& problem) {
    if (!status_.ok()) return;
    const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    status_ = Error(ErrorCode::kInvalidArgument, "'", key, "' is ", text, ": ", problem);
  }

  Json json_;
  Status status_;
};

Status Parse(const Json& json, Recipe& recipe) {
  if (!json.is_object()) return Error(ErrorCode::kInvalidArgument, "not a JSON object");
  constexpr uint32_t kManyImages = std::numeric_limits<uint32_t>::max();
  constexpr uint32_t kManyEpochs = 100000;
  constexpr uint32_t kManyViews = 64;
  constexpr double kManyBitOperations = 1e18;
  QuantizeOptions& q = recipe.quantize;
  SettingsReader reader(json);
  reader.Word(
      "method", [](const std::string& name) { return MakeMethod(name); },
      [&](const std::string& name, auto&) { q.method = name; });
  PtilmpqOptions& ptilmpq = q.method_options.ptilmpq;
  reader.Real("alpha", 1, ptilmpq.alpha);
  reader.Word("alpha_mode", ParseAlphaMode,
              [&](const std::string&, AlphaMode mode) { ptilmpq.mode = mode; });
  reader.Number("low_bits", 2, 5, ptilmpq.low_bits);
  reader.Number("high_bits", 3, kMaxTableBits, ptilmpq.high_bits);
  reader.Flag("data_free", ptilmpq.data_free);
  reader.Number("weight_bits", 1, kMaxBits, q.bit_widths.weights);
  reader.Number("first_bits", 0, kMaxBits, q.bit_widths.first);
  reader.Number("last_bits", 0, kMaxBits, q.bit_widths.last);
  reader.Layers("layers", q.bit_widths.layers);
  reader.Number("target_size", uint64_t{0}, std::numeric_limits<uint64_t>::max(), q.target_bytes);
  reader.Real("max_bops", kManyBitOperations, q.max_bit_operations);
  reader.Number("activation_bits", 2, 8, q.activation_bits);
  reader.Number("least_activation_bits", 0, 8, q.least_activation_bits);
  reader.Word("activation_range", ParseRangeMethod,
              [&](const std::string&, RangeMethod method) { q.range_method = method; });
  reader.Word("rounding", ParseRounding,
              [&](const std::string&, Rounding rounding) { q.rounding = rounding; });
  reader.Flag("match_variance", q.match_variance);
  reader.Number("views", 1u, kManyViews, q.views);
  reader.Flag("equalize", q.equalize);
  reader.Number("refine_epochs", 0u, kManyEpochs, q.refinement.epochs);
  reader.Number("distill_epochs", 0u, kManyEpochs, q.distillation.epochs);
  reader.Number("images", 0u, kManyImages, recipe.images);
  reader.Number("seed", uint64_t{0}, std::numeric_limits<uint64_t>::max(), q.seed);
  // Recipes of other CPUs can be read: --float-isa may replace the name.
  reader.Word(
      "float_isa", [](const std::string& name) { return Result<std::string>(name); },
      [&](const std::string& name, const std::string&) { recipe.float_isa = name; });
  return reader.Finish();
}

}  // namespace

Json RecipeToJson(const Recipe& recipe) {
  const QuantizeOptions& q = recipe.quantize;
  Json layers = Json::object();
  for (const LayerBits& layer : q.bit_widths.layers) layers[layer.pattern] = layer.bits;
  const PtilmpqOptions& ptilmpq = q.method_options.ptilmpq;
  return {{"method", q.method},
          {"alpha", ptilmpq.alpha},
          {"alpha_mode", AlphaModeName(ptilmpq.mode)},
          {"low_bits", ptilmpq.low_bits},
          {"high_bits", ptilmpq.high_bits},
          {"data_free", ptilmpq.data_free},
          {"weight_bits", q.bit_widths.weights},
          {"first_bits", q.bit_widths.first},
          {"last_bits", q.bit_widths.last},
          {"layers", layers},
          {"target_size", q.target_bytes},
          {"max_bops", q.max_bit_operations},
          {"activation_bits", q.activation_bits},
          {"least_activation_bits", q.least_activation_bits},
          {"rounding", RoundingName(q.rounding)},
          {"match_variance", q.match_variance},
          {"views", q.views},
          {"activation_range", RangeMethodName(q.range_method)},
          {"equalize", q.equalize},
          {"refine_epochs", q.refinement.epochs},
          {"distill_epochs", q.distillation.epochs},
          {"images", recipe.images},
          {"seed", q.seed},
          {"float_isa", recipe.float_isa}};
}

Status ApplyEffort(const std::string& name, Recipe& recipe) {
  if (name != "fast" && name != "default" && name != "best") {
    return Error(ErrorCode::kInvalidArgument, "effort '", name,
                 "', expected fast, default or best");
  }
  const Recipe defaults;
  recipe.images = name == "fast" ? 256 : name == "best" ? 0 : defaults.images;
  recipe.quantize.views = name == "best" ? 3 : defaults.quantize.views;
  recipe.quantize.rounding = name == "fast" ? Rounding::kGptq : Rounding::kSequential;
  return Status();
}

Status WriteRecipe(const Recipe& recipe, const std::string& path) {
  const std::string text =
      RecipeToJson(recipe).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  return WriteFileAtomically(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

Status ReadRecipe(const std::string& path, Recipe& recipe) {
  std::ifstream file(path);
  if (!file) return Error(ErrorCode::kIo, path, ": cannot be opened");
  const Json json = Json::parse(file, /*callback=*/nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Error(ErrorCode::kInvalidArgument, path, ": not valid JSON");
  return Parse(json, recipe).WithContext(path);
}

Result<RangeMethod> ParseRangeMethod(const std::string& name) {
  for (const RangeMethod method :
       {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kSquaredError}) {
    if (name == RangeMethodName(method)) return method;
  }
  return Error(ErrorCode::kInvalidArgument, "'", name, "': expected minmax, percentile or mse");
}

}  // namespace mpq
