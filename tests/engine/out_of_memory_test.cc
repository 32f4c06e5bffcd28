// Lets every single allocation fail, and all after it: each time an error must come back, nothing
// may end the program. A program of its own, as it replaces the global operator new.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "engine/core/float_executor.h"
#include "mpq/image.h"
#include "mpq/model.h"
#include "mpq/mpq.h"
#include "mpq/session.h"

namespace {

// Allocations that still succeed; below 0: they fail. Far from both: nothing is counted.
constexpr int64_t kUnlimited = int64_t{1} << 60;
std::atomic<int64_t> allocations_left{kUnlimited};
std::atomic<int64_t> allocations{0};
std::atomic<bool> fail_once{false};

bool MayAllocate() {
  allocations.fetch_add(1, std::memory_order_relaxed);
  const int64_t left = allocations_left.fetch_sub(1, std::memory_order_relaxed);
  return fail_once ? left != 0 : left > 0;
}

void* Allocate(size_t size, size_t alignment) {
  if (!MayAllocate()) return nullptr;
  void* memory = nullptr;
  return posix_memalign(&memory, alignment, size == 0 ? 1 : size) == 0 ? memory : nullptr;
}

void* AllocateOrThrow(size_t size, size_t alignment) {
  void* memory = Allocate(size, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

constexpr size_t kDefault = alignof(std::max_align_t);

}  // namespace

// What AlignedMemory calls.
extern "C" void* aligned_alloc(size_t alignment, size_t size) noexcept {
  return Allocate(size, alignment);
}

void* operator new(size_t size) { return AllocateOrThrow(size, kDefault); }
void* operator new[](size_t size) { return AllocateOrThrow(size, kDefault); }
void* operator new(size_t size, std::align_val_t alignment) {
  return AllocateOrThrow(size, static_cast<size_t>(alignment));
}
void* operator new(size_t size, const std::nothrow_t&) noexcept { return Allocate(size, kDefault); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return Allocate(size, kDefault);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace mpq {
namespace {

const std::string kGolden = MPQ_SOURCE_ROOT "/tests/format/golden/";

// Runs `work` until none of its allocations has failed. Returns how many there are.
template <typename Work>
int64_t FailEachAllocation(Work work) {
  for (const bool once : {true, false}) {
    for (int64_t n = 0;; ++n) {
      REQUIRE(n < 100000);
      fail_once = once;
      allocations_left = n;
      const ErrorCode code = work();
      const bool failed = allocations_left < 0;
      allocations_left = kUnlimited;
      fail_once = false;
      if (!failed) {
        CHECK(code == ErrorCode::kOk);
        if (!once) return n;
        break;
      }
      // A single failure may be something that can be done without.
      if (!once || code != ErrorCode::kOk) CHECK(code == ErrorCode::kOutOfMemory);
    }
  }
  return 0;
}

ErrorCode LoadAndRun(const std::string& path, const std::vector<uint8_t>& photo, uint32_t threads) {
  const Result<Model> model = Model::Load(path);
  if (!model.ok()) return model.status().code();
  const Result<Image> input = Preprocess(*model, {48, 40, photo});
  if (!input.ok()) return input.status().code();
  SessionOptions options;
  options.threads = threads;
  options.batch = 2;
  options.keep_tensors = true;
  Result<Session> session = Session::Create(*model, options);
  if (!session.ok()) return session.status().code();
  const Status run = session->Run(input->rgb);
  if (!run.ok()) return run.code();
  return session->ReadTensor(0).status().code();
}

TEST_CASE("each allocation of loading, planning and running may fail") {
  REQUIRE(SetFloatIsa("scalar").ok());  // oneDNN is not ours to test
  const std::vector<uint8_t> photo(size_t{48} * 40 * 3, 100);
  for (const char* name : {"all_operators.mpq", "all_operators_float.mpq", "residual.mpq"}) {
    CAPTURE(name);
    const std::string path = kGolden + name;
    for (const uint32_t threads : {1u, 3u}) {
      CHECK(FailEachAllocation([&] { return LoadAndRun(path, photo, threads); }) > 50);
    }
  }
}

TEST_CASE("each allocation of the C interface may fail") {
  const std::string path = kGolden + "all_operators.mpq";
  const std::vector<uint8_t> photo(size_t{48} * 40 * 3, 100);
  std::vector<uint8_t> pixels(size_t{512} * 512 * 3);
  std::vector<float> logits(1000);
  const auto work = [&] {
    mpq_model* model = nullptr;
    mpq_session* session = nullptr;
    mpq_status status = mpq_model_load(path.c_str(), &model);
    if (status == MPQ_OK) status = mpq_session_create(model, nullptr, &session);
    if (status == MPQ_OK) {
      status = mpq_session_preprocess(session, photo.data(), 48, 40, pixels.data());
    }
    if (status == MPQ_OK) status = mpq_session_run(session, pixels.data(), 1, logits.data());
    mpq_session_free(session);
    mpq_model_free(model);
    return static_cast<ErrorCode>(status);
  };
  CHECK(FailEachAllocation(work) > 50);
}

TEST_CASE("a session allocates nothing while it runs") {
  const Result<Model> model = Model::Load(kGolden + "all_operators.mpq");
  REQUIRE(model.ok());
  for (const uint32_t threads : {1u, 3u}) {
    SessionOptions options;
    options.threads = threads;
    options.profile = true;
    Result<Session> session = Session::Create(*model, options);
    REQUIRE(session.ok());
    const std::vector<uint8_t> pixels(size_t{session->height()} * session->width() * 3, 7);
    const int64_t before = allocations;
    const bool ok = session->Run(pixels).ok() && session->Run(pixels).ok();
    const int64_t after = allocations;
    CHECK(ok);
    CHECK(after == before);
  }
}

}  // namespace
}  // namespace mpq
