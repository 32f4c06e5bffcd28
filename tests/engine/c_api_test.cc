#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "format/writer.h"
#include "mpq/mpq.h"
#include "mpq/session.h"
#include "tests/format/sample_models.h"

namespace mpq {
namespace {

struct File {
  AlignedBytes bytes;
  File() : bytes(SerializeModel(AllOperatorsModel(/*is_float=*/false)).value()) {}
};

TEST_CASE("the C interface gives the logits of the C++ one") {
  const File file;
  mpq_model* model = nullptr;
  REQUIRE(mpq_model_from_memory(file.bytes.span().data(), file.bytes.size(), &model) == MPQ_OK);
  const uint32_t classes = mpq_model_num_classes(model);
  const size_t image_bytes = size_t{mpq_model_height(model)} * mpq_model_width(model) * 3;
  std::vector<uint8_t> pixels(2 * image_bytes);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 37);

  mpq_session_options options = {};
  options.batch = 2;
  options.threads = 2;
  mpq_session* session = nullptr;
  REQUIRE(mpq_session_create(model, &options, &session) == MPQ_OK);
  CHECK(mpq_session_memory_bytes(session) > 0);
  CHECK(mpq_model_label(model, classes) == nullptr);
  mpq_model_free(model);  // the session keeps what it needs

  std::vector<float> logits(2 * classes);
  REQUIRE(mpq_session_run(session, pixels.data(), 2, logits.data()) == MPQ_OK);
  Result<Model> same = Model::FromMemory(file.bytes.span());
  REQUIRE(same.ok());
  SessionOptions two;
  two.batch = 2;
  Result<Session> expected = Session::Create(*same, two);
  REQUIRE(expected.ok());
  REQUIRE(expected->Run(pixels, 2).ok());
  CHECK(std::equal(logits.begin(), logits.end(), expected->logits().begin()));

  std::vector<uint8_t> ready(image_bytes);
  const std::vector<uint8_t> photo(40 * 30 * 3, 99);
  REQUIRE(mpq_session_preprocess(session, photo.data(), 40, 30, ready.data()) == MPQ_OK);
  CHECK(ready == std::vector<uint8_t>(image_bytes, 99));
  mpq_session_free(session);
}

TEST_CASE("the C interface reports errors with a message") {
  mpq_model* model = nullptr;
  CHECK(mpq_model_load("no/such/file.mpq", &model) == MPQ_IO);
  CHECK(model == nullptr);
  CHECK(std::strstr(mpq_last_error(), "no/such/file.mpq") != nullptr);
  CHECK(mpq_model_load(nullptr, &model) == MPQ_INVALID_ARGUMENT);

  const File file;
  CHECK(mpq_model_from_memory(file.bytes.span().data(), file.bytes.size() / 2, &model) != MPQ_OK);
  CHECK(mpq_model_from_memory(file.bytes.span().data() + 1, file.bytes.size() - 1, &model) ==
        MPQ_INVALID_ARGUMENT);
  mpq_model_free(nullptr);
  mpq_session_free(nullptr);
}

}  // namespace
}  // namespace mpq
