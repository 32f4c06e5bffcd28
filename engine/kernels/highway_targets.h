// What every Highway file includes before foreach_target.h: the targets that we compile. Files are
// compiled once per target into namespace mpq::N_<TARGET>; the part under HWY_ONCE puts their
// functions into one table per instruction set of engine/core/isa.h, and the registry chooses among
// those. Highway's own dynamic dispatch is not used: it has global state and other ideas of what an
// instruction set is. Only its headers are needed, not its library.
#ifndef MPQ_ENGINE_KERNELS_HIGHWAY_TARGETS_H_
#define MPQ_ENGINE_KERNELS_HIGHWAY_TARGETS_H_

// Targets without an Isa of ours. The rest is SSE4, AVX2, AVX3 and SCALAR, or NEON.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_EMU128)

#endif  // MPQ_ENGINE_KERNELS_HIGHWAY_TARGETS_H_
