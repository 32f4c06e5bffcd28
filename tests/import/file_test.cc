// The file: element types, external data, damage, and every error a user can meet.
#include <doctest/doctest.h>

#include <bit>
#include <cstring>
#include <functional>
#include <random>

#include "tests/import/onnx_builder.h"

namespace mpq {
namespace {

// x -> Conv 1x1 with weights 'w' -> pool -> y
OnnxBuilder SmallModel() {
  OnnxBuilder b({-1, 3, 4, 4});
  b.Counting("w", {2, 3, 1, 1}, 0.5f);
  b.Node("Conv", {"x", "w"}, {"c"});
  b.PoolToOutput("c");
  return b;
}

onnx::TensorProto& SmallWeights(OnnxBuilder& b) { return *b.graph().mutable_initializer(0); }

template <typename T>
std::string Raw(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

const std::vector<float> kExpected = {0.5f, 1, 1.5f, 2, 2.5f, 3};

void CheckWeights(const Result<ImportedModel>& model) {
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  REQUIRE(model->graph.weights.size() == 1);
  CHECK(model->graph.weights[0].values.ToVector() == kExpected);
}

void CheckError(const Result<ImportedModel>& model, ErrorCode code, const Names& parts) {
  REQUIRE_FALSE(model.ok());
  CAPTURE(model.status().message());
  CHECK(ErrorCodeName(model.status().code()) == std::string(ErrorCodeName(code)));
  for (const std::string& part : parts) {
    CAPTURE(part);
    CHECK(model.status().message().find(part) != std::string::npos);
  }
  CHECK(model.status().message().find('\n') == std::string::npos);
}

TEST_CASE("weights of every real type become float") {
  OnnxBuilder b = SmallModel();
  onnx::TensorProto& w = SmallWeights(b);
  CheckWeights(b.Import());
  w.clear_float_data();
  w.set_raw_data(Raw(kExpected));
  CheckWeights(b.Import());

  const std::vector<double> doubles(kExpected.begin(), kExpected.end());
  w.set_data_type(onnx::TensorProto::DOUBLE);
  w.set_raw_data(Raw(doubles));
  CheckWeights(b.Import());
  w.clear_raw_data();
  for (const double value : doubles) w.add_double_data(value);
  CheckWeights(b.Import());

  // 0.5, 1, 1.5, 2, 2.5, 3
  const std::vector<uint16_t> halves = {0x3800, 0x3c00, 0x3e00, 0x4000, 0x4100, 0x4200};
  w.clear_double_data();
  w.set_data_type(onnx::TensorProto::FLOAT16);
  w.set_raw_data(Raw(halves));
  CheckWeights(b.Import());
  w.clear_raw_data();
  for (const uint16_t half : halves) w.add_int32_data(half);
  CheckWeights(b.Import());

  std::vector<uint16_t> brains;
  for (const float value : kExpected) {
    brains.push_back(static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16));
  }
  w.clear_int32_data();
  w.set_data_type(onnx::TensorProto::BFLOAT16);
  w.set_raw_data(Raw(brains));
  CheckWeights(b.Import());
}

TEST_CASE("halves: zero, subnormals, sign, largest") {
  OnnxBuilder b = SmallModel();
  onnx::TensorProto& w = SmallWeights(b);
  w.clear_float_data();
  w.set_data_type(onnx::TensorProto::FLOAT16);
  w.set_raw_data(Raw(std::vector<uint16_t>{0x0000, 0x0001, 0x03ff, 0x8400, 0x7bff, 0xbc01}));
  const Result<ImportedModel> model = b.Import();
  REQUIRE(model.ok());
  CHECK(model->graph.weights[0].values.ToVector() ==
        std::vector<float>{0, 0x1p-24f, 1023 * 0x1p-24f, -0x1p-14f, 65504, -(1 + 0x1p-10f)});
}

// --- External data. ---

void MoveOutside(onnx::TensorProto& w, const std::string& location, const std::string& offset,
                 const std::string& length = "") {
  w.clear_float_data();
  w.set_data_location(onnx::TensorProto::EXTERNAL);
  w.clear_external_data();
  for (const auto& [key, value] : {std::pair<std::string, std::string>{"location", location},
                                   {"offset", offset},
                                   {"length", length}}) {
    if (value.empty()) continue;
    onnx::StringStringEntryProto* entry = w.add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }
}

TEST_CASE("weights in external files") {
  const TemporaryFolder folder;
  const std::string path = folder.path("model.onnx");
  OnnxBuilder b = SmallModel();
  WriteFile(folder.path("weights.bin"), "12345678" + Raw(kExpected));

  MoveOutside(SmallWeights(b), "weights.bin", "8", "24");
  WriteFile(path, b.Serialize());
  const Result<ImportedModel> model = ImportOnnx(path);
  CheckWeights(model);

  SUBCASE("their bytes count for the hash") {
    WriteFile(folder.path("weights.bin"), "87654321" + Raw(kExpected));
    const Result<ImportedModel> other = ImportOnnx(path);
    REQUIRE(other.ok());
    CHECK(other->source_hash != model->source_hash);
  }
  SUBCASE("too short") {
    MoveOutside(SmallWeights(b), "weights.bin", "9");
    WriteFile(path, b.Serialize());
    CheckError(ImportOnnx(path), ErrorCode::kTruncated,
               {path, "node 'c'", "tensor 'w'", "weights.bin", "32 bytes", "offset 9"});
  }
  SUBCASE("offset near the end of 64 bits") {
    MoveOutside(SmallWeights(b), "weights.bin", "18446744073709551615");
    WriteFile(path, b.Serialize());
    CheckError(ImportOnnx(path), ErrorCode::kTruncated, {"tensor 'w'", "weights.bin"});
  }
  SUBCASE("missing") {
    MoveOutside(SmallWeights(b), "nowhere.bin", "");
    WriteFile(path, b.Serialize());
    CheckError(ImportOnnx(path), ErrorCode::kIo,
               {path, "tensor 'w'", "external data", "nowhere.bin", "No such file"});
  }
  SUBCASE("wrong length") {
    MoveOutside(SmallWeights(b), "weights.bin", "8", "20");
    WriteFile(path, b.Serialize());
    CheckError(ImportOnnx(path), ErrorCode::kCorrupt, {"tensor 'w'", "length 20", "24 bytes"});
  }
  SUBCASE("not a number") {
    MoveOutside(SmallWeights(b), "weights.bin", "-8");
    WriteFile(path, b.Serialize());
    CheckError(ImportOnnx(path), ErrorCode::kCorrupt, {"tensor 'w'", "offset '-8'"});
  }
  SUBCASE("no file named") {
    MoveOutside(SmallWeights(b), "", "8");
    WriteFile(path, b.Serialize());
    CheckError(ImportOnnx(path), ErrorCode::kCorrupt, {"tensor 'w'", "no file"});
  }
  SUBCASE("outside the model's folder") {
    for (const char* location : {"../weights.bin", "sub/../../weights.bin", "/etc/hostname"}) {
      MoveOutside(SmallWeights(b), location, "");
      WriteFile(path, b.Serialize());
      CheckError(ImportOnnx(path), ErrorCode::kCorrupt, {"tensor 'w'", location, "folder"});
    }
  }
}

// --- Damage. ---

TEST_CASE("files that are no models") {
  const TemporaryFolder folder;
  CheckError(ImportOnnx(folder.path("absent.onnx")), ErrorCode::kIo,
             {"absent.onnx", "No such file"});
  const std::string path = folder.path("bad.onnx");
  WriteFile(path, "");
  CheckError(ImportOnnx(path), ErrorCode::kTruncated, {path, "empty"});
  WriteFile(path, "This is a text, not a model.\n");
  CheckError(ImportOnnx(path), ErrorCode::kCorrupt, {path, "not an ONNX model"});
}

TEST_CASE("files larger than protobuf can parse") {
  const TemporaryFolder folder;
  const std::string path = folder.path("large.onnx");
  WriteFile(path, "x");
  std::error_code error;
  std::filesystem::resize_file(path, uint64_t{1} << 31, error);  // a hole, not 2 GB of disk
  if (error) {
    MESSAGE("skipped: no file of 2 GB can be made here: " << error.message());
    return;
  }
  CheckError(ImportOnnx(path), ErrorCode::kLimitExceeded,
             {path, "2147483648 bytes", "2147483647", "external data"});
}

TEST_CASE("truncation at every byte is an error") {
  const std::string bytes = SmallModel().Serialize();
  const TemporaryFolder folder;
  const std::string path = folder.path("model.onnx");
  for (size_t size = 0; size < bytes.size(); ++size) {
    CAPTURE(size);
    WriteFile(path, bytes.substr(0, size));
    const Result<ImportedModel> model = ImportOnnx(path);
    REQUIRE_FALSE(model.ok());
    CHECK(model.status().message().find(path) != std::string::npos);
  }
}

TEST_CASE("random damage never ends the program") {
  OnnxBuilder b({-1, 3, 8, 8});
  b.Counting("w", {4, 3, 3, 3});
  b.Int64s("pads", {8}, {0, 0, 1, 1, 0, 0, 1, 1});
  b.Int64s("shape", {2}, {0, -1});
  b.Counting("m", {64, 5});
  b.Node("Pad", {"x", "pads"}, {"p"});
  b.Node("Conv", {"p", "w"}, {"c"}).List("strides", {2, 2}).List("kernel_shape", {3, 3});
  b.Node("Relu", {"c"}, {"r"});
  b.Node("MaxPool", {"r"}, {"q"}).List("kernel_shape", {1, 1});
  b.Node("Reshape", {"q", "shape"}, {"f"});
  b.Node("MatMul", {"f", "m"}, {"y"});
  REQUIRE(b.Import().ok());
  const std::string bytes = b.Serialize();
  const TemporaryFolder folder;
  const std::string path = folder.path("model.onnx");
  std::mt19937 random(1);
  int accepted = 0;
  constexpr int kRounds = 2000;
  for (int round = 0; round < kRounds; ++round) {
    std::string damaged = bytes;
    for (uint32_t i = 0; i <= random() % 3; ++i) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    WriteFile(path, damaged);
    accepted += ImportOnnx(path).ok() ? 1 : 0;
  }
  CHECK(accepted < kRounds);  // changed weights and names are still models
}

TEST_CASE("the hash is that of the bytes") {
  const OnnxBuilder b = SmallModel();
  const Result<ImportedModel> first = b.Import();
  const Result<ImportedModel> again = b.Import();
  REQUIRE(first.ok());
  REQUIRE(again.ok());
  CHECK(first->source_hash == again->source_hash);
  CHECK(first->source_hash.size() == 16);
  OnnxBuilder other = SmallModel();
  other.model().set_producer_name("someone");
  CHECK(other.Import()->source_hash != first->source_hash);
}

// --- Errors in the graph: each names what is wrong and where. ---

TEST_CASE("errors name the node, the operator and the tensor") {
  struct Case {
    std::string name;
    std::function<void(OnnxBuilder&)> damage;
    ErrorCode code;
    Names parts;
  };
  const auto set_dims = [](onnx::TensorProto& tensor, const Ints& dims) {
    tensor.clear_dims();
    for (const int64_t dim : dims) tensor.add_dims(dim);
  };
  const auto input_dim = [](OnnxBuilder& b, int i) {
    return b.graph()
        .mutable_input(0)
        ->mutable_type()
        ->mutable_tensor_type()
        ->mutable_shape()
        ->mutable_dim(i);
  };
  const std::vector<Case> cases = {
      {"unsupported operator",
       [](OnnxBuilder& b) { b.graph().mutable_node(0)->set_op_type("LSTM"); },
       ErrorCode::kUnsupported,
       {"node 'c'", "operator 'LSTM'", "supported: Add, AveragePool", "Unsqueeze"}},
      {"operator of another domain",
       [](OnnxBuilder& b) { b.graph().mutable_node(0)->set_domain("com.microsoft"); },
       ErrorCode::kUnsupported,
       {"node 'c'", "operator 'com.microsoft::Conv'"}},
      {"quantised model",
       [](OnnxBuilder& b) { b.graph().mutable_node(0)->set_op_type("DequantizeLinear"); },
       ErrorCode::kUnsupported,
       {"DequantizeLinear", "quantised already", "float model"}},
      {"quantised convolution",
       [](OnnxBuilder& b) { b.graph().mutable_node(0)->set_op_type("QLinearConv"); },
       ErrorCode::kUnsupported,
       {"QLinearConv", "quantised already"}},
      {"cycle",
       [](OnnxBuilder& b) { b.graph().mutable_node(0)->set_input(0, "pooled"); },
       ErrorCode::kCorrupt,
       {"cycle", "pooled"}},
      {"self loop",
       [](OnnxBuilder& b) { b.graph().mutable_node(0)->set_input(0, "c"); },
       ErrorCode::kCorrupt,
       {"node 'c'", "cycle"}},
      {"tensor defined twice",
       [](OnnxBuilder& b) { b.Node("Relu", {"x"}, {"c"}); },
       ErrorCode::kCorrupt,
       {"tensor 'c'", "defined twice"}},
      {"weights defined twice",
       [](OnnxBuilder& b) { b.Counting("w", {1}); },
       ErrorCode::kCorrupt,
       {"tensor 'w'", "defined twice"}},
      {"tensor of nobody",
       [](OnnxBuilder& b) { b.graph().mutable_node(0)->set_input(1, "ghost"); },
       ErrorCode::kCorrupt,
       {"'c' reads tensor 'ghost'"}},
      {"output of nobody",
       [](OnnxBuilder& b) { b.graph().mutable_output(0)->set_name("ghost"); },
       ErrorCode::kCorrupt,
       {"output", "'ghost'"}},
      {"no output",
       [](OnnxBuilder& b) { b.graph().clear_output(); },
       ErrorCode::kCorrupt,
       {"no output"}},
      {"no graph",
       [](OnnxBuilder& b) { b.model().clear_graph(); },
       ErrorCode::kCorrupt,
       {"no graph"}},
      {"no opset",
       [](OnnxBuilder& b) { b.model().clear_opset_import(); },
       ErrorCode::kCorrupt,
       {"operator set"}},
      {"old opset",
       [](OnnxBuilder& b) { b.model().mutable_opset_import(0)->set_version(6); },
       ErrorCode::kUnsupportedVersion,
       {"opset 6", "7"}},
      {"missing input",
       [](OnnxBuilder& b) { b.graph().mutable_node(0)->set_input(1, ""); },
       ErrorCode::kCorrupt,
       {"node 'c' (Conv)", "input 1 is missing"}},
      {"too few inputs",
       [](OnnxBuilder& b) { b.graph().mutable_node(0)->mutable_input()->RemoveLast(); },
       ErrorCode::kCorrupt,
       {"node 'c' (Conv)", "input 1 is missing"}},
      {"too little data",
       [](OnnxBuilder& b) { SmallWeights(b).mutable_float_data()->RemoveLast(); },
       ErrorCode::kCorrupt,
       {"node 'c'", "tensor 'w'", "[2, 3, 1, 1]", "6 elements", "5"}},
      {"too little raw data",
       [](OnnxBuilder& b) {
         SmallWeights(b).clear_float_data();
         SmallWeights(b).set_raw_data("1234");
       },
       ErrorCode::kCorrupt,
       {"tensor 'w'", "24 bytes", "there are 4"}},
      {"negative shape",
       [&](OnnxBuilder& b) {
         set_dims(SmallWeights(b), {2, -3, 1, 1});
       },
       ErrorCode::kCorrupt,
       {"tensor 'w'", "[2, -3, 1, 1]"}},
      {"overflowing shape",
       [&](OnnxBuilder& b) {
         set_dims(SmallWeights(b), {int64_t{1} << 32, int64_t{1} << 32, 1, 1});
       },
       ErrorCode::kCorrupt,
       {"tensor 'w'", "impossible shape"}},
      {"weights of strings",
       [](OnnxBuilder& b) { SmallWeights(b).set_data_type(onnx::TensorProto::STRING); },
       ErrorCode::kUnsupported,
       {"tensor 'w'", "string"}},
      {"weights of 4 bits",
       [](OnnxBuilder& b) { SmallWeights(b).set_data_type(22); },
       ErrorCode::kUnsupported,
       {"tensor 'w'", "int4"}},
      {"weights for other channels",
       [&](OnnxBuilder& b) {
         set_dims(SmallWeights(b), {3, 2, 1, 1});
       },
       ErrorCode::kCorrupt,
       {"node 'c'", "[3, 2, 1, 1]", "3 channels"}},
      {"one-dimensional convolution",
       [&](OnnxBuilder& b) {
         set_dims(SmallWeights(b), {2, 3, 1});
       },
       ErrorCode::kUnsupported,
       {"node 'c'", "two-dimensional"}},
      {"kernel_shape against the weights",
       [](OnnxBuilder& b) {
         NodeBuilder(b.graph().mutable_node(0)).List("kernel_shape", {3, 3});
       },
       ErrorCode::kCorrupt,
       {"node 'c'", "kernel_shape"}},
      {"attribute of another type",
       [](OnnxBuilder& b) { NodeBuilder(b.graph().mutable_node(0)).Int("pads", 1); },
       ErrorCode::kCorrupt,
       {"node 'c'", "'pads'", "INTS"}},
      {"negative pads",
       [](OnnxBuilder& b) {
         NodeBuilder(b.graph().mutable_node(0)).List("pads", {-1, 0, 0, 0});
       },
       ErrorCode::kUnsupported,
       {"node 'c'", "pads", "-1"}},
      {"stride 0",
       [](OnnxBuilder& b) {
         NodeBuilder(b.graph().mutable_node(0)).List("strides", {0, 1});
       },
       ErrorCode::kUnsupported,
       {"node 'c'", "strides [0, 1]"}},
      {"window larger than the image",
       [](OnnxBuilder& b) {
         b.Node("MaxPool", {"x"}, {"m"}).List("kernel_shape", {5, 5});
         b.graph().mutable_node(0)->set_input(0, "m");
       },
       ErrorCode::kInvalidArgument,
       {"'m'", "5x5", "4x4"}},
      {"second output is used",
       [](OnnxBuilder& b) {
         b.graph().mutable_node(0)->add_output("extra");
         b.Node("Add", {"c", "extra"}, {"sum"});
         b.graph().mutable_node(1)->set_input(0, "sum");
       },
       ErrorCode::kUnsupported,
       {"node 'c'", "'extra'"}},
      {"open image size",
       [&](OnnxBuilder& b) { input_dim(b, 2)->set_dim_param("height"); },
       ErrorCode::kUnsupported,
       {"input 'x'", "'height'", "fixed image size"}},
      {"grey images",
       [&](OnnxBuilder& b) { input_dim(b, 1)->set_dim_value(1); },
       ErrorCode::kUnsupported,
       {"input 'x'", "1 channels"}},
      {"no image",
       [](OnnxBuilder& b) {
         b.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->clear_shape();
       },
       ErrorCode::kUnsupported,
       {"input 'x'", "0 dims"}},
      {"two inputs",
       [](OnnxBuilder& b) {
         b.graph().add_input()->set_name("x2");
         b.Node("Add", {"x", "x2"}, {"sum"});
         b.graph().mutable_node(0)->set_input(0, "sum");
       },
       ErrorCode::kUnsupported,
       {"two inputs", "'x'", "'x2'"}},
      {"output of several pixels",
       [](OnnxBuilder& b) { b.graph().mutable_output(0)->set_name("c"); },
       ErrorCode::kUnsupported,
       {"output 'c'", "[1, 2, 4, 4]"}},
      {"output is the input",
       [](OnnxBuilder& b) {
         for (const int i : {2, 3}) {
           b.graph()
               .mutable_input(0)
               ->mutable_type()
               ->mutable_tensor_type()
               ->mutable_shape()
               ->mutable_dim(i)
               ->set_dim_value(1);
         }
         b.graph().mutable_output(0)->set_name("x");
       },
       ErrorCode::kUnsupported,
       {"output 'x'", "input itself"}},
      {"constant output",
       [](OnnxBuilder& b) { b.graph().mutable_output(0)->set_name("w"); },
       ErrorCode::kCorrupt,
       {"no input"}},
      {"Softmax in the middle",
       [](OnnxBuilder& b) {
         b.Node("Flatten", {"x"}, {"flat"});
         b.Node("Softmax", {"flat"}, {"s"});
         b.Node("Relu", {"s"}, {"y2"});
         b.graph().mutable_output(0)->set_name("y2");
       },
       ErrorCode::kUnsupported,
       {"node 'y2' (Relu)", "Softmax"}},
      {"product of two images",
       [](OnnxBuilder& b) {
         b.Node("Mul", {"x", "x"}, {"square"});
         b.graph().mutable_node(0)->set_input(0, "square");
       },
       ErrorCode::kUnsupported,
       {"node 'square' (Mul)", "only constants"}},
      {"padding that reflects",
       [](OnnxBuilder& b) {
         b.Int64s("pads", {8}, {0, 0, 1, 1, 0, 0, 1, 1});
         b.Node("Pad", {"x", "pads"}, {"p"}).Text("mode", "reflect");
         b.graph().mutable_node(0)->set_input(0, "p");
       },
       ErrorCode::kUnsupported,
       {"node 'p' (Pad)", "'reflect'"}},
      {"padding with ones",
       [](OnnxBuilder& b) {
         b.Int64s("pads", {8}, {0, 0, 1, 1, 0, 0, 1, 1});
         b.Floats("one", {}, {1});
         b.Node("Pad", {"x", "pads", "one"}, {"p"});
         b.graph().mutable_node(0)->set_input(0, "p");
       },
       ErrorCode::kUnsupported,
       {"tensor 'x'", "padded with 1"}},
      {"channel shuffle",
       [](OnnxBuilder& b) {
         b.Int64s("s", {5}, {0, 3, 2, 2, 4});
         b.Node("Reshape", {"x", "s"}, {"r"});
         b.graph().mutable_node(0)->set_input(0, "r");
       },
       ErrorCode::kUnsupported,
       {"node 'r' (Reshape)", "[1, 3, 2, 2, 4]", "splits"}},
      {"reshape that mixes images",
       [](OnnxBuilder& b) {
         b.Int64s("s", {2}, {3, 16});
         b.Node("Reshape", {"x", "s"}, {"r"});
         b.graph().mutable_node(0)->set_input(0, "r");
       },
       ErrorCode::kUnsupported,
       {"node 'r' (Reshape)", "batch"}},
      {"huge constant",
       [](OnnxBuilder& b) {
         b.Int64s("s", {2}, {1 << 20, 1 << 10});
         b.Node("ConstantOfShape", {"s"}, {"zeros"});
         b.Node("Add", {"x", "zeros"}, {"sum"});
         b.graph().mutable_node(0)->set_input(0, "sum");
       },
       ErrorCode::kLimitExceeded,
       {"node 'zeros'", "1048576"}},
      {"training mode",
       [](OnnxBuilder& b) {
         b.Counting("v", {3});
         b.Node("BatchNormalization", {"x", "v", "v", "v", "v"}, {"n"}).Int("training_mode", 1);
         b.graph().mutable_node(0)->set_input(0, "n");
       },
       ErrorCode::kUnsupported,
       {"node 'n'", "training_mode"}},
      {"infinite weights",
       [](OnnxBuilder& b) {
         SmallWeights(b).set_float_data(0, std::numeric_limits<float>::infinity());
       },
       ErrorCode::kCorrupt,
       {"'c'"}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    OnnxBuilder b = SmallModel();
    c.damage(b);
    CheckError(b.Import(), c.code, c.parts);
  }
}

}  // namespace
}  // namespace mpq
