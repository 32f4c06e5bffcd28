// Handmade files with one fault each, in the frame or in the syntax of a section, and the error
// that names it. Faults in what a model says are in validate_test.cc.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "format/reader.h"
#include "format/writer.h"
#include "tests/format/file_surgery.h"
#include "tests/format/sample_models.h"

namespace mpq {
namespace {

using Bytes = std::vector<uint8_t>;
using Sections = std::vector<OwnedSection>;
using wire::SectionId;

const Bytes& GoodFile() {
  static const Bytes file = SerializeModel(AllOperatorsModel(false)).value();
  return file;
}

const Bytes& GoodFloatFile() {
  static const Bytes file = SerializeModel(AllOperatorsModel(true)).value();
  return file;
}

void CheckError(const Bytes& bytes, ErrorCode code, const std::string& fragment) {
  const AlignedBytes file(bytes);
  const Result<ModelData> model = ReadModel(file.span());
  REQUIRE(!model.ok());
  CAPTURE(model.status().message());
  CHECK(std::string(ErrorCodeName(model.status().code())) == ErrorCodeName(code));
  CHECK(model.status().message().find(fragment) != std::string::npos);
}

// Positions in the header and the table.
constexpr size_t kVersionAt = 8;
constexpr size_t kCountAt = 12;
constexpr size_t kSizeAt = 16;
size_t EntryAt(size_t i) { return wire::kHeaderBytes + i * wire::kTableEntryBytes; }

struct FrameFault {
  std::string name;
  std::function<void(Bytes&)> fault;
  bool sign;  // make the header's checksum right again
  ErrorCode code;
  const char* fragment;
};

const std::vector<FrameFault>& FrameFaults() {
  static const std::vector<FrameFault> faults = {
      {"empty file", [](Bytes& f) { f.clear(); }, false, ErrorCode::kTruncated, "0 bytes"},
      {"another format", [](Bytes& f) { f[1] = 'Z'; }, false, ErrorCode::kCorrupt, "not an .mpq"},
      {"line ends converted", [](Bytes& f) { f.erase(f.begin() + 4); }, false, ErrorCode::kCorrupt,
       "not an .mpq"},
      {"a header cut short", [](Bytes& f) { f.resize(23); }, false, ErrorCode::kTruncated,
       "header takes 24"},
      {"a later version", [](Bytes& f) { Poke(f, kVersionAt, 1, 4); }, true,
       ErrorCode::kUnsupportedVersion, "version 1"},
      {"file cut by a byte", [](Bytes& f) { f.pop_back(); }, false, ErrorCode::kTruncated,
       "header announces"},
      {"a byte appended", [](Bytes& f) { f.push_back(0); }, false, ErrorCode::kCorrupt,
       "1 bytes follow"},
      {"file size beyond the limit", [](Bytes& f) { Poke(f, kSizeAt, uint64_t{1} << 63, 8); }, true,
       ErrorCode::kLimitExceeded, "limit is 4294967296"},
      {"too many sections", [](Bytes& f) { Poke(f, kCountAt, 33, 4); }, false,
       ErrorCode::kLimitExceeded, "33 sections"},
      {"a table longer than the file",
       [](Bytes& f) {
         f.resize(256);
         Poke(f, kSizeAt, 256, 8);
         Poke(f, kCountAt, 32, 4);
       },
       false, ErrorCode::kCorrupt, "does not fit"},
      {"header changed", [](Bytes& f) { f[EntryAt(0) + 31] ^= 1; }, false, ErrorCode::kCorrupt,
       "checksum of the header"},
      {"unknown flags", [](Bytes& f) { Poke(f, EntryAt(0) + 4, 3, 4); }, true, ErrorCode::kCorrupt,
       "unknown flags"},
      {"a section not aligned", [](Bytes& f) { f[EntryAt(1) + 8] ^= 32; }, true,
       ErrorCode::kCorrupt, "not a multiple of 64"},
      {"overlapping sections",
       [](Bytes& f) { std::copy_n(f.begin() + EntryAt(0) + 8, 8, f.begin() + EntryAt(1) + 8); },
       true, ErrorCode::kCorrupt, "overlaps"},
      {"a section in the header", [](Bytes& f) { Poke(f, EntryAt(0) + 8, 0, 8); }, true,
       ErrorCode::kCorrupt, "overlaps"},
      {"a gap before a section", [](Bytes& f) { Poke(f, EntryAt(0) + 8, 1 << 10, 8); }, true,
       ErrorCode::kCorrupt, "expected"},
      {"a section beyond the end", [](Bytes& f) { Poke(f, EntryAt(0) + 16, ~uint64_t{0}, 8); },
       true, ErrorCode::kCorrupt, "exceeds the file"},
      {"the last section shorter", [](Bytes& f) { --f[EntryAt(5) + 16]; }, true,
       ErrorCode::kCorrupt, "not zero"},
      {"sections in another order", [](Bytes& f) { Poke(f, EntryAt(0), 4, 4); }, true,
       ErrorCode::kCorrupt, "ascending"},
      {"a section twice", [](Bytes& f) { Poke(f, EntryAt(1), 1, 4); }, true, ErrorCode::kCorrupt,
       "without duplicates"},
      {"padding not zero", [](Bytes& f) { f[EntryAt(6) + wire::kChecksumBytes] = 1; }, false,
       ErrorCode::kCorrupt, "padding before section 1 (graph)"},
      {"tail not zero", [](Bytes& f) { f.back() = 1; }, false, ErrorCode::kCorrupt,
       "last 64 bytes"},
      {"tail missing",
       [](Bytes& f) {
         f.resize(f.size() - 64);
         Poke(f, kSizeAt, f.size(), 8);
       },
       true, ErrorCode::kCorrupt, "zeros at its end"},
      {"a section changed", [](Bytes& f) { f[256] ^= 0x10; }, false, ErrorCode::kCorrupt,
       "checksum of section 1 (graph)"},
  };
  return faults;
}

struct SectionFault {
  std::string name;
  std::function<void(Sections&)> fault;
  ErrorCode code;
  const char* fragment;
};

// Replaces the bytes of `id` with those given.
std::function<void(Sections&)> Replace(SectionId id, Bytes bytes) {
  return [=](Sections& s) { Find(s, id).bytes = bytes; };
}
std::function<void(Sections&)> Remove(SectionId id) {
  return [=](Sections& s) { s.erase(s.begin() + (&Find(s, id) - s.data())); };
}
// Sets the byte `distance` after the start of `text` in the graph section.
std::function<void(Sections&)> PokeGraph(const char* text, int distance, uint8_t value) {
  return [=](Sections& s) {
    Bytes& graph = Find(s, SectionId::kGraph).bytes;
    graph[OffsetOf(graph, text) + distance] = value;
  };
}
std::function<void(Sections&)> Cut(SectionId id) {
  return [=](Sections& s) { Find(s, id).bytes.pop_back(); };
}
std::function<void(Sections&)> Append(SectionId id) {
  return [=](Sections& s) { Find(s, id).bytes.push_back(0); };
}

const std::vector<SectionFault>& SectionFaults() {
  constexpr ErrorCode kCorrupt = ErrorCode::kCorrupt;
  constexpr ErrorCode kLimit = ErrorCode::kLimitExceeded;
  static const std::vector<SectionFault> faults = {
      {"no graph", Remove(SectionId::kGraph), kCorrupt, "'graph' is missing"},
      {"no channels", Remove(SectionId::kChannels), kCorrupt, "'channels' is missing"},
      {"no codes", Remove(SectionId::kCodes), kCorrupt, "'codes' is missing"},
      {"no preprocessing", Remove(SectionId::kPreprocessing), kCorrupt,
       "'preprocessing' is missing"},
      {"an unknown required section",
       [](Sections& s) {
         s.push_back({99, true, {1, 2, 3}});
       },
       ErrorCode::kUnsupported, "section 99 is required"},
      {"a known section with the wrong flag",
       [](Sections& s) { Find(s, SectionId::kLabels).required = true; }, kCorrupt, "wrong flags"},
      {"floats in an integer model",
       [](Sections& s) {
         s.insert(s.begin() + 3, {4, true, {}});
       },
       kCorrupt, "an integer model has a section 'floats'"},
      {"empty graph section", Replace(SectionId::kGraph, {}), kCorrupt, "0 bytes are left"},
      {"a number longer than 5 bytes",
       Replace(SectionId::kGraph, {0x80, 0x80, 0x80, 0x80, 0x80, 0x00}), kCorrupt,
       "more than 5 bytes"},
      {"a number not in its shortest form", Replace(SectionId::kGraph, {0x81, 0x00}), kCorrupt,
       "shortest form"},
      {"a number beyond 32 bits", Replace(SectionId::kGraph, {0xff, 0xff, 0xff, 0xff, 0x7f}),
       kLimit, "number of tensors is 34359738367"},
      {"too many tensors", Replace(SectionId::kGraph, {0x81, 0x20, 0, 0, 0, 0, 0}), kLimit,
       "number of tensors is 4097"},
      {"more tensors than bytes", Replace(SectionId::kGraph, {0x80, 0x20, 0, 0, 0, 0, 0}), kCorrupt,
       "number of tensors is 4096"},
      {"more nodes than bytes", Replace(SectionId::kGraph, {0, 0x80, 0x20, 0, 0, 0}), kCorrupt,
       "number of nodes is 4096"},
      {"more weights than bytes", Replace(SectionId::kGraph, {0, 0, 0x80, 0x20, 0, 0}), kCorrupt,
       "number of weights is 4096"},
      {"no tensors", Replace(SectionId::kGraph, {0, 0, 0, 0, 0, 0}), kCorrupt, "bytes too many"},
      {"a name longer than the section", PokeGraph("input", -1, 0xff), kLimit, "name of a tensor"},
      {"an unknown element type", PokeGraph("input", 5, 3), kCorrupt, "element type 3"},
      {"an integer graph with a float input", PokeGraph("input", 5, 0), kCorrupt, "section"},
      {"an unknown operator",
       PokeGraph("\x05"
                 "Conv0",
                 -2 + 0, 9),
       kCorrupt, "operator"},
      {"unknown node flags",
       PokeGraph("\x04"
                 "Add4",
                 -1, 8),
       kCorrupt, "flags 8"},
      {"flags of another operator",
       PokeGraph("\x04"
                 "Add4",
                 -1, 2),
       kCorrupt, "flags 2 mean nothing for Add"},
      {"more inputs than allowed",
       PokeGraph("\x04"
                 "Add4",
                 5, 65),
       kLimit, "number of inputs is 65"},
      {"more inputs than bytes", PokeGraph("\x06logits", 7, 64), kCorrupt,
       "number of inputs is 64"},
      {"an input that does not exist",
       PokeGraph("\x04"
                 "Add4",
                 6, 99),
       kCorrupt, "input tensor 99"},
      {"graph section cut", Cut(SectionId::kGraph), kCorrupt, "section 'graph'"},
      {"bytes after the graph", Append(SectionId::kGraph), kCorrupt, "1 bytes too many"},
      {"channels cut", Cut(SectionId::kChannels), kCorrupt, "section 'channels'"},
      {"bytes after the channels", Append(SectionId::kChannels), kCorrupt, "1 bytes too many"},
      {"codes cut", Cut(SectionId::kCodes), kCorrupt, "code stream takes"},
      {"bytes after the codes", Append(SectionId::kCodes), kCorrupt, "1 bytes too many"},
      {"padding between streams",
       [](Sections& s) {
         // The first stream, 12 quads * 16 channels: a block of 8 bits, one of 5.
         Find(s, SectionId::kCodes).bytes[9 * 8 * (8 + 5) + 1] = 1;
       },
       kCorrupt, "padding is not zero"},
      {"an unknown interpolation",
       [](Sections& s) { Find(s, SectionId::kPreprocessing).bytes[12] = 3; }, kCorrupt,
       "interpolation 3"},
      {"an unknown channel order",
       [](Sections& s) { Find(s, SectionId::kPreprocessing).bytes[13] = 2; }, kCorrupt,
       "channel order 2"},
      {"input codes cut", Cut(SectionId::kPreprocessing), kCorrupt, "input codes takes 768"},
      {"bytes after preprocessing", Append(SectionId::kPreprocessing), kCorrupt,
       "1 bytes too many"},
      {"labels without a label", Replace(SectionId::kLabels, {0}), kCorrupt, "empty"},
      {"more labels than bytes", Replace(SectionId::kLabels, {100, 0}), kCorrupt,
       "number of labels is 100"},
      {"too many labels", Replace(SectionId::kLabels, {0x81, 0x80, 0x04}), kLimit,
       "number of labels is 65537"},
      {"a label too long", Replace(SectionId::kLabels, {1, 0x81, 0x08}), kLimit, "label is 1025"},
      {"a label not in UTF-8", Replace(SectionId::kLabels, {10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 255}),
       kCorrupt, "label is not UTF-8"},
      {"provenance without an entry", Replace(SectionId::kProvenance, {0}), kCorrupt, "empty"},
      {"too many entries", Replace(SectionId::kProvenance, {65}), kLimit,
       "number of entries is 65"},
      {"an entry without a value", Replace(SectionId::kProvenance, {1, 1, 'k'}), kCorrupt,
       "'provenance'"},
  };
  return faults;
}

TEST_CASE("faults in the frame") {
  for (const FrameFault& fault : FrameFaults()) {
    CAPTURE(fault.name);
    Bytes file = GoodFile();
    fault.fault(file);
    if (fault.sign) SignHeader(file);
    CheckError(file, fault.code, fault.fragment);
  }
}

TEST_CASE("faults in sections") {
  for (const SectionFault& fault : SectionFaults()) {
    CAPTURE(fault.name);
    Sections sections = TakeApart(GoodFile());
    fault.fault(sections);
    CheckError(PutTogether(sections), fault.code, fault.fragment);
  }
}

TEST_CASE("faults in a float model") {
  Sections sections = TakeApart(GoodFloatFile());
  Find(sections, SectionId::kFloats).bytes.pop_back();
  CheckError(PutTogether(sections), ErrorCode::kCorrupt, "float bias takes");
  sections = TakeApart(GoodFloatFile());
  sections.insert(sections.begin() + 1, {2, true, {}});
  CheckError(PutTogether(sections), ErrorCode::kCorrupt, "a float model has a section 'channels'");
  sections = TakeApart(GoodFloatFile());
  Find(sections, SectionId::kFloats).bytes[3] = 0x7f;
  Find(sections, SectionId::kFloats).bytes[2] |= 0x80;
  CheckError(PutTogether(sections), ErrorCode::kCorrupt, "expected a finite number");
}

TEST_CASE("an unknown section that is not required is skipped") {
  Sections sections = TakeApart(GoodFile());
  sections.push_back({1000, false, {1, 2, 3}});
  const AlignedBytes file(PutTogether(sections));
  const Result<ModelData> model = ReadModel(file.span());
  REQUIRE_MESSAGE(model.ok(), model.status().message());
  CHECK(SerializeModel(*model).value() == GoodFile());
}

TEST_CASE("labels and provenance may be absent") {
  ModelData model = AllOperatorsModel(false);
  model.labels.clear();
  model.provenance.clear();
  const AlignedBytes file(SerializeModel(model).value());
  CHECK(ReadSections(file.span()).value().size() == 4);
  CHECK(ReadModel(file.span()).ok());
}

}  // namespace
}  // namespace mpq
