// Writes small ONNX models of all operators that the importer knows: where its fuzzer starts from.
#include <cstdio>
#include <fstream>
#include <string>

#include "tests/import/onnx_builder.h"

namespace mpq {
namespace {

OnnxBuilder Classifier() {
  OnnxBuilder b({-1, 3, 8, 8});
  b.Counting("w1", {4, 3, 3, 3});
  b.Node("Conv", {"x", "w1"}, {"a"}).List("pads", {1, 1, 1, 1}).List("strides", {2, 2});
  for (const char* name : {"scale", "shift", "mean", "variance"}) b.Counting(name, {4});
  b.Node("BatchNormalization", {"a", "scale", "shift", "mean", "variance"}, {"b"})
      .Float("epsilon", 1e-3f);
  b.Node("Relu", {"b"}, {"c"});
  b.Counting("w2", {4, 1, 3, 3});
  b.Node("Conv", {"c", "w2"}, {"d"}).Int("group", 4).List("pads", {1, 1, 1, 1});
  b.Floats("low", {}, {0});
  b.Floats("high", {}, {6});
  b.Node("Clip", {"d", "low", "high"}, {"e"});
  b.Node("Add", {"c", "e"}, {"f"});
  b.Node("GlobalAveragePool", {"f"}, {"g"});
  b.Node("Flatten", {"g"}, {"h"});
  b.Counting("w3", {3, 4});
  b.Counting("b3", {3});
  b.Node("Gemm", {"h", "w3", "b3"}, {"i"}).Int("transB", 1);
  b.Node("Softmax", {"i"}, {"y"});
  return b;
}

OnnxBuilder PoolsAndBranches() {
  OnnxBuilder b({1, 3, 8, 8}, 11);
  b.Node("MaxPool", {"x"}, {"a"}).List("kernel_shape", {2, 2}).List("strides", {2, 2});
  b.Node("AveragePool", {"x"}, {"b"})
      .List("kernel_shape", {3, 3})
      .List("strides", {2, 2})
      .Text("auto_pad", "SAME_UPPER");
  b.Node("Concat", {"a", "b"}, {"c"}).Int("axis", 1);
  b.Floats("factor", {1, 6, 1, 1}, {1, 2, 3, 4, 5, 6});
  b.Node("Mul", {"c", "factor"}, {"d"});
  b.Node("ReduceMean", {"d"}, {"e"}).List("axes", {2, 3}).Int("keepdims", 0);
  b.Counting("w", {6, 5});
  b.Node("MatMul", {"e", "w"}, {"y"});
  return b;
}

OnnxBuilder ShapeArithmetic() {
  OnnxBuilder b({-1, 8, 8, 3});
  b.Node("Transpose", {"x"}, {"a"}).List("perm", {0, 3, 1, 2});
  b.Int64s("pads", {8}, {0, 0, 1, 1, 0, 0, 1, 1});
  b.Node("Pad", {"a", "pads"}, {"b"});
  b.Node("GlobalAveragePool", {"b"}, {"c"});
  b.Node("Shape", {"c"}, {"d"});
  b.Int64s("zero", {}, {0});
  b.Node("Gather", {"d", "zero"}, {"e"}).Int("axis", 0);
  b.Int64s("axis", {1}, {0});
  b.Node("Unsqueeze", {"e", "axis"}, {"f"});
  b.Int64s("rest", {1}, {-1});
  b.Node("Concat", {"f", "rest"}, {"g"}).Int("axis", 0);
  b.Node("Reshape", {"c", "g"}, {"y"});
  return b;
}

bool Write(const std::string& path, const OnnxBuilder& model) {
  std::ofstream file(path, std::ios::binary);
  file << model.Serialize();
  return static_cast<bool>(file.flush());
}

}  // namespace
}  // namespace mpq

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::string folder = std::string(argv[1]) + "/";
  const bool written = mpq::Write(folder + "classifier.onnx", mpq::Classifier()) &&
                       mpq::Write(folder + "pools_and_branches.onnx", mpq::PoolsAndBranches()) &&
                       mpq::Write(folder + "shape_arithmetic.onnx", mpq::ShapeArithmetic());
  return written ? 0 : 1;
}
