// Truncations and random mutations of valid files. Whatever is accepted must be a file that our
// writer could have written: reading and writing it gives the same bytes. Meant to run under
// address and undefined-behaviour sanitizers as well.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <random>
#include <vector>

#include "format/reader.h"
#include "format/writer.h"
#include "tests/format/file_surgery.h"
#include "tests/format/sample_models.h"

namespace {

// Bytes that the current thread has asked for: counted by the operators below.
thread_local size_t allocated_bytes = 0;

}  // namespace

void* operator new(size_t size) {
  allocated_bytes += size;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
// GCC 12 inlines one of these without the other and warns of a mismatch.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace mpq {
namespace {

using Bytes = std::vector<uint8_t>;
using Sections = std::vector<OwnedSection>;

std::vector<Bytes> GoodFiles() {
  std::vector<Bytes> files;
  for (const NamedModel& sample : GoldenModels()) {
    files.push_back(SerializeModel(sample.model).value());
  }
  return files;
}

// All allocations of a read, freed or not, against the size of the file. A record of a few bytes
// becomes a struct of a few hundred, hence the factor.
void CheckAllocations(size_t allocated, size_t file_bytes) {
  constexpr size_t kFactor = 100;
  constexpr size_t kConstant = 4096;  // sections, messages
  if (allocated > kFactor * file_bytes + kConstant) {
    FAIL("a file of " << file_bytes << " bytes made the reader allocate " << allocated);
  }
}

// Returns whether the reader takes `bytes`. Plain ifs: a CHECK for each is slow.
bool Accepts(const Bytes& bytes) {
  const AlignedBytes file(bytes);
  const size_t before = allocated_bytes;
  const Result<ModelData> model = ReadModel(file.span());
  CheckAllocations(allocated_bytes - before, bytes.size());
  if (!model.ok()) {
    if (model.status().message().empty()) FAIL("an error without a message");
    return false;
  }
  const Result<Bytes> again = SerializeModel(*model);
  if (!again.ok()) FAIL("read, but not written: " << again.status().message());
  if (*again != bytes) FAIL("accepted, but not what the writer would write");
  return true;
}

TEST_CASE("truncation at every byte") {
  for (const bool is_float : {false, true}) {
    const Bytes bytes = SerializeModel(AllOperatorsModel(is_float)).value();
    for (size_t size = 0; size < bytes.size(); ++size) {
      if (Accepts(Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size)))) {
        FAIL("accepted " << size << " of " << bytes.size() << " bytes");
      }
    }
    CHECK(Accepts(bytes));
  }
}

TEST_CASE("truncation of every section at every byte, checksums made right") {
  for (const bool is_float : {false, true}) {
    const Sections sections = TakeApart(SerializeModel(AllOperatorsModel(is_float)).value());
    for (size_t i = 0; i < sections.size(); ++i) {
      // Cutting the long streams a byte at a time shows nothing new after the first kilobyte.
      const size_t full = sections[i].bytes.size();
      for (size_t size = full > 2048 ? full - 1024 : 0; size < full; ++size) {
        Sections cut = sections;
        cut[i].bytes.resize(size);
        if (Accepts(PutTogether(cut))) FAIL("section " << i << " accepted at " << size);
      }
    }
  }
}

TEST_CASE("every bit of the file is checked") {
  const Bytes bytes = SerializeModel(GoldenModels()[1].model).value();
  for (size_t i = 0; i < bytes.size(); ++i) {
    Bytes changed = bytes;
    changed[i] ^= static_cast<uint8_t>(1 << i % 8);
    if (Accepts(changed)) FAIL("bit " << i % 8 << " of byte " << i << " may be changed");
  }
}

// One random edit: a bit, a byte, an interesting value, a deletion or an insertion.
void Mutate(Bytes& bytes, std::mt19937& random) {
  if (bytes.empty()) return;
  constexpr uint8_t kInteresting[] = {0, 1, 0x7f, 0x80, 0xff};
  const auto at = bytes.begin() + static_cast<ptrdiff_t>(random() % bytes.size());
  switch (random() % 6) {
    case 0:
      *at ^= static_cast<uint8_t>(1 << random() % 8);
      break;
    case 1:
      *at = static_cast<uint8_t>(random());
      break;
    case 2:
      *at = kInteresting[random() % std::size(kInteresting)];
      break;
    case 3:
      bytes.erase(at);
      break;
    case 4:
      bytes.insert(at, static_cast<uint8_t>(random()));
      break;
    case 5:
      std::iter_swap(at, bytes.begin() + static_cast<ptrdiff_t>(random() % bytes.size()));
      break;
  }
}

// Most of a file is codes, of which all are valid; the other sections are where parsers err.
size_t RandomSection(const Sections& sections, std::mt19937& random) {
  return random() % 3 == 0 ? random() % sections.size() : 0;
}

TEST_CASE("10,000 random mutations") {
  constexpr uint32_t kSeed = 20240607;
  constexpr int kMutations = 10000;
  MESSAGE("seed " << kSeed);
  std::mt19937 random(kSeed);
  const std::vector<Bytes> files = GoodFiles();
  int accepted = 0;
  for (int i = 0; i < kMutations; ++i) {
    Bytes bytes = files[random() % files.size()];
    const bool reach_the_parser = i % 2 == 0;
    const int edits = 1 + static_cast<int>(random() % 3);
    if (reach_the_parser) {
      Sections sections = TakeApart(bytes);
      const size_t section = RandomSection(sections, random);
      for (int k = 0; k < edits; ++k) Mutate(sections[section].bytes, random);
      bytes = PutTogether(sections);
    } else {
      for (int k = 0; k < edits; ++k) Mutate(bytes, random);
    }
    if (Accepts(bytes)) ++accepted;
  }
  MESSAGE(accepted << " of " << kMutations << " mutations are valid models");
  // The edits are small enough to reach every depth: some models survive, most do not.
  CHECK(accepted > kMutations / 100);
  CHECK(accepted < kMutations / 2);
}

}  // namespace
}  // namespace mpq
