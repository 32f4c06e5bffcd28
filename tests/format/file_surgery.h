// Takes a .mpq file apart and puts it together again with correct checksums, so that faults reach
// the parser behind them.
#ifndef MPQ_TESTS_FORMAT_FILE_SURGERY_H_
#define MPQ_TESTS_FORMAT_FILE_SURGERY_H_

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "format/checksum.h"
#include "format/section_table.h"

namespace mpq {

struct OwnedSection {
  uint32_t id = 0;
  bool required = false;
  std::vector<uint8_t> bytes;
};

inline std::vector<OwnedSection> TakeApart(std::span<const uint8_t> file) {
  const std::vector<Section> sections = ReadSections(file).value();
  std::vector<OwnedSection> owned;
  for (const Section& section : sections) {
    owned.push_back({section.id, section.required, {section.bytes.begin(), section.bytes.end()}});
  }
  return owned;
}

inline std::vector<uint8_t> PutTogether(const std::vector<OwnedSection>& owned) {
  std::vector<Section> sections;
  for (const OwnedSection& section : owned) {
    sections.push_back({section.id, section.required, 0, section.bytes, 0});
  }
  return AssembleSections(sections);
}

inline OwnedSection& Find(std::vector<OwnedSection>& sections, wire::SectionId id) {
  return *std::find_if(sections.begin(), sections.end(), [&](const OwnedSection& section) {
    return section.id == static_cast<uint32_t>(id);
  });
}

// Stores x little endian at `offset`.
inline void Poke(std::vector<uint8_t>& bytes, size_t offset, uint64_t x, int num_bytes) {
  for (int i = 0; i < num_bytes; ++i) bytes[offset + i] = static_cast<uint8_t>(x >> (8 * i));
}

// Makes the header's checksum right again.
inline void SignHeader(std::vector<uint8_t>& file) {
  const size_t end = wire::kHeaderBytes + file[12] * wire::kTableEntryBytes;
  Poke(file, end, Checksum(std::span<const uint8_t>(file).first(end)), 8);
}

// Where `text` starts in `bytes`.
inline size_t OffsetOf(const std::vector<uint8_t>& bytes, std::string_view text) {
  return static_cast<size_t>(std::search(bytes.begin(), bytes.end(), text.begin(), text.end()) -
                             bytes.begin());
}

}  // namespace mpq

#endif  // MPQ_TESTS_FORMAT_FILE_SURGERY_H_
