// The frame of a .mpq file: header, section table, checksums and padding.
#ifndef MPQ_FORMAT_SECTION_TABLE_H_
#define MPQ_FORMAT_SECTION_TABLE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "format/wire.h"
#include "mpq/status.h"

namespace mpq {

struct Section {
  uint32_t id = 0;  // wire::SectionId, or of a later writer
  bool required = false;
  uint64_t offset = 0;             // in the file
  std::span<const uint8_t> bytes;  // points into the file
  uint64_t checksum = 0;
};

// "graph", "codes", ...; "unknown" for ids of later writers.
const char* SectionName(uint32_t id);

// Labels and provenance are not needed to run a model.
inline bool IsRequiredSection(wire::SectionId id) {
  return id != wire::SectionId::kLabels && id != wire::SectionId::kProvenance;
}

// The sections of a file in its order, after every check that needs no knowledge of their contents:
// magic, version, size, limits, placement, padding, checksums.
Result<std::vector<Section>> ReadSections(std::span<const uint8_t> file);

// A file of these sections, in this order; offset and checksum are worked out.
std::vector<uint8_t> AssembleSections(std::span<const Section> sections);

}  // namespace mpq

#endif  // MPQ_FORMAT_SECTION_TABLE_H_
