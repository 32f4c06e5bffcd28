// What this process takes of the machine's memory, in bytes, as Linux counts it. 0 elsewhere.
#ifndef MPQ_APPS_PROCESS_MEMORY_H_
#define MPQ_APPS_PROCESS_MEMORY_H_

#include <cstdint>

namespace mpq {

// The most that was ever resident (VmHWM), and what is now (VmRSS). Mapped files count with the
// pages that were touched.
uint64_t PeakMemory();
uint64_t ResidentMemory();

// Starts a new peak at what is resident now, where the system allows it.
void ResetPeakMemory();

}  // namespace mpq

#endif  // MPQ_APPS_PROCESS_MEMORY_H_
