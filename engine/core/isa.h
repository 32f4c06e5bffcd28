// Instruction sets as mpq counts them. Our own list, detected by us: Highway's AVX3_DL asks for
// more than AVX-512 VNNI and would leave Cascade Lake and AVX-VNNI parts without it.
#ifndef MPQ_ENGINE_CORE_ISA_H_
#define MPQ_ENGINE_CORE_ISA_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "mpq/status.h"

namespace mpq {

// Within a family, later ones contain the earlier ones.
enum class Isa : uint8_t {
  kScalar = 0,
  // x86
  kSse4 = 1,        // SSE4.1 + SSSE3
  kAvx2 = 2,        // AVX2 + FMA + BMI2 + F16C (Highway's AVX2)
  kAvxVnni = 3,     // AVX2 + AVX-VNNI
  kAvx512 = 4,      // AVX-512 F, BW, CD, DQ, VL
  kAvx512Vnni = 5,  // + AVX512_VNNI
  kAmx = 6,         // + AMX-TILE, AMX-INT8
  // Arm
  kNeon = 16,
  kNeonDot = 17,  // + dot product
  kI8mm = 18,     // + int8 matrix multiply
};

// "scalar", "sse4", "avx2", "avxvnni", "avx512", "avx512vnni", "amx", "neon", "neondot", "i8mm"
std::string_view IsaName(Isa isa);
Result<Isa> ParseIsa(std::string_view name);

// What this CPU and operating system can run, ascending; kScalar is always there.
const std::vector<Isa>& SupportedIsas();
// The best of them, or the one that the environment variable MPQ_ISA names.
Result<Isa> DefaultIsa();
// True if code for `needed` runs where `isa` was chosen.
bool IsaIncludes(Isa isa, Isa needed);

}  // namespace mpq

#endif  // MPQ_ENGINE_CORE_ISA_H_
