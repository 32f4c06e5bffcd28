// Blocks around depthwise convolutions run by stripes: the same bits as tensor by tensor.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "engine/core/aligned_memory.h"
#include "engine/core/isa.h"
#include "engine/core/plan.h"
#include "engine/core/stripes.h"
#include "format/model_data.h"
#include "mpq/model.h"
#include "mpq/session.h"
#include "tests/format/sample_models.h"

namespace mpq {
namespace {

constexpr std::byte kGarbage{0xa5};

struct Block {
  const char* name;
  uint32_t height, width;
  uint32_t expand;  // channels after the first 1x1 convolution; 0: none
  SampleConv depthwise;
  uint32_t project;                     // channels after the second; 0: none
  bool residual = false;                // an addition at the end
  bool pad_end = false;                 // one row and column fewer before, one more after
  uint32_t fused = 0;                   // steps
  bool residual_in_projection = false;  // instead of an addition
};

// Large enough to be worth fusing; sizes that no stripe and no tile divides.
std::vector<Block> BlocksWithAdditions() {
  return {
      {"3x3, residual", 61, 53, 96, {.kernel = 3, .pad = 1, .bits = {4, 3}}, 16, true, false, 4},
      {"3x3 / 2", 63, 61, 100, {.kernel = 3, .stride = 2, .pad = 1}, 24, false, false, 3},
      {"3x3 / 2, padded at the end",
       62,
       64,
       144,
       {.kernel = 3, .stride = 2, .pad = 1, .bits = {4}},
       24,
       false,
       true,
       3},
      {"5x5, residual", 57, 59, 72, {.kernel = 5, .pad = 2, .bits = {5, 2}}, 16, true, false, 4},
      {"5x5 / 2",
       66,
       58,
       112,
       {.kernel = 5, .stride = 2, .pad = 2, .shifted = true},
       20,
       false,
       false,
       3},
      {"3x3, dilation 2",
       55,
       63,
       84,
       {.kernel = 3, .dilation = 2, .pad = 2, .bits = {8}},
       12,
       false,
       false,
       3},
      {"5x5 of unpadded rows", 60, 57, 80, {.kernel = 5}, 16, false, false, 3},
      {"two-region levels, table",
       53,
       61,
       96,
       {.kernel = 3, .pad = 1, .level_set = LevelSetKind::kTwoRegion, .bits = {4, 6}},
       16,
       true,
       false,
       4},
      {"widening after stride 2",
       97,
       95,
       64,
       {.kernel = 3, .stride = 2, .pad = 1},
       96,
       false,
       false,
       2},
      {"without expansion", 161, 163, 0, {.kernel = 3, .pad = 1, .bits = {6}}, 12, false, false, 3},
      {"wider than a stripe's share", 11, 1201, 64, {.kernel = 3, .pad = 1}, 16, true, false, 4},
  };
}

std::vector<Block> Blocks() {
  std::vector<Block> blocks = BlocksWithAdditions();
  for (const Block& block : BlocksWithAdditions()) {
    if (!block.residual) continue;
    blocks.push_back(block);
    blocks.back().residual_in_projection = true;
    --blocks.back().fused;
  }
  return blocks;
}

struct BlockGraph {
  Model model;
  uint32_t output;  // tensor
};

BlockGraph MakeBlock(const Block& block) {
  SampleBuilder b(/*is_float=*/false, block.height, block.width);
  const uint32_t stem = b.Conv(b.input(), block.residual ? block.project : 16, {.bits = {5}});
  uint32_t x = stem;
  if (block.expand != 0) x = b.Conv(x, block.expand, {.bits = {4, 2, 3}});
  x = b.DepthwiseConv(x, block.depthwise);
  if (block.project != 0) {
    x = b.Conv(x, block.project,
               {.level_set = LevelSetKind::kTable,
                .bits = {4, 6},
                .residual = block.residual_in_projection ? stem : kNone});
  }
  if (block.residual && !block.residual_in_projection) x = b.Add(stem, x);
  const uint32_t output = x;
  ModelData data = b.Finish(b.Logits(b.GlobalAvgPool(x), 10, {.bits = {8}}));
  for (Node& node : data.graph.nodes) {
    if (node.kind != OpKind::kDepthwiseConv || !block.pad_end) continue;
    --node.window.pad_top;
    --node.window.pad_left;
    ++node.window.pad_bottom;
    ++node.window.pad_right;
  }
  Result<Model> model = Model::FromData(std::move(data));
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  return {std::move(model).value(), output};
}

// A convolution of 64 channels and a pool whose windows meet every border.
BlockGraph MakeStem(uint32_t height, uint32_t width) {
  SampleBuilder b(/*is_float=*/false, height, width);
  const uint32_t x = b.Conv(b.input(), 64, {.kernel = 7, .stride = 2, .pad = 3, .bits = {4}});
  const uint32_t pooled = b.MaxPool(x, {3, 3, 2, 2, 1, 1, 1, 1, 1, 1});
  Result<Model> model =
      Model::FromData(b.Finish(b.Logits(b.GlobalAvgPool(pooled), 10, {.bits = {8}})));
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  return {std::move(model).value(), pooled};
}

// Tensor `tensor` of images of noise, computed by the plan's stages. Chains run in shares of
// `share` stripes, the last one first, in scratch full of garbage.
std::vector<uint8_t> ComputeTensor(const BlockGraph& block, const PlanOptions& options,
                                   uint32_t share) {
  const Graph& graph = block.model.data().graph;
  Result<Plan> plan = MakePlan(graph, options);
  REQUIRE_MESSAGE(plan.ok(), plan.status().message());
  AlignedMemory arena = AlignedMemory::Allocate(plan->arena_bytes).value();
  plan->Bind(arena.data());
  std::mt19937 random(11);
  const TensorView& input = plan->views[graph.input];
  for (size_t i = 0; i < input.batch * input.image_stride(); ++i) {
    input.mutable_u8()[i] = static_cast<uint8_t>(random());
  }
  constexpr size_t kTail = 256;
  AlignedMemory scratch = AlignedMemory::Allocate(plan->scratch_bytes + kTail).value();
  for (const Stage& stage : plan->stages) {
    const Step& first = plan->steps[stage.first_step];
    std::fill_n(scratch.data(), scratch.size(), kGarbage);
    if (stage.num_steps == 1) {
      first.kernel->run(first, 0, first.kernel->work_items(first), scratch.data());
    } else {
      StripeRunner runner(plan->StepsOf(stage), stage.stripes);
      const uint32_t items = runner.work_items();
      for (uint32_t end = items; end > 0;) {
        const uint32_t begin = end - std::min(end, share);
        std::fill_n(scratch.data(), scratch.size(), kGarbage);
        runner.Run(begin, end, scratch.data(), nullptr);
        const std::byte* tail = scratch.data() + stage.stripes.scratch_bytes;
        CHECK(std::all_of(tail, tail + kTail, [](std::byte b) { return b == kGarbage; }));
        end = begin;
      }
    }
    if (plan->StepsOf(stage).back().node->output == block.output) break;
  }
  const TensorView& view = plan->views[block.output];
  REQUIRE(view.data != nullptr);
  std::vector<uint8_t> codes;
  for (size_t pixel = 0; pixel < size_t{view.batch} * view.height * view.width; ++pixel) {
    const uint8_t* at = view.u8() + pixel * view.pixel_stride;
    codes.insert(codes.end(), at, at + view.channels);
  }
  return codes;
}

constexpr uint32_t kImages = 3;

std::vector<uint8_t> RandomPixels(const Model& model) {
  std::mt19937 random(3);
  std::vector<uint8_t> pixels(size_t{kImages} * model.input_height() * model.input_width() * 3);
  for (uint8_t& p : pixels) p = static_cast<uint8_t>(random());
  return pixels;
}

Session MakeSession(const Model& model, const SessionOptions& options) {
  Result<Session> session = Session::Create(model, options);
  REQUIRE_MESSAGE(session.ok(), session.status().message());
  return std::move(session).value();
}

std::vector<int16_t> Logits(Session& session, std::span<const uint8_t> pixels) {
  std::vector<int16_t> logits;
  const size_t image_bytes = pixels.size() / kImages;
  for (uint32_t done = 0; done < kImages;) {
    const uint32_t n = std::min(session.batch(), kImages - done);
    const Status status = session.Run(pixels.subspan(done * image_bytes, n * image_bytes), n);
    REQUIRE_MESSAGE(status.ok(), status.message());
    const auto part = session.integer_logits();
    logits.insert(logits.end(), part.begin(), part.end());
    done += n;
  }
  return logits;
}

auto CountFused(const Session& session) {
  const auto is_fused = [](const StepInfo& step) { return !step.fused.empty(); };
  return std::count_if(session.steps().begin(), session.steps().end(), is_fused);
}

TEST_CASE("every code of a fused block's output is that of the block tensor by tensor") {
  for (const Block& block : Blocks()) {
    CAPTURE(block.name);
    CAPTURE(block.residual_in_projection);
    const BlockGraph graph = MakeBlock(block);
    PlanOptions options;
    options.batch = 2;
    options.height = block.height;
    options.width = block.width;
    options.keep_tensors = true;
    const std::vector<uint8_t> expected = ComputeTensor(graph, options, 1);
    const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
    CHECK(*low != *high);
    options.keep_tensors = false;
    for (const Isa isa : SupportedIsas()) {
      for (const uint32_t share : {1u, 3u, 1000u}) {
        if (isa == Isa::kScalar && share != 3) continue;  // slow
        CAPTURE(std::string(IsaName(isa)));
        CAPTURE(share);
        options.isa = isa;
        CHECK(ComputeTensor(graph, options, share) == expected);
      }
    }
  }
}

TEST_CASE("a convolution and the pool after it run by stripes") {
  for (const auto& [height, width] : {std::pair{171u, 163u}, {230u, 128u}}) {
    const BlockGraph stem = MakeStem(height, width);
    PlanOptions options;
    options.batch = 2;
    options.height = height;
    options.width = width;
    options.keep_tensors = true;
    const std::vector<uint8_t> expected = ComputeTensor(stem, options, 1);
    options.keep_tensors = false;
    for (const Isa isa : SupportedIsas()) {
      CAPTURE(std::string(IsaName(isa)));
      options.isa = isa;
      for (const uint32_t threads : {1u, 2u}) {
        options.threads = threads;
        CHECK(MakePlan(stem.model.data().graph, options)->stages[0].num_steps == 2);
        CHECK(ComputeTensor(stem, options, 3) == expected);
      }
    }
  }
}

TEST_CASE("several threads share positions where there are many, else columns, and fuse more") {
  const auto plan_of = [](const Model& model, uint32_t threads) {
    PlanOptions options;
    options.height = model.input_height();
    options.width = model.input_width();
    options.isa = DefaultIsa().value();
    options.threads = threads;
    return MakePlan(model.data().graph, options).value();
  };
  for (const uint32_t side : {9u, 60u}) {
    SampleBuilder b(/*is_float=*/false, side, side);
    const uint32_t x = b.Conv(b.input(), 64, {.kernel = 3, .pad = 1});
    const Model model =
        Model::FromData(b.Finish(b.Logits(b.GlobalAvgPool(b.Conv(x, 64)), 10))).value();
    for (const uint32_t threads : {1u, 2u, 3u}) {
      const Plan plan = plan_of(model, threads);
      for (size_t i = 0; i < 2; ++i) {
        const Stage& stage = plan.stages[i];
        const Kernel& kernel = *plan.steps[i].kernel;
        CHECK(stage.columns * stage.work_items == kernel.work_items(plan.steps[i]));
        if (threads == 1 || side == 9) CHECK(stage.columns == 1);
        if (threads == 1 || side == 9 || kernel.work_columns == nullptr) continue;
        const uint32_t columns = kernel.work_columns(plan.steps[i]);
        const uint32_t ranges = kernel.work_items(plan.steps[i]) / columns;
        CHECK(ranges >= kMinRangesPerThread * 2);  // so two threads share positions everywhere
        const bool many = ranges >= kMinRangesPerThread * threads;
        CHECK(stage.columns == (many ? columns : 1));
      }
    }
  }
  Block small = Blocks()[0];
  small.height = small.width = 28;
  const Model model = MakeBlock(small).model;
  const auto longest = [](const Plan& plan) {
    uint32_t steps = 0;
    for (const Stage& stage : plan.stages) steps = std::max(steps, stage.num_steps);
    return steps;
  };
  CHECK(longest(plan_of(model, 1)) == 1);
  const Plan shared = plan_of(model, 2);
  CHECK(longest(shared) == 4);
  for (const Stage& stage : shared.stages) {
    if (stage.num_steps > 1) CHECK(stage.stripes.stripes % 2 == 0);
  }
  const std::vector<uint8_t> pixels = RandomPixels(model);
  SessionOptions options;
  Session one = MakeSession(model, options);
  options.threads = 2;
  Session two = MakeSession(model, options);
  CHECK(Logits(one, pixels) == Logits(two, pixels));
}

TEST_CASE("models with fused blocks give the same bits, for every thread count and batch") {
  for (const Block& block : Blocks()) {
    CAPTURE(block.name);
    CAPTURE(block.residual_in_projection);
    const Model model = MakeBlock(block).model;
    const std::vector<uint8_t> pixels = RandomPixels(model);
    SessionOptions options;
    options.isa = "scalar";
    options.keep_tensors = true;
    Session unfused = MakeSession(model, options);
    CHECK(CountFused(unfused) == 0);
    const std::vector<int16_t> expected = Logits(unfused, pixels);
    options.keep_tensors = false;
    options.isa.clear();
    for (const uint32_t threads : {1u, 2u, 3u}) {
      for (const uint32_t batch : {1u, 3u}) {
        CAPTURE(threads);
        CAPTURE(batch);
        options.threads = threads;
        options.batch = batch;
        Session session = MakeSession(model, options);
        CHECK(CountFused(session) == block.fused);
        CHECK(Logits(session, pixels) == expected);
        CHECK(Logits(session, pixels) == expected);  // nothing stays from the run before
      }
    }
  }
}

TEST_CASE("fusing saves memory; steps name their kernels, and small blocks say why they are not") {
  const Block block = Blocks()[0];
  const Model model = MakeBlock(block).model;
  Session fused = MakeSession(model, {});
  const uint64_t expanded = uint64_t{block.height} * block.width * block.expand;
  CHECK(fused.memory_bytes() < expanded);
  for (const StepInfo& step : fused.steps()) CHECK_FALSE(step.kernel.empty());

  Block small = block;
  small.height = small.width = 20;
  Session unfused = MakeSession(MakeBlock(small).model, {});
  CHECK(CountFused(unfused) == 0);
  const auto says_why = [](const StepInfo& step) {
    return std::any_of(step.refusals.begin(), step.refusals.end(),
                       [](const std::string& why) { return why.starts_with("stripes: "); });
  };
  CHECK(std::count_if(unfused.steps().begin(), unfused.steps().end(), says_why) == 1);
}

}  // namespace
}  // namespace mpq
