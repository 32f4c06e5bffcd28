#include "mpq/session.h"

#include <doctest/doctest.h>

#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/core/isa.h"
#include "engine/core/plan.h"
#include "format/model_data.h"
#include "tests/format/sample_models.h"

namespace mpq {
namespace {

std::vector<uint8_t> RandomPixels(const Model& model, uint32_t images, uint32_t seed = 7) {
  std::mt19937 random(seed);
  std::vector<uint8_t> pixels(size_t{images} * model.input_height() * model.input_width() * 3);
  for (uint8_t& p : pixels) p = static_cast<uint8_t>(random());
  return pixels;
}

Model MakeModel(ModelData data) {
  Result<Model> model = Model::FromData(std::move(data));
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  return std::move(model).value();
}

std::vector<int16_t> RunLogits(const Model& model, const SessionOptions& options,
                               std::span<const uint8_t> pixels, uint32_t images) {
  Result<Session> session = Session::Create(model, options);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  std::vector<int16_t> logits;
  const size_t image_bytes = pixels.size() / images;
  for (uint32_t done = 0; done < images;) {
    const uint32_t n = std::min(options.batch, images - done);
    const Status status = session->Run(pixels.subspan(done * image_bytes, n * image_bytes), n);
    REQUIRE_MESSAGE(status.ok(), status.message());
    const auto part = session->integer_logits();
    logits.insert(logits.end(), part.begin(), part.end());
    done += n;
  }
  return logits;
}

TEST_CASE("integer logits are the same bits for every instruction set, thread count and batch") {
  std::vector<NamedModel> models;
  models.push_back({"all operators", AllOperatorsModel(/*is_float=*/false)});
  for (NamedModel& golden : GoldenModels()) {
    if (!golden.model.graph.is_float()) models.push_back(std::move(golden));
  }
  for (NamedModel& named : models) {
    CAPTURE(named.name);
    const Model model = MakeModel(std::move(named.model));
    const uint32_t images = 5;
    const std::vector<uint8_t> pixels = RandomPixels(model, images);
    SessionOptions scalar;
    scalar.isa = "scalar";
    const std::vector<int16_t> expected = RunLogits(model, scalar, pixels, images);
    REQUIRE(expected.size() == images * model.num_classes());
    for (const Isa isa : SupportedIsas()) {
      for (const uint32_t threads : {1u, 2u, 3u}) {
        for (const uint32_t batch : {1u, 3u, 8u}) {
          for (const bool keep_tensors : {false, true}) {
            SessionOptions options;
            options.isa = std::string(IsaName(isa));
            options.threads = threads;
            options.batch = batch;
            options.keep_tensors = keep_tensors;
            CAPTURE(options.isa);
            CAPTURE(threads);
            CAPTURE(batch);
            CHECK(RunLogits(model, options, pixels, images) == expected);
          }
        }
      }
    }
  }
}

TEST_CASE("the memory limit counts the scratch of all threads; nothing is allocated beyond it") {
  const Model model = MakeModel(AllOperatorsModel(/*is_float=*/false));
  for (const uint32_t threads : {1u, 3u}) {
    SessionOptions options;
    options.threads = threads;
    const MemoryPlan plan = Session::Create(model, options)->memory_plan();
    CHECK(plan.threads == threads);
    CHECK(plan.scratch_bytes > 0);
    CHECK(plan.arena_lower_bound <= plan.arena_bytes);
    CHECK(plan.total() == plan.arena_bytes + threads * plan.scratch_bytes);
    options.memory_limit = plan.total();
    CHECK(Session::Create(model, options).ok());
    options.memory_limit = plan.total() - 1;
    const Result<Session> refused = Session::Create(model, options);
    CHECK(refused.status().code() == ErrorCode::kLimitExceeded);
    CHECK(refused.status().message().find(std::to_string(plan.total())) != std::string::npos);
  }
  // Hundreds of megabytes.
  SessionOptions huge;
  huge.memory_limit = 1 << 20;
  huge.batch = 64;
  huge.height = huge.width = 512;
  CHECK(Session::Create(model, huge).status().code() == ErrorCode::kLimitExceeded);
}

TEST_CASE("a run that ends with the wanted tensors gives the same ones") {
  const Model model = MakeModel(AllOperatorsModel(/*is_float=*/false));
  const std::vector<uint8_t> pixels = RandomPixels(model, 1);
  const std::vector<uint8_t> other_pixels(pixels.size(), 255);
  SessionOptions options;
  options.keep_tensors = true;
  options.profile = true;
  Session whole = Session::Create(model, options).value();
  REQUIRE(whole.Run(pixels).ok());
  const Graph& graph = model.data().graph;
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    CAPTURE(n);
    const uint32_t tensor = graph.nodes[n].output;
    options.wanted_tensors = {graph.input, tensor};
    Session part = Session::Create(model, options).value();
    // Another image first: nothing may be right by what was in memory.
    REQUIRE(part.Run(other_pixels).ok());
    REQUIRE(part.Run(pixels).ok());
    for (const uint32_t wanted : options.wanted_tensors) {
      CHECK(part.ReadTensorCodes(wanted).value() == whole.ReadTensorCodes(wanted).value());
    }
    if (n + 1 < graph.nodes.size()) CHECK(part.steps().back().seconds == 0);
  }
  options.wanted_tensors = {static_cast<uint32_t>(graph.tensors.size())};
  CHECK(Session::Create(model, options).status().code() == ErrorCode::kInvalidArgument);
}

TEST_CASE("sessions of one model run side by side") {
  const Model model = MakeModel(AllOperatorsModel(/*is_float=*/false));
  const std::vector<uint8_t> pixels = RandomPixels(model, 1);
  const std::vector<int16_t> expected = RunLogits(model, {}, pixels, 1);
  std::vector<std::vector<int16_t>> logits(4);
  std::vector<std::thread> workers;
  for (auto& result : logits) {
    workers.emplace_back([&] {
      for (int i = 0; i < 20; ++i) result = RunLogits(model, {}, pixels, 1);
    });
  }
  for (std::thread& worker : workers) worker.join();
  for (const auto& result : logits) CHECK(result == expected);
}

TEST_CASE("the forced instruction set is the one that runs") {
  const Model model = MakeModel(AllOperatorsModel(/*is_float=*/false));
  for (const Isa isa : SupportedIsas()) {
    SessionOptions options;
    options.isa = std::string(IsaName(isa));
    Result<Session> session = Session::Create(model, options);
    REQUIRE(session.ok());
    CHECK(session->isa() == options.isa);
    for (const StepInfo& step : session->steps()) {
      CAPTURE(step.kernel);
      const std::string way = step.kernel.substr(step.kernel.rfind('.') + 1);
      if (way == "ref") continue;
      const Result<Isa> kernel_isa = ParseIsa(way);
      REQUIRE(kernel_isa.ok());
      CHECK(IsaIncludes(isa, *kernel_isa));
      if (step.op != "Conv") continue;
      // Convolutions have a kernel of their own for each. That of AMX leaves layers that do not
      // fill its tiles to the next one, and says so.
      if (isa == Isa::kAmx && way != options.isa) {
        CHECK(step.refusals.front().starts_with("conv.gemm.amx: "));
        CHECK(way == "avx512vnni");
      } else {
        CHECK(way == options.isa);
      }
    }
    if (isa == Isa::kScalar) {
      for (const StepInfo& step : session->steps()) CHECK(step.kernel.ends_with(".ref"));
    }
  }
}

TEST_CASE("kept tensors can be read, others cannot") {
  const Model model = MakeModel(AllOperatorsModel(/*is_float=*/false));
  const std::vector<uint8_t> pixels = RandomPixels(model, 1);
  SessionOptions options;
  options.keep_tensors = true;
  Result<Session> session = Session::Create(model, options);
  REQUIRE(session.ok());
  REQUIRE(session->Run(pixels).ok());
  const Graph& graph = model.data().graph;
  for (uint32_t i = 0; i < graph.tensors.size(); ++i) {
    const Tensor& tensor = graph.tensors[i];
    const Result<std::vector<float>> values = session->ReadTensor(i);
    REQUIRE(values.ok());
    CHECK(values->size() == size_t{tensor.height} * tensor.width * tensor.channels);
  }
  const Result<std::vector<float>> logits = session->ReadTensor(graph.output);
  CHECK(std::equal(logits->begin(), logits->end(), session->logits().begin()));
  CHECK_FALSE(session->ReadTensor(static_cast<uint32_t>(graph.tensors.size())).ok());

  Result<Session> lean = Session::Create(model, {});
  REQUIRE(lean.ok());
  REQUIRE(lean->Run(pixels).ok());
  CHECK_FALSE(lean->ReadTensor(0).ok());
  CHECK(lean->memory_bytes() < session->memory_bytes());
}

TEST_CASE("bad options and bad input are errors that name the value") {
  const Model model = MakeModel(AllOperatorsModel(/*is_float=*/false));
  const auto message_for = [&](const SessionOptions& options) {
    const Result<Session> session = Session::Create(model, options);
    REQUIRE_FALSE(session.ok());
    return session.status().message();
  };
  SessionOptions options;
  options.threads = 0;
  CHECK(message_for(options).find("threads 0") != std::string::npos);
  options = {};
  options.batch = 100000;
  CHECK(message_for(options).find("100000") != std::string::npos);
  options = {};
  options.isa = "pentium";
  CHECK(message_for(options).find("pentium") != std::string::npos);
  options = {};
  options.memory_limit = 1;
  CHECK(message_for(options).find("memory limit") != std::string::npos);
  options = {};
  options.height = 1;
  options.width = 1;
  CHECK_FALSE(message_for(options).empty());
  options = {};
  options.height = 0xffffffff;
  options.width = 0xffffffff;
  CHECK_FALSE(message_for(options).empty());

  Result<Session> session = Session::Create(model, {});
  REQUIRE(session.ok());
  const std::vector<uint8_t> short_pixels(10);
  CHECK(session->Run(short_pixels).code() == ErrorCode::kInvalidArgument);
  CHECK(session->Run(short_pixels, 2).code() == ErrorCode::kInvalidArgument);
}

TEST_CASE("input sizes and batches that overflow 32 bits or an average are refused") {
  SampleBuilder builder(false, 16, 16);
  const uint32_t x = builder.Conv(builder.input(), 4, {.kernel = 3, .pad = 1});
  const Model model = MakeModel(builder.Finish(builder.Logits(builder.GlobalAvgPool(x), 10)));
  const auto message_for = [&](uint32_t batch, uint32_t height, uint32_t width) {
    SessionOptions options;
    options.batch = batch;
    options.height = height;
    options.width = width;
    const Result<Session> session = Session::Create(model, options);
    return session.ok() ? "" : session.status().message();
  };
  CHECK(message_for(1, 256, 256).empty());
  CHECK(message_for(1, 256, 257).find("averages 65792 pixels") != std::string::npos);
  // 2^32 output pixels: the number of work items was 0, and something was divided by it.
  CHECK(message_for(4096, 1024, 1024).find("too large") != std::string::npos);
  CHECK(message_for(1, 1u << 31, 2).find("height 2147483648") != std::string::npos);
}

TEST_CASE("probabilities sum to one and TopK sorts them") {
  const Model model = MakeModel(AllOperatorsModel(/*is_float=*/false));
  Result<Session> session = Session::Create(model, {});
  REQUIRE(session.ok());
  REQUIRE(session->Run(RandomPixels(model, 1)).ok());
  const std::vector<float> p = session->Probabilities();
  CHECK(std::accumulate(p.begin(), p.end(), 0.0f) == doctest::Approx(1.0));
  CHECK(session->Probabilities(1).empty());
  const auto top = TopK(std::vector<float>{1, 3, 2, 3}, 3);
  REQUIRE(top.size() == 3);
  CHECK(top[0] == std::pair<uint32_t, float>(1, 3.0f));
  CHECK(top[1] == std::pair<uint32_t, float>(3, 3.0f));
  CHECK(top[2] == std::pair<uint32_t, float>(2, 2.0f));
  CHECK(TopK(std::vector<float>{1}, 5).size() == 1);
}

TEST_CASE("float models run in batches that need not be full") {
  const Model model = MakeModel(AllOperatorsModel(/*is_float=*/true));
  const uint32_t images = 5;
  const std::vector<uint8_t> pixels = RandomPixels(model, images);
  const size_t image_bytes = pixels.size() / images;
  Result<Session> one = Session::Create(model, {});
  REQUIRE_MESSAGE(one.ok(), one.status().message());
  std::vector<float> expected;
  for (uint32_t i = 0; i < images; ++i) {
    REQUIRE(one->Run(std::span(pixels).subspan(i * image_bytes, image_bytes)).ok());
    expected.insert(expected.end(), one->logits().begin(), one->logits().end());
  }
  SessionOptions options;
  options.batch = 8;
  options.threads = 2;
  Result<Session> many = Session::Create(model, options);
  REQUIRE(many.ok());
  REQUIRE(many->Run(pixels, images).ok());
  REQUIRE(many->logits().size() == expected.size());
  CHECK(many->integer_logits().empty());
  float largest = 0;
  for (const float x : expected) largest = std::max(largest, std::abs(x));
  for (size_t i = 0; i < expected.size(); ++i) {
    CHECK(std::abs(many->logits()[i] - expected[i]) <= 1e-4f * largest);
  }
}

// 32x32 pixels of 64 channels, read by a convolution to 16 channels and added to what another makes
// of these, several times over.
TEST_CASE("an output takes the place of its residual, unless others read that later") {
  constexpr size_t kWideBytes = size_t{32} * 32 * 64;
  const auto arena_bytes = [](bool read_later) {
    SampleBuilder b(/*is_float=*/false, 32, 32);
    const uint32_t first = b.Conv(b.input(), 64);
    uint32_t x = first;
    for (int i = 0; i < 3; ++i) x = b.Conv(b.Conv(x, 16), 64, {.residual = x});
    if (read_later) x = b.Add(x, first);
    const ModelData model = b.Finish(b.Logits(b.GlobalAvgPool(x), 10));
    const Result<Plan> plan = MakePlan(model.graph, {.height = 32, .width = 32});
    REQUIRE(plan.ok());
    return plan->arena_bytes;
  };
  CHECK(arena_bytes(false) < kWideBytes * 3 / 2);
  CHECK(arena_bytes(true) > kWideBytes * 2);
  CHECK(arena_bytes(true) < kWideBytes * 3 + 4096);  // the first, a sum, the last
}

}  // namespace
}  // namespace mpq
