// Constants of the .mpq file, version 0: docs/mpq_format.md is the specification, this its numbers.
// Every count in a file is checked against its limit before anything is allocated.
#ifndef MPQ_FORMAT_WIRE_H_
#define MPQ_FORMAT_WIRE_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace mpq::wire {

// As in PNG: the high bit and the line ends expose transfers that change bytes.
inline constexpr std::array<uint8_t, 8> kMagic = {0x89, 'M', 'P', 'Q', '\r', '\n', 0x1a, '\n'};
inline constexpr uint32_t kVersion = 0;

// Header, section table, checksum of both; then the sections; then zeros.
inline constexpr size_t kHeaderBytes = 24;
inline constexpr size_t kTableEntryBytes = 32;
inline constexpr size_t kChecksumBytes = 8;
inline constexpr size_t kSectionAlignment = 64;
inline constexpr size_t kTailBytes = 64;  // zeros at the end: kernels may over-read

// In the order in which sections lie in the file.
enum class SectionId : uint32_t {
  kGraph = 1,
  kChannels = 2,  // integer models
  kCodes = 3,     // integer models
  kFloats = 4,    // float models
  kPreprocessing = 5,
  kLabels = 6,      // optional
  kProvenance = 7,  // optional
};
inline constexpr uint32_t kFlagRequired = 1;  // readers that do not know the section must refuse

// Flags of a node.
inline constexpr uint8_t kNodeCeilMode = 1;
inline constexpr uint8_t kNodeCountIncludePad = 2;
inline constexpr uint8_t kNodeClipped = 4;  // clip_lo and clip_hi follow

// Limits of the file.
inline constexpr uint64_t kMaxFileBytes = uint64_t{1} << 32;
inline constexpr uint32_t kMaxSections = 32;
inline constexpr uint32_t kMaxNameBytes = 1024;
inline constexpr uint32_t kMaxLabelBytes = 1024;
inline constexpr uint32_t kMaxProvenanceEntries = 64;
inline constexpr uint32_t kMaxProvenanceBytes = 65536;  // of one value

// Limits of the graph.
inline constexpr uint32_t kMaxTensors = 4096;
inline constexpr uint32_t kMaxNodes = 4096;
inline constexpr uint32_t kMaxWeights = 4096;
inline constexpr uint32_t kMaxInputs = 64;  // of one node
inline constexpr uint32_t kMaxSide = 16384;
inline constexpr uint32_t kMaxChannels = 65536;
inline constexpr uint64_t kMaxTensorValues = uint64_t{1} << 26;  // one activation, one image
inline constexpr uint64_t kMaxTotalValues = uint64_t{1} << 28;   // all activations, one image

// Limits of a node's attributes.
inline constexpr uint32_t kMaxKernel = 1024;  // one side; stride and dilation as well
inline constexpr uint32_t kMaxPad = 1024;
inline constexpr uint32_t kMaxPoolCount = 65536;           // pixels averaged
inline constexpr uint32_t kMaxDotLength = 1 << 20;         // products of one output value
inline constexpr uint32_t kMaxLayerValues = 1 << 29;       // weights of one layer
inline constexpr int32_t kMaxAverageMultiplier = 1 << 30;  // kAvgPool, kGlobalAvgPool
inline constexpr uint32_t kMaxShift = 30;

constexpr uint64_t AlignUp(uint64_t x, uint64_t alignment) {
  return (x + alignment - 1) / alignment * alignment;
}

}  // namespace mpq::wire

#endif  // MPQ_FORMAT_WIRE_H_
