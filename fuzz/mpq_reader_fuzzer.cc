// Feeds bytes to the reader as they are, and again with the sizes and checksums of the frame made
// right, because a fuzzer cannot guess those. Whatever is accepted must validate, be written again,
// and read back the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "format/checksum.h"
#include "format/reader.h"
#include "format/wire.h"
#include "format/writer.h"

namespace mpq {
namespace {

struct AlignedDelete {
  void operator()(uint8_t* memory) const { ::operator delete (memory, std::align_val_t{64}); }
};

// Exactly as long as the input, so that sanitizers see every read beyond the end.
std::unique_ptr<uint8_t, AlignedDelete> AlignedCopy(std::span<const uint8_t> bytes) {
  auto* memory = static_cast<uint8_t*>(::operator new (bytes.size(), std::align_val_t{64}));
  if (!bytes.empty()) std::memcpy(memory, bytes.data(), bytes.size());
  return std::unique_ptr<uint8_t, AlignedDelete>(memory);
}

void Require(bool condition) {
  if (!condition) std::abort();
}

void ReadAndWrite(std::span<const uint8_t> bytes) {
  const auto memory = AlignedCopy(bytes);
  const Result<ModelData> model = ReadModel({memory.get(), bytes.size()});
  if (!model.ok()) {
    Require(!model.status().message().empty());
    return;
  }
  const Result<std::vector<uint8_t>> written = SerializeModel(*model);
  Require(written.ok());
  const auto again_memory = AlignedCopy(*written);
  const Result<ModelData> again = ReadModel({again_memory.get(), written->size()});
  Require(again.ok());
  Require(SerializeModel(*again).value() == *written);
}

uint64_t Load(const std::vector<uint8_t>& bytes, size_t offset) {
  uint64_t x;
  std::memcpy(&x, bytes.data() + offset, sizeof x);
  return x;
}

void Store(std::vector<uint8_t>& bytes, size_t offset, uint64_t x) {
  std::memcpy(bytes.data() + offset, &x, sizeof x);
}

std::vector<uint8_t> Repair(std::span<const uint8_t> input) {
  std::vector<uint8_t> file(input.begin(), input.end());
  if (file.size() < wire::kHeaderBytes + wire::kChecksumBytes) return file;
  std::copy(wire::kMagic.begin(), wire::kMagic.end(), file.begin());
  std::memset(file.data() + 8, 0, 4);  // version
  file[12] %= wire::kMaxSections;
  std::memset(file.data() + 13, 0, 3);
  Store(file, 16, file.size());
  const size_t table_end = wire::kHeaderBytes + file[12] * wire::kTableEntryBytes;
  if (table_end + wire::kChecksumBytes > file.size()) return file;
  const std::span<const uint8_t> bytes(file);
  for (size_t entry = wire::kHeaderBytes; entry < table_end; entry += wire::kTableEntryBytes) {
    const uint64_t offset = Load(file, entry + 8);
    const uint64_t size = Load(file, entry + 16);
    if (offset > file.size() || size > file.size() - offset) continue;
    Store(file, entry + 24, Checksum(bytes.subspan(offset, size)));
  }
  Store(file, table_end, Checksum(bytes.first(table_end)));
  return file;
}

}  // namespace
}  // namespace mpq

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mpq::ReadAndWrite({data, size});
  mpq::ReadAndWrite(mpq::Repair({data, size}));
  return 0;
}
