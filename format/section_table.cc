#include "format/section_table.h"

#include <algorithm>
#include <cstddef>

#include "format/byte_reader.h"
#include "format/byte_writer.h"
#include "format/checksum.h"
#include "format/message.h"

namespace mpq {

namespace {

size_t TableEnd(size_t num_sections) {
  return wire::kHeaderBytes + num_sections * wire::kTableEntryBytes;
}

uint64_t LoadLittle(std::span<const uint8_t> bytes, size_t offset, size_t num_bytes) {
  uint64_t x = 0;
  for (size_t i = 0; i < num_bytes; ++i) x |= uint64_t{bytes[offset + i]} << (8 * i);
  return x;
}

bool AllZero(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

// Checks the header and returns the number of sections; the table lies within the file.
Result<uint32_t> ReadHeader(std::span<const uint8_t> file) {
  const size_t magic_bytes = std::min(file.size(), wire::kMagic.size());
  if (!std::equal(file.begin(), file.begin() + magic_bytes, wire::kMagic.begin())) {
    return Error(ErrorCode::kCorrupt, "not an .mpq file: wrong magic");
  }
  if (file.size() < wire::kHeaderBytes) {
    return Error(ErrorCode::kTruncated, "the file has ", file.size(), " bytes, the header takes ",
                 wire::kHeaderBytes);
  }
  const auto version = static_cast<uint32_t>(LoadLittle(file, 8, 4));
  if (version != wire::kVersion) {
    return Error(ErrorCode::kUnsupportedVersion, "the file has version ", version,
                 ", this program reads version ", wire::kVersion);
  }
  const uint64_t num_bytes = LoadLittle(file, 16, 8);
  if (num_bytes > wire::kMaxFileBytes) {
    return Error(ErrorCode::kLimitExceeded, "the header announces ", num_bytes,
                 " bytes, the limit is ", wire::kMaxFileBytes);
  }
  if (num_bytes > file.size()) {
    return Error(ErrorCode::kTruncated, "the file has ", file.size(),
                 " bytes, its header announces ", num_bytes);
  }
  if (num_bytes < file.size()) {
    return Error(ErrorCode::kCorrupt, file.size() - num_bytes,
                 " bytes follow the end that the header announces");
  }
  const auto num_sections = static_cast<uint32_t>(LoadLittle(file, 12, 4));
  if (num_sections > wire::kMaxSections) {
    return Error(ErrorCode::kLimitExceeded, "the file has ", num_sections,
                 " sections, the limit is ", wire::kMaxSections);
  }
  if (TableEnd(num_sections) + wire::kChecksumBytes > file.size()) {
    return Error(ErrorCode::kCorrupt, "a table of ", num_sections,
                 " sections does not fit the file of ", file.size(), " bytes");
  }
  return num_sections;
}

// Sections lie in the table's order, each at the next multiple of the alignment, so they cannot
// overlap and hide nothing between them. `position` is the end of what precedes; moves on.
Result<Section> ReadEntry(std::span<const uint8_t> file, size_t entry, uint64_t& position) {
  Section section;
  section.id = static_cast<uint32_t>(LoadLittle(file, entry, 4));
  const auto flags = static_cast<uint32_t>(LoadLittle(file, entry + 4, 4));
  section.offset = LoadLittle(file, entry + 8, 8);
  const uint64_t size = LoadLittle(file, entry + 16, 8);
  section.checksum = LoadLittle(file, entry + 24, 8);
  section.required = (flags & wire::kFlagRequired) != 0;
  const std::string name = Message("section ", section.id, " (", SectionName(section.id), ")");
  if ((flags & ~wire::kFlagRequired) != 0) {
    return Error(ErrorCode::kCorrupt, name, ": unknown flags ", flags);
  }
  if (section.offset % wire::kSectionAlignment != 0) {
    return Error(ErrorCode::kCorrupt, name, " starts at byte ", section.offset,
                 ", not a multiple of ", wire::kSectionAlignment);
  }
  if (section.offset < position) {
    return Error(ErrorCode::kCorrupt, name, " starts at byte ", section.offset,
                 " and overlaps what ends at byte ", position);
  }
  if (section.offset != wire::AlignUp(position, wire::kSectionAlignment)) {
    return Error(ErrorCode::kCorrupt, name, " starts at byte ", section.offset, ", expected ",
                 wire::AlignUp(position, wire::kSectionAlignment));
  }
  if (section.offset > file.size() || size > file.size() - section.offset) {
    return Error(ErrorCode::kCorrupt, name, " of ", size, " bytes at byte ", section.offset,
                 " exceeds the file of ", file.size(), " bytes");
  }
  if (!AllZero(file.subspan(position, section.offset - position))) {
    return Error(ErrorCode::kCorrupt, "padding before ", name, " is not zero");
  }
  section.bytes = file.subspan(section.offset, size);
  position = section.offset + size;
  return section;
}

Status CheckEnd(std::span<const uint8_t> file, uint64_t position) {
  const uint64_t expected = wire::AlignUp(position, wire::kSectionAlignment) + wire::kTailBytes;
  if (file.size() != expected) {
    return Error(ErrorCode::kCorrupt, "the file has ", file.size(),
                 " bytes, its sections and the zeros at its end take ", expected);
  }
  if (!AllZero(file.subspan(position))) {
    return Error(ErrorCode::kCorrupt, "the last ", wire::kTailBytes,
                 " bytes of the file or the padding before them are not zero");
  }
  return Status();
}

}  // namespace

const char* SectionName(uint32_t id) {
  switch (static_cast<wire::SectionId>(id)) {
    case wire::SectionId::kGraph:
      return "graph";
    case wire::SectionId::kChannels:
      return "channels";
    case wire::SectionId::kCodes:
      return "codes";
    case wire::SectionId::kFloats:
      return "floats";
    case wire::SectionId::kPreprocessing:
      return "preprocessing";
    case wire::SectionId::kLabels:
      return "labels";
    case wire::SectionId::kProvenance:
      return "provenance";
  }
  return "unknown";
}

Result<std::vector<Section>> ReadSections(std::span<const uint8_t> file) {
  MPQ_ASSIGN_OR_RETURN(const uint32_t num_sections, ReadHeader(file));
  const size_t table_end = TableEnd(num_sections);
  if (Checksum(file.first(table_end)) != LoadLittle(file, table_end, wire::kChecksumBytes)) {
    return Error(ErrorCode::kCorrupt, "checksum of the header does not match");
  }
  std::vector<Section> sections;
  uint64_t position = table_end + wire::kChecksumBytes;
  for (uint32_t i = 0; i < num_sections; ++i) {
    MPQ_ASSIGN_OR_RETURN(Section section, ReadEntry(file, TableEnd(i), position));
    if (i > 0 && section.id <= sections.back().id) {
      return Error(ErrorCode::kCorrupt, "section ", section.id, " follows section ",
                   sections.back().id, ", expected ascending numbers without duplicates");
    }
    sections.push_back(section);
  }
  MPQ_RETURN_IF_ERROR(CheckEnd(file, position));
  for (const Section& section : sections) {
    if (Checksum(section.bytes) != section.checksum) {
      return Error(ErrorCode::kCorrupt, "checksum of section ", section.id, " (",
                   SectionName(section.id), ") does not match");
    }
  }
  return sections;
}

std::vector<uint8_t> AssembleSections(std::span<const Section> sections) {
  const auto align = [](uint64_t x) { return wire::AlignUp(x, wire::kSectionAlignment); };
  const uint64_t first = align(TableEnd(sections.size()) + wire::kChecksumBytes);
  uint64_t num_bytes = first + wire::kTailBytes;
  for (const Section& section : sections) num_bytes += align(section.bytes.size());

  ByteWriter out;
  out.Reserve(num_bytes);
  out.Bytes(std::span<const uint8_t>(wire::kMagic));
  out.U32(wire::kVersion);
  out.U32(static_cast<uint32_t>(sections.size()));
  out.U64(num_bytes);
  uint64_t offset = first;
  for (const Section& section : sections) {
    out.U32(section.id);
    out.U32(section.required ? wire::kFlagRequired : 0);
    out.U64(offset);
    out.U64(section.bytes.size());
    out.U64(Checksum(section.bytes));
    offset += align(section.bytes.size());
  }
  out.U64(Checksum(out.span()));
  for (const Section& section : sections) {
    out.Align(wire::kSectionAlignment);
    out.Bytes(section.bytes);
  }
  out.Align(wire::kSectionAlignment);
  out.Zeros(wire::kTailBytes);
  return out.Take();
}

}  // namespace mpq
