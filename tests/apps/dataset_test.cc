#include "apps/dataset.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/test_folder.h"

namespace mpq {
namespace {

Preprocessing Square(uint32_t side) {
  Preprocessing preprocessing;
  preprocessing.crop_height = preprocessing.crop_width = side;
  return preprocessing;
}

// One CIFAR-10 record whose planes count up from `class_index`.
std::string CifarRecord(uint8_t class_index) {
  std::string record(1, static_cast<char>(class_index));
  for (int i = 0; i < 3072; ++i) record.push_back(static_cast<char>(class_index + i / 1024));
  return record;
}

TEST_CASE("labels.tsv gives files, classes and their order") {
  const TestFolder folder;
  folder.Write("b.ppm", Ppm(2, 2, 1, 2, 3));
  folder.Write("a.ppm", Ppm(2, 2, 4, 5, 6));
  folder.Write("unlisted.ppm", Ppm(2, 2, 7, 8, 9));
  folder.Write("labels.tsv", "b.ppm\t7\r\n\na.ppm\t3\n");
  Dataset dataset;
  REQUIRE(dataset.Add(folder.path()).ok());
  REQUIRE(dataset.size() == 2);
  CHECK(dataset.class_of(0) == 7);
  CHECK(dataset.class_of(1) == 3);
  CHECK(dataset.name(1) == folder.path() + "/a.ppm");
  CHECK(dataset.has_classes());
  const auto image = dataset.Load(1, Square(4));
  REQUIRE(image.ok());
  CHECK(image->height == 4);
  CHECK(image->rgb[1] == 5);
  CHECK(dataset.CheckClasses(8).ok());
  CHECK(dataset.CheckClasses(7).message() ==
        folder.path() + "/b.ppm: class 7, the model has 7 classes");

  SUBCASE("another file of labels") {
    const std::string labels = folder.Write("mine.tsv", "unlisted.ppm\t1\n");
    Dataset other;
    REQUIRE(other.Add(folder.path(), labels).ok());
    CHECK(other.size() == 1);
  }
}

TEST_CASE("mistakes in labels.tsv name file and line") {
  const TestFolder folder;
  folder.Write("a.ppm", Ppm(1, 1, 0, 0, 0));
  const std::string labels = folder.path() + "/labels.tsv";
  const auto message = [&](const std::string& contents) {
    folder.Write("labels.tsv", contents);
    Dataset dataset;
    return dataset.Add(folder.path()).message();
  };
  CHECK(message("a.ppm 1\n") == labels + ":1: expected file<TAB>class index, found 'a.ppm 1'");
  CHECK(message("a.ppm\t1\n\t2\n") == labels + ":2: expected file<TAB>class index, found '\t2'");
  CHECK(message("a.ppm\tcat\n") == labels + ":1: class index 'cat' is no number");
  CHECK(message("a.ppm\t-1\n") == labels + ":1: class index '-1' is no number");
  CHECK(message("a.ppm\t1.5\n") == labels + ":1: class index '1.5' is no number");
  CHECK(message("a.ppm\t99999999999\n") == labels + ":1: class index '99999999999' is no number");
  CHECK(message("b.ppm\t1\n") == labels + ":1: no such file: " + folder.path() + "/b.ppm");
  CHECK(message("\n\n") == labels + ": lists no images");
}

TEST_CASE("one folder per class, sorted") {
  const TestFolder folder;
  folder.Write("dog/1.ppm", Ppm(1, 1, 1, 1, 1));
  folder.Write("cat/2.ppm", Ppm(1, 1, 2, 2, 2));
  folder.Write("cat/0.ppm", Ppm(1, 1, 3, 3, 3));
  Dataset dataset;
  REQUIRE(dataset.Add(folder.path()).ok());
  REQUIRE(dataset.size() == 3);
  CHECK(dataset.name(0) == folder.path() + "/cat/0.ppm");
  CHECK(dataset.class_of(1) == 0);
  CHECK(dataset.class_of(2) == 1);
}

TEST_CASE("a plain folder has no classes; several paths add up") {
  const TestFolder folder;
  folder.Write("plain/b.ppm", Ppm(1, 1, 1, 1, 1));
  folder.Write("plain/a.ppm", Ppm(1, 1, 1, 1, 1));
  folder.Write("empty/readme.txt", "");
  Dataset dataset;
  REQUIRE(dataset.Add(folder.path() + "/plain").ok());
  CHECK(!dataset.has_classes());
  CHECK(dataset.class_of(0) == kNoClass);
  CHECK(dataset.name(0) == folder.path() + "/plain/a.ppm");
  CHECK(dataset.CheckClasses(1).ok());
  REQUIRE(dataset.Add(folder.Write("c.bin", CifarRecord(1))).ok());
  CHECK(dataset.size() == 3);
  CHECK(!dataset.has_classes());
  dataset.Truncate(2);
  CHECK(dataset.size() == 2);
  CHECK(!dataset.Add(folder.path() + "/empty").ok());
  CHECK(dataset.Add(folder.path() + "/none").message() ==
        folder.path() + "/none: No such file or directory");
  CHECK(!dataset.Add(folder.path() + "/plain/a.ppm").ok());
}

TEST_CASE("CIFAR-10 files") {
  const TestFolder folder;
  const std::string file = folder.Write("test.bin", CifarRecord(9) + CifarRecord(4));
  Dataset dataset;
  REQUIRE(dataset.Add(file).ok());
  REQUIRE(dataset.size() == 2);
  CHECK(dataset.class_of(0) == 9);
  CHECK(dataset.name(1) == file + "[1]");
  const auto image = dataset.Load(1, Square(32));
  REQUIRE(image.ok());
  CHECK(std::vector<int>(image->rgb.begin(), image->rgb.begin() + 3) == std::vector<int>{4, 5, 6});

  const auto message = [&](const std::string& contents) {
    Dataset bad;
    return bad.Add(folder.Write("bad.bin", contents)).message();
  };
  const std::string bad = folder.path() + "/bad.bin";
  CHECK(message("") == bad + ": 0 bytes are no whole number of CIFAR-10 records of 3073");
  CHECK(message(CifarRecord(1) + "x") ==
        bad + ": 3074 bytes are no whole number of CIFAR-10 records of 3073");
  CHECK(message(CifarRecord(1) + CifarRecord(10)) ==
        bad + ": record 1 has class 10, expected 0..9");
}

}  // namespace
}  // namespace mpq
