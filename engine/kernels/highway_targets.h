// What every Highway file includes before foreach_target.h: the targets that we compile. Files are
// compiled once per target into namespace mpq::N_<TARGET>; the part under HWY_ONCE puts their
// functions into one table per instruction set of engine/core/isa.h, and the registry chooses among
// those. Highway's own dynamic dispatch is not used: it has global state and other ideas of what an
// instruction set is. Only its headers are needed, not its library.
#ifndef MPQ_ENGINE_KERNELS_HIGHWAY_TARGETS_H_
#define MPQ_ENGINE_KERNELS_HIGHWAY_TARGETS_H_

// Targets without an Isa of ours.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#if defined(__x86_64__)
// All of SSE4, AVX2 and AVX3 are compiled, even where the compiler's flags (-march=native) would
// let Highway drop the smaller ones.
#define HWY_BASELINE_TARGETS HWY_BASELINE_SCALAR
#endif

// False for the targets that Highway has for the rest; the reference kernels serve there.
#define MPQ_TARGET_HAS_VECTORS (HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128)

// Calls F(name, text, isa, namespace) for the targets, best first. An Isa without a line of its own
// (VNNI, dot products) includes one that has.
#if defined(__x86_64__)
#define MPQ_FOR_EACH_TARGET(F)              \
  F(Avx512, "avx512", Isa::kAvx512, N_AVX3) \
  F(Avx2, "avx2", Isa::kAvx2, N_AVX2)       \
  F(Sse4, "sse4", Isa::kSse4, N_SSE4)
#elif defined(__aarch64__)
#define MPQ_FOR_EACH_TARGET(F) F(Neon, "neon", Isa::kNeon, N_NEON)
#else
#define MPQ_FOR_EACH_TARGET(F)
#endif

#endif  // MPQ_ENGINE_KERNELS_HIGHWAY_TARGETS_H_
