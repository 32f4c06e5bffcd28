// Training block by block: what blocks are, that it helps, that it is reproducible.
#include "quantize/distillation/block_refinement.h"

#include <doctest/doctest.h>

#include <stdexcept>

#include "tests/distillation/prepared_model.h"
#include "tests/test_folder.h"

namespace mpq {
namespace {

RefinementOptions FastOptions(uint32_t epochs) {
  RefinementOptions options;
  options.epochs = epochs;
  options.rates = {5e-3f, 1e-3f, 2e-2f};
  return options;
}

Status Refine(const Prepared& p, const RefinementOptions& options, uint32_t threads,
              const StageCache& cache, const Progress& progress, Decisions& decisions) {
  return RefineBlocks(p.model, p.images, /*num_views=*/2, options, /*seed=*/1, threads, cache,
                      progress, decisions);
}

TEST_CASE("a block ends where one tensor is all that is left, with two convolutions or more") {
  GraphBuilder b(16, 16, 3, 21);
  const uint32_t stem = b.Conv(b.input(), 8);
  const uint32_t narrow = b.Conv(b.Relu(stem), 8);
  const uint32_t inner = b.Conv(b.Relu(b.Conv(narrow, 12)), 8);
  const uint32_t sum = b.Add(inner, narrow);
  const Graph graph = b.Finish(b.Dense(b.GlobalAvgPool(sum), 10));
  const std::vector<Block> blocks = SplitIntoBlocks(graph);
  REQUIRE(blocks.size() == 3);
  CHECK(blocks[0].first == graph.input);
  CHECK(blocks[0].last == narrow);
  CHECK(blocks[1].first == narrow);
  CHECK(blocks[1].last == sum);
  CHECK(blocks[2].first == sum);
  CHECK(blocks[2].last == graph.output);
  uint32_t next = 0;
  for (const Block& block : blocks) {
    CHECK(block.first_node == next);
    next = block.end_node;
  }
  CHECK(next == graph.nodes.size());
}

TEST_CASE("refinement brings the integer model closer to float, on images it has not seen too") {
  if (!HasOneDnn()) return;
  QuantizeOptions options;
  options.bit_widths.weights = 3;
  options.rounding = Rounding::kNearest;
  const Divergences before = MeasureDivergences(options);
  options.refinement = FastOptions(60);
  const Divergences after = MeasureDivergences(options);
  MESSAGE("KL on seen images ", before.seen, " to ", after.seen, ", on unseen ones ", before.unseen,
          " to ", after.unseen);
  CHECK(after.seen < 0.8 * before.seen);
  CHECK(after.unseen < 0.8 * before.unseen);
}

TEST_CASE("refinement gives the same bytes for any number of threads") {
  if (!HasOneDnn()) return;
  const Prepared p(50, 4);
  std::vector<std::vector<uint8_t>> files;
  for (const uint32_t threads : {1u, 2u, 5u}) {
    Decisions decisions = p.decisions;
    const Status status = Refine(p, FastOptions(2), threads, StageCache(), Progress(), decisions);
    REQUIRE_MESSAGE(status.ok(), status.message());
    files.push_back(p.File(decisions));
    CHECK(files.back() == files[0]);
  }
  CHECK(files[0] != p.File(p.decisions));
}

TEST_CASE("an interrupted refinement goes on with the same bytes") {
  if (!HasOneDnn()) return;
  const TestFolder folder;
  const StageCache cache(folder.path());
  const Prepared p(24, 4);
  Decisions whole = p.decisions;
  REQUIRE(Refine(p, FastOptions(2), 2, StageCache(), Progress(), whole).ok());
  const size_t num_blocks = SplitIntoBlocks(p.model.graph).size();
  REQUIRE(num_blocks > 1);

  const Progress stop = [&](const std::string&, uint64_t done, uint64_t) {
    if (done == num_blocks) throw std::runtime_error("stopped");
  };
  Decisions stopped = p.decisions;
  CHECK_THROWS(Refine(p, FastOptions(2), 2, cache, stop, stopped).ok());
  uint64_t left = 0;
  const Progress count = [&](const std::string&, uint64_t, uint64_t total) { left = total; };
  Decisions resumed = p.decisions;
  REQUIRE(Refine(p, FastOptions(2), 2, cache, count, resumed).ok());
  CHECK(left == 1);  // the last block was not saved yet
  CHECK(p.File(resumed) == p.File(whole));
}

TEST_CASE("refinement of equalised models is refused") {
  if (!HasOneDnn()) return;
  QuantizeOptions options;
  options.equalize = true;
  options.refinement = FastOptions(1);
  const auto quantized = Quantize(SmallModel(), RandomImages(8, 16, 16, 3), options, Progress());
  REQUIRE(!quantized.ok());
  CHECK(quantized.status().code() == ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace mpq
