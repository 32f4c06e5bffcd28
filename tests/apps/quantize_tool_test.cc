// Runs the built ptq-quantize as a user would, on a network and images made here.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/import/onnx_builder.h"
#include "tests/test_folder.h"

namespace mpq {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kSide = 16;
constexpr int kClasses = 10;

std::string ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<float> RandomWeights(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random() % 2001) / 2000.0f - 0.5f;
  return values;
}

// Conv, ReLU, depthwise, ReLU, Conv, pool, Gemm.
std::string SmallNetwork() {
  OnnxBuilder b({-1, 3, kSide, kSide});
  b.Floats("w1", {20, 3, 3, 3}, RandomWeights(540, 1));
  b.Node("Conv", {"x", "w1"}, {"stem"}).List("pads", {1, 1, 1, 1}).List("strides", {2, 2});
  b.Node("Relu", {"stem"}, {"stem_relu"});
  b.Floats("w2", {20, 1, 3, 3}, RandomWeights(180, 2));
  b.Node("Conv", {"stem_relu", "w2"}, {"depthwise"}).List("pads", {1, 1, 1, 1}).Int("group", 20);
  b.Node("Relu", {"depthwise"}, {"depthwise_relu"});
  b.Floats("w3", {32, 20, 1, 1}, RandomWeights(640, 3));
  b.Node("Conv", {"depthwise_relu", "w3"}, {"project"});
  b.Node("GlobalAveragePool", {"project"}, {"pooled"});
  b.Node("Flatten", {"pooled"}, {"flat"});
  b.Floats("w4", {kClasses, 32}, RandomWeights(32 * kClasses, 4));
  b.Node("Gemm", {"flat", "w4"}, {"y"}).Int("transB", 1);
  return b.Serialize();
}

std::string NoisyPpm(int width, int height, uint32_t seed) {
  std::mt19937 random(seed);
  std::string file = Ppm(width, height, 0, 0, 0);
  const size_t header = file.size() - size_t(width) * height * 3;
  for (size_t i = header; i < file.size(); ++i) {
    file[i] = static_cast<char>((random() + seed * 16 * (1 + i % 3)) % 256);
  }
  return file;
}

struct ToolRun {
  int exit_code = -1;
  std::string out, err;
};

class QuantizeTool {
 public:
  QuantizeTool() {
    model_ = folder_.Write("model.onnx", SmallNetwork());
    for (int i = 0; i < 8; ++i) {
      folder_.Write("images/" + std::to_string(i) + ".ppm", NoisyPpm(20, 18, i));
    }
  }

  std::string path(const std::string& name) const { return folder_.path() + "/" + name; }
  const TestFolder& folder() const { return folder_; }
  const std::string& model() const { return model_; }

  // The tool with these arguments, as a shell reads them.
  ToolRun Run(const std::string& arguments) const {
    const std::string command = std::string(MPQ_PTQ_QUANTIZE) + " " + arguments + " >" +
                                path("out") + " 2>" + path("err") + " </dev/null";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, ReadBytes(path("out")),
            ReadBytes(path("err"))};
  }

  // Quantises the model into `target` on the images; the report.
  Json Quantize(const std::string& target, const std::string& options) const {
    const ToolRun run = Run(model_ + " --json -o " + path(target) + " --calibration " +
                            path("images") + " " + options);
    REQUIRE_MESSAGE(run.exit_code == 0, run.err);
    return Json::parse(run.out);
  }

  Json DryRun(const std::string& options) const {
    const ToolRun run = Run(model_ + " --json --dry-run " + options);
    REQUIRE_MESSAGE(run.exit_code == 0, run.err);
    return Json::parse(run.out);
  }

  // The arguments after the model fail with one line that has all of `words`; nothing is written.
  void CheckError(int exit_code, const std::string& arguments,
                  const std::vector<std::string>& words) const {
    CheckErrorOf(model_, exit_code, arguments, words);
  }

  void CheckErrorOf(const std::string& model, int exit_code, const std::string& arguments,
                    const std::vector<std::string>& words) const {
    CAPTURE(arguments);
    const ToolRun run = Run(model + " -o " + path("none.mpq") + " " + arguments);
    CAPTURE(run.err);
    CHECK(run.exit_code == exit_code);
    CHECK(run.out.empty());
    const size_t line = run.err.rfind("ptq-quantize: ");  // behind notes, warnings, progress
    REQUIRE(line != std::string::npos);
    CHECK(run.err.find('\n', line) == run.err.size() - 1);
    for (const std::string& word : words) {
      CHECK_MESSAGE(run.err.find(word, line) != std::string::npos, word);
    }
    CHECK_FALSE(fs::exists(path("none.mpq")));
  }

  std::string Calibration() const { return "--calibration " + path("images") + " "; }

 private:
  TestFolder folder_;
  std::string model_;
};

TEST_CASE("report: sizes, bits, agreement, time, memory, digest") {
  const QuantizeTool tool;
  const Json report = tool.Quantize("m.mpq", "");
  CHECK(report["bytes"] == fs::file_size(tool.path("m.mpq")));
  CHECK(report["bytes_before"] > 4 * 1680);
  CHECK(report["weights"] == 540 + 180 + 640 + 32 * kClasses);
  CHECK(report["nominal_bits_per_weight"] == 8);
  CHECK(report["stored_bits_per_weight"] > 8);  // padding of channels and taps
  CHECK(report["file_bits_per_weight"] > report["stored_bits_per_weight"]);
  CHECK(report["calibration"]["images"] == 8);
  CHECK(report["calibration"]["agreement"] >= 0.75);
  CHECK(report["calibration"]["logit_snr_db"] > 20);
  CHECK(report["seconds"] > 0);
  CHECK(report["peak_memory_bytes"] > 1000000);
  CHECK(report["digest"].get<std::string>().size() == 16);

  const ToolRun text =
      tool.Run(tool.model() + " -o " + tool.path("m.mpq") + " " + tool.Calibration());
  CHECK(text.exit_code == 0);
  for (const char* words : {"bytes of", "bits each nominal", "stored", "8 calibration images",
                            "peak memory", "digest"}) {
    CHECK_MESSAGE(text.out.find(words) != std::string::npos, words);
  }
}

TEST_CASE("1 to 8 bits: dry runs predict the size to the byte") {
  const QuantizeTool tool;
  uint64_t smaller = 0;
  for (int bits = 1; bits <= 8; ++bits) {
    CAPTURE(bits);
    const std::string options = "--weight-bits " + std::to_string(bits);
    const Json real = tool.Quantize("m.mpq", options);
    CHECK(real["nominal_bits_per_weight"] == bits);
    CHECK(real["code_bytes"] > smaller);
    smaller = real["code_bytes"];
    const Json dry = tool.DryRun(options + " --images 8");
    CHECK(dry["code_bytes"] == real["code_bytes"]);
    CHECK(dry["bytes"] == real["bytes"]);
  }
}

TEST_CASE("bits by layer, first and last") {
  const QuantizeTool tool;
  const Json report = tool.DryRun(
      "--weight-bits 4 --first-bits 8 --last-bits 6 --layer 'depth|proj=3' "
      "--layer '^project$=5'");
  const double bits = 540 * 8 + 180 * 3 + 640 * 5 + 320 * 6;
  CHECK(report["nominal_bits_per_weight"].get<double>() == doctest::Approx(bits / 1680));
  CHECK(report["recipe"]["layers"] == Json{{"depthwise", 3}, {"project", 5}});
}

TEST_CASE("float models") {
  const QuantizeTool tool;
  const ToolRun run = tool.Run(tool.model() + " -o " + tool.path("f.mpq") + " --float --json");
  REQUIRE_MESSAGE(run.exit_code == 0, run.err);
  const Json report = Json::parse(run.out);
  CHECK(report["method"] == "float");
  CHECK(report["nominal_bits_per_weight"] == 32);
  CHECK(report["bytes"] == fs::file_size(tool.path("f.mpq")));
}

TEST_CASE("the same bytes for any number of threads") {
  const QuantizeTool tool;
  for (const char* options : {"--weight-bits 4", "--equalize --rounding gptq --images 5"}) {
    const Json one = tool.Quantize("one.mpq", std::string(options) + " --threads 1");
    const Json two = tool.Quantize("two.mpq", std::string(options) + " --threads 2");
    CHECK(one["digest"] == two["digest"]);
    CHECK(ReadBytes(tool.path("one.mpq")) == ReadBytes(tool.path("two.mpq")));
  }
}

TEST_CASE("effort sets what other options may still change") {
  const QuantizeTool tool;
  const Json fast = tool.Quantize("fast.mpq", "--effort fast");
  CHECK(fast["recipe"]["rounding"] == "gptq");
  CHECK(fast["recipe"]["images"] == 256);
  const Json best = tool.Quantize("best.mpq", "--distill-epochs 1 --effort best --images 6");
  CHECK(best["recipe"]["rounding"] == "sequential");
  CHECK(best["recipe"]["distill_epochs"] == 1);
  CHECK(best["recipe"]["views"] == 3);
  CHECK(best["calibration"]["images"] == 6);
  tool.CheckError(2, tool.Calibration() + "--effort some", {"--effort", "some", "fast"});
}

TEST_CASE("a curve goes from small to large, and names all layers") {
  const QuantizeTool tool;
  tool.Quantize("m.mpq", "--pareto " + tool.path("curve.json"));
  const Json points = Json::parse(ReadBytes(tool.path("curve.json")))["points"];
  REQUIRE(points.size() == 16);
  for (size_t i = 0; i < points.size(); ++i) {
    CHECK(points[i]["bits"].size() == 4);
    if (i == 0) continue;
    CHECK(points[i]["bytes"] >= points[i - 1]["bytes"]);
    CHECK(points[i]["predicted_kl"] <= points[i - 1]["predicted_kl"]);
  }
}

TEST_CASE("a recipe makes the same file again") {
  const QuantizeTool tool;
  tool.Quantize("a.mpq",
                "--weight-bits 4 --first-bits 8 --last-bits 6 --layer 'depth.*=3' "
                "--activation-bits 7 --activation-range percentile --equalize --rounding nearest "
                "--images 6 --seed 18446744073709551615 --save-recipe " +
                    tool.path("a.json"));
  const Json recipe = Json::parse(ReadBytes(tool.path("a.json")));
  CHECK(recipe["seed"] == UINT64_MAX);
  CHECK(recipe["layers"] == Json{{"depthwise", 3}});
  CHECK(recipe["equalize"] == true);
  CHECK_FALSE(recipe["float_isa"].get<std::string>().empty());

  const std::string use = "--recipe " + tool.path("a.json") + " ";
  tool.Quantize("b.mpq", use + "--save-recipe " + tool.path("b.json"));
  CHECK(ReadBytes(tool.path("a.mpq")) == ReadBytes(tool.path("b.mpq")));
  CHECK(ReadBytes(tool.path("a.json")) == ReadBytes(tool.path("b.json")));

  // Wherever an option stands, it wins over the recipe; layers add to the recipe's.
  const Json changed = tool.Quantize(
      "c.mpq", "--weight-bits 5 --no-equalize " + use + "--activation-range minmax --layer proj=2");
  Json expected = recipe;
  expected["weight_bits"] = 5;
  expected["equalize"] = false;
  expected["activation_range"] = "minmax";
  expected["layers"]["project"] = 2;
  CHECK(changed["recipe"] == expected);
  CHECK(ReadBytes(tool.path("a.mpq")) != ReadBytes(tool.path("c.mpq")));
}

TEST_CASE("bad recipes: the file, the key, the value") {
  const QuantizeTool tool;
  const auto check = [&](const std::string& recipe, const std::vector<std::string>& words) {
    std::vector<std::string> all = words;
    all.push_back(tool.folder().Write("bad.json", recipe));
    tool.CheckError(1, tool.Calibration() + "--recipe " + tool.path("bad.json"), all);
  };
  check("", {"JSON"});
  check("[1]", {"object"});
  check(R"({"weight_bits": 9})", {"'weight_bits'", "9", "1..8"});
  check(R"({"weight_bits": 4.5})", {"'weight_bits'", "4.5"});
  check(R"({"seed": -1})", {"'seed'", "-1"});
  check(R"({"seed": null})", {"'seed'", "null"});
  check(R"({"activation_bits": 1})", {"'activation_bits'", "2..8"});
  check(R"({"equalize": 1})", {"'equalize'", "true or false"});
  check(R"({"method": "magic"})", {"'method'", "magic", "uniform"});
  check(R"({"activation_range": "max"})", {"'activation_range'", "max", "percentile"});
  check(R"({"float_isa": "z80"})", {"'float_isa'", "z80"});
  check(R"({"layers": {"stem": 0}})", {"'layers.stem'", "0", "1..8"});
  check(R"({"layers": {"st": 4}})", {"'st'", "no layer"});
  check(R"({"colour": "red"})", {"'colour'", "red", "unknown"});
  tool.CheckError(1, tool.Calibration() + "--recipe " + tool.path("no.json"), {"no.json"});
  tool.folder().Write("other_cpu.json", R"({"float_isa": "z80"})");
  tool.Quantize("m.mpq", "--float-isa scalar --recipe " + tool.path("other_cpu.json"));
}

TEST_CASE("memory limit") {
  const QuantizeTool tool;
  tool.CheckError(1, tool.Calibration() + "--memory-limit 1MB", {"--memory-limit", "1000000"});
  const Json report = tool.Quantize("m.mpq", "--memory-limit 2GB");
  const uint64_t estimate = report["calibration_memory_bytes"];
#ifndef MPQ_SANITIZED  // sanitizers keep what is freed
  CHECK(report["peak_memory_bytes"] <= estimate);
#endif
  const std::string dry = tool.Calibration() + "--dry-run --memory-limit ";
  tool.CheckError(1, dry + std::to_string(estimate / 2), {"about"});
}

TEST_CASE("report: data, and a page that holds them and loads nothing") {
  const QuantizeTool tool;
  tool.Quantize("m.mpq", "--weight-bits 4 --first-bits 8 --report " + tool.path("r.json"));
  const Json report = Json::parse(ReadBytes(tool.path("r.json")));
  CHECK(report["size"]["bytes"] == fs::file_size(tool.path("m.mpq")));
  uint64_t bytes = 0;
  for (const Json& part : report["size"]["parts"]) bytes += part["bytes"].get<uint64_t>();
  CHECK(bytes == report["size"]["bytes"]);
  CHECK(report["accuracy"]["images"] == 8);
  CHECK(report["provenance"]["method"] == "uniform");
  CHECK_FALSE(report.contains("curve"));
  CHECK(report["warnings"][0].get<std::string>().find("8 images only") != std::string::npos);

  uint64_t macs = 0;
  std::vector<std::string> layers;
  for (const Json& layer : report["layers"]) {
    CHECK(layer["ms"] >= 0);
    if (!layer.contains("weights")) continue;
    layers.push_back(layer["name"]);
    macs += layer["macs"].get<uint64_t>();
    const Json& own = layer["quantized"];
    const int bits = layers.size() == 1 ? 8 : 4;
    CHECK(own["bits"] == bits);
    for (const Json& block : layer["block_bits"]) CHECK(block == bits);
    CHECK(own["snr_db"] > (bits == 8 ? 35 : 12));
    uint64_t weights = 0, codes = 0;
    for (const Json& count : own["histogram"]["counts"]) weights += count.get<uint64_t>();
    for (const Json& level : own["levels"]) codes += level[1].get<uint64_t>();
    CHECK(weights == layer["weights"]);
    CHECK(codes == layer["weights"]);
    CHECK(own["levels"].size() <= size_t{1} << bits);
  }
  CHECK(layers == std::vector<std::string>{"stem", "depthwise", "project", "y"});
  CHECK(macs == report["macs"]);
  REQUIRE(report["activations"].size() >= 4);
  for (const Json& tensor : report["activations"]) {
    CHECK(tensor["lowest"] <= 0);
    CHECK(tensor["highest"] > tensor["lowest"]);
    CHECK(tensor["saturated"] >= 0);
    CHECK(tensor["saturated"] < 0.5);
  }

  tool.Quantize("m.mpq", "--report " + tool.path("r.html"));
  const std::string page = ReadBytes(tool.path("r.html"));
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const size_t data = page.find(open) + open.size();
  REQUIRE(data > open.size());
  const Json in_page = Json::parse(page.substr(data, page.find("</script>", data) - data));
  CHECK(in_page["layers"].size() == report["layers"].size());
  CHECK(page.find("Chart.js v3") != std::string::npos);
  for (const char* loading : {" src=", " href=", "@import", "url(", "fetch(", "@DATA@"}) {
    CHECK_MESSAGE(page.find(loading) == std::string::npos, loading);
  }
}

TEST_CASE("report: names cannot leave the page's data") {
  const QuantizeTool tool;
  const std::string name = "</script><!--<b>\"&'\\ \xc3\xa9";
  OnnxBuilder b({1, 3, kSide, kSide});
  b.Floats("w", {kClasses, 3, 3, 3}, RandomWeights(kClasses * 27, 1));
  b.Node("Conv", {"x", "w"}, {name});
  b.PoolToOutput(name);
  const std::string model = tool.folder().Write("odd.onnx", b.Serialize());
  const ToolRun run = tool.Run(model + " -o " + tool.path("m.mpq") + " " + tool.Calibration() +
                               "--report " + tool.path("r.html"));
  REQUIRE_MESSAGE(run.exit_code == 0, run.err);
  const std::string page = ReadBytes(tool.path("r.html"));
  CHECK(page.find("</script><!--") == std::string::npos);
  CHECK(page.find("\\u003c/script>\\u003c!--\\u003cb>") != std::string::npos);
}

TEST_CASE("report: where it cannot be written") {
  const QuantizeTool tool;
  tool.CheckError(2, tool.Calibration() + "--report r.pdf", {"r.pdf", ".html", ".json"});
  tool.CheckError(2, tool.Calibration() + "--dry-run --report r.html", {"--dry-run", "--report"});
  tool.CheckError(2, tool.Calibration() + "--float --report r.html", {"--float", "--report"});
  tool.CheckError(1, tool.Calibration() + "--report " + tool.path("no/r.html"), {"no/r.html"});
}

TEST_CASE("unreadable calibration images are left out, with a warning each") {
  const QuantizeTool tool;
  tool.Quantize("good.mpq", "");
  tool.folder().Write("images/00_cut.ppm", NoisyPpm(20, 18, 1).substr(0, 100));
  tool.folder().Write("images/5_empty.png", "");
  tool.folder().Write("images/9_text.jpg", "this is no photograph");
  tool.folder().Write("images/notes.txt", "not looked at");
  const ToolRun run =
      tool.Run(tool.model() + " -o " + tool.path("m.mpq") + " " + tool.Calibration());
  CHECK(run.exit_code == 0);
  for (const char* name : {"00_cut.ppm", "5_empty.png", "9_text.jpg"}) {
    CHECK(run.err.find("warning: " + tool.path("images/") + name) != std::string::npos);
  }
  CHECK(run.err.find("notes.txt") == std::string::npos);
  CHECK(ReadBytes(tool.path("m.mpq")) == ReadBytes(tool.path("good.mpq")));
}

TEST_CASE("calibration sets") {
  const QuantizeTool tool;
  fs::create_directory(tool.path("empty"));
  tool.folder().Write("texts/a.txt", "no image");
  tool.folder().Write("broken/a.png", "no image");
  tool.folder().Write("cut.bin", std::string(3072, 'x'));
  tool.folder().Write("zero.bin", "");
  const auto check = [&](const std::string& name, const std::vector<std::string>& words) {
    std::vector<std::string> all = words;
    all.push_back(tool.path(name));
    tool.CheckError(1, "--calibration " + tool.path(name), all);
  };
  check("missing", {"No such file"});
  check("empty", {"no images"});
  check("texts", {"no images"});
  check("broken", {"none of 1 images"});
  check("cut.bin", {"3072 bytes", "3073"});
  check("zero.bin", {"0 bytes"});
  check("model.onnx", {"expected a folder"});

  // Any size of image will do: it is resized.
  tool.folder().Write("sizes/a.ppm", NoisyPpm(1, 1, 1));
  tool.folder().Write("sizes/b.ppm", NoisyPpm(300, 2, 2));
  tool.folder().Write("sizes/c.ppm", NoisyPpm(3, 200, 3));
  CHECK(
      tool.Run(tool.model() + " -o " + tool.path("m.mpq") + " --calibration " + tool.path("sizes"))
          .exit_code == 0);

  tool.folder().Write("one/a.ppm", NoisyPpm(20, 18, 1));
  const ToolRun one =
      tool.Run(tool.model() + " -o " + tool.path("m.mpq") + " --calibration " + tool.path("one"));
  CHECK(one.exit_code == 0);
  CHECK(one.err.find("warning: 1 calibration image;") != std::string::npos);
}

TEST_CASE("preprocessing and labels") {
  const QuantizeTool tool;
  const std::string good =
      tool.folder().Write("good.json", R"({"resize_short_side": 18, "crop": 16})");
  std::string labels;
  for (int i = 0; i < kClasses; ++i) labels += "class " + std::to_string(i) + "\r\n";
  tool.Quantize("m.mpq",
                "--preprocess " + good + " --labels " + tool.folder().Write("labels.txt", labels));
  const auto check = [&](const std::string& option, const std::string& contents,
                         const std::vector<std::string>& words) {
    std::vector<std::string> all = words;
    all.push_back(tool.folder().Write("bad", contents));
    tool.CheckError(1, tool.Calibration() + option + " " + tool.path("bad"), all);
  };
  check("--preprocess", "{", {"JSON"});
  check("--preprocess", R"({"resize_short_side": 18, "crop": 12})", {"12x12", "16x16"});
  check("--preprocess", R"({"resize_short_side": 18, "crop": 0})", {"'crop'"});
  check("--labels", "cat\ndog\n", {"2 labels", "10 classes"});
  tool.CheckError(1, tool.Calibration() + "--preprocess " + tool.path("no"), {"no"});
  tool.CheckError(1, tool.Calibration() + "--labels " + tool.path("no"), {"no"});
}

TEST_CASE("models and targets") {
  const QuantizeTool tool;
  tool.CheckErrorOf(tool.path("no.onnx"), 1, tool.Calibration(), {"no.onnx"});
  tool.CheckErrorOf(tool.folder().Write("text.onnx", "no model at all"), 1, tool.Calibration(),
                    {"text.onnx"});
  tool.CheckErrorOf(tool.folder().Write("cut.onnx", SmallNetwork().substr(0, 500)), 1,
                    tool.Calibration(), {"cut.onnx"});
  OnnxBuilder odd({1, 3, kSide, kSide});
  odd.Node("Einsum", {"x"}, {"odd"});
  odd.PoolToOutput("odd");
  tool.CheckErrorOf(tool.folder().Write("odd.onnx", odd.Serialize()), 1, tool.Calibration(),
                    {"odd.onnx", "Einsum", "'odd'"});

  const auto check = [&](const std::string& target, const std::string& cause) {
    const ToolRun run = tool.Run(tool.model() + " -o " + target + " " + tool.Calibration());
    CHECK(run.exit_code == 1);
    CHECK_MESSAGE(run.err == "ptq-quantize: " + target + ": " + cause + "\n", run.err);
  };
  check(tool.path("no/m.mpq"), "no such folder: " + tool.path("no"));
  check(tool.path("images"), "exists and is no regular file");
  check(tool.model(), "is the model to be read");
  tool.CheckError(1, tool.Calibration() + "--save-recipe " + tool.path("no/r.json"), {"no/r.json"});
  CHECK(ReadBytes(tool.model()) == SmallNetwork());
  CHECK(std::none_of(fs::directory_iterator(tool.folder().path()), fs::directory_iterator(),
                     [](const fs::directory_entry& entry) {
                       return entry.path().string().find(".mpq") != std::string::npos;
                     }));
}

TEST_CASE("bad usage") {
  const QuantizeTool tool;
  const auto check = [&](const std::string& options, const std::vector<std::string>& words) {
    tool.CheckError(2, tool.Calibration() + options, words);
  };
  check("--weight-bits 9", {"--weight-bits", "9"});
  check("--weight-bits 0", {"--weight-bits"});
  check("--activation-bits 1", {"--activation-bits"});
  check("--activation-range max", {"max", "percentile"});
  check("--layer stem", {"--layer", "REGEX=BITS"});
  check("--layer stem=9", {"--layer", "9"});
  check("--layer '(=4'", {"--layer", "regular expression"});
  check("--method magic", {"magic", "uniform"});
  check("--float-isa z80", {"z80"});
  check("--memory-limit 4apples", {"4apples"});
  check("--no-such-option", {"--no-such-option"});
  check("--float --save-recipe " + tool.path("r.json"), {"--float", "--save-recipe"});
  tool.CheckError(2, "", {"--calibration"});
  tool.CheckError(1, tool.Calibration() + "--layer nothing=4", {"--layer", "nothing"});
  CHECK(tool.Run(tool.model() + " " + tool.Calibration()).exit_code == 2);  // no -o
  CHECK(tool.Run("").exit_code == 2);
}

}  // namespace
}  // namespace mpq
