#include "engine/core/isa.h"

#include <cstdlib>

#include "format/message.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace mpq {

namespace {

constexpr Isa kAllIsas[] = {Isa::kScalar,     Isa::kSse4, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512,
                            Isa::kAvx512Vnni, Isa::kAmx,  Isa::kNeon, Isa::kNeonDot, Isa::kI8mm};

#if defined(__x86_64__)

struct CpuidLeaf {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;

  CpuidLeaf(uint32_t leaf, uint32_t subleaf) {
    if (__get_cpuid_count(leaf, subleaf, &eax, &ebx, &ecx, &edx) == 0) eax = ebx = ecx = edx = 0;
  }
};

constexpr bool HasBits(uint64_t word, uint64_t bits) { return (word & bits) == bits; }
constexpr uint32_t Bit(int i) { return 1u << i; }

// Which register files the operating system saves (XCR0).
uint64_t EnabledStates() {
  uint32_t lo = 0;
  uint32_t hi = 0;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return uint64_t{hi} << 32 | lo;
}

// Linux gives a process the 8 kB of tile data only on request
// (Documentation/arch/x86/xstate.rst); all its threads have them then.
bool RequestTiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

// Bit positions: Intel SDM volume 2, CPUID.
std::vector<Isa> DetectIsas() {
  std::vector<Isa> isas{Isa::kScalar};
  const CpuidLeaf leaf1(1, 0);
  const CpuidLeaf leaf7(7, 0);
  const CpuidLeaf leaf7_1(7, 1);
  if (!HasBits(leaf1.ecx, Bit(9) | Bit(19))) return isas;  // SSSE3, SSE4.1
  isas.push_back(Isa::kSse4);

  const bool osxsave = HasBits(leaf1.ecx, Bit(27));
  const uint64_t states = osxsave ? EnabledStates() : 0;
  const bool avx2 =
      HasBits(states, 6) && HasBits(leaf1.ecx, Bit(12) | Bit(28) | Bit(29)) &&
      HasBits(leaf7.ebx, Bit(3) | Bit(5) | Bit(8));  // FMA, AVX, F16C; BMI, AVX2, BMI2
  if (!avx2) return isas;
  isas.push_back(Isa::kAvx2);
  if (HasBits(leaf7_1.eax, Bit(4))) isas.push_back(Isa::kAvxVnni);

  const bool avx512 =
      HasBits(states, 0xe6) && HasBits(leaf7.ebx, Bit(16) | Bit(17) | Bit(28) | Bit(30) | Bit(31));
  if (!avx512) return isas;
  isas.push_back(Isa::kAvx512);
  if (!HasBits(leaf7.ecx, Bit(11))) return isas;
  isas.push_back(Isa::kAvx512Vnni);

  const bool amx = HasBits(states, uint64_t{Bit(17) | Bit(18)}) &&
                   HasBits(leaf7.edx, Bit(24) | Bit(25));  // AMX-TILE, AMX-INT8
  if (amx && RequestTiles()) isas.push_back(Isa::kAmx);
  return isas;
}

#elif defined(__aarch64__)

std::vector<Isa> DetectIsas() {
  std::vector<Isa> isas{Isa::kScalar, Isa::kNeon};
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) == 0) return isas;
  isas.push_back(Isa::kNeonDot);
  if ((getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0) isas.push_back(Isa::kI8mm);
  return isas;
}

#else

std::vector<Isa> DetectIsas() { return {Isa::kScalar}; }

#endif

bool Supported(Isa isa) {
  for (const Isa supported : SupportedIsas()) {
    if (supported == isa) return true;
  }
  return false;
}

}  // namespace

std::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kSse4:
      return "sse4";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvxVnni:
      return "avxvnni";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Vnni:
      return "avx512vnni";
    case Isa::kAmx:
      return "amx";
    case Isa::kNeon:
      return "neon";
    case Isa::kNeonDot:
      return "neondot";
    case Isa::kI8mm:
      return "i8mm";
  }
  return "unknown";
}

Result<Isa> ParseIsa(std::string_view name) {
  std::string supported;
  for (const Isa isa : kAllIsas) {
    if (Supported(isa)) {
      if (IsaName(isa) == name) return isa;
      supported += supported.empty() ? "" : ", ";
      supported += IsaName(isa);
    }
  }
  return Error(ErrorCode::kInvalidArgument, "instruction set '", name,
               "': unknown, or not on this CPU, which has ", supported);
}

const std::vector<Isa>& SupportedIsas() {
  static const std::vector<Isa> isas = DetectIsas();
  return isas;
}

Result<Isa> DefaultIsa() {
  const char* forced = std::getenv("MPQ_ISA");
  if (forced != nullptr && forced[0] != '\0') {
    Result<Isa> isa = ParseIsa(forced);
    if (!isa.ok()) return isa.status().WithContext("MPQ_ISA");
    return isa;
  }
  return SupportedIsas().back();
}

bool IsaIncludes(Isa isa, Isa needed) {
  if (needed == Isa::kScalar || needed == isa) return true;
  const bool same_family = (isa >= Isa::kNeon) == (needed >= Isa::kNeon) && isa != Isa::kScalar;
  // AVX-512 machines exist without AVX-VNNI: forcing avx512 must not run its instructions.
  return same_family && needed < isa && needed != Isa::kAvxVnni;
}

}  // namespace mpq
