// Recipes: the settings of a quantisation as JSON, so that the same file can be made again.
//   {"method": "uniform", "alpha": 0.5, "alpha_mode": "fraction", "low_bits": 3, "high_bits": 4,
//    "data_free": false, "weight_bits": 4, "first_bits": 8, "last_bits": 8,
//    "layers": {"stem": 6}, "target_size": 0, "max_bops": 0, "activation_bits": 8,
//    "least_activation_bits": 0, "rounding": "sequential", "match_variance": false, "views": 1,
//    "activation_range": "mse", "equalize": false, "refine_epochs": 0, "distill_epochs": 0,
//    "images": 512, "seed": 1, "float_isa": "avx2"}
// Keys that are left out keep their defaults, unknown ones are errors. Threads and memory limits
// are no settings: they do not change the result.
#ifndef MPQ_APPS_RECIPE_H_
#define MPQ_APPS_RECIPE_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "mpq/status.h"
#include "quantize/quantize.h"

namespace mpq {

struct Recipe {
  QuantizeOptions quantize;
  uint32_t images = 512;  // of the calibration set; 0: all
  std::string float_isa;  // empty: the best of this CPU
};

// Sets what makes the difference between a quick trial and the most that can be had:
//   fast     second-order rounding, 256 images: some 20 s for a MobileNet on two cores
//   default  sequential rounding, 512 images: about 2 minutes
//   best     the same with all images
Status ApplyEffort(const std::string& name, Recipe& recipe);

// The layers of `recipe` must be named (see NameLayers).
nlohmann::ordered_json RecipeToJson(const Recipe& recipe);
Status WriteRecipe(const Recipe& recipe, const std::string& path);

// Sets what the file at `path` says. The error names the file, the key and the value. Whether
// float_isa is one of this CPU's is left to SetFloatIsa.
Status ReadRecipe(const std::string& path, Recipe& recipe);

// "minmax", "percentile" or "mse".
Result<RangeMethod> ParseRangeMethod(const std::string& name);

}  // namespace mpq

#endif  // MPQ_APPS_RECIPE_H_
