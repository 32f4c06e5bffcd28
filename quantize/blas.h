// OpenBLAS, where the build found it, computes what Eigen's expressions ask for.
#ifndef MPQ_QUANTIZE_BLAS_H_
#define MPQ_QUANTIZE_BLAS_H_

#include <string>

namespace mpq {

// Every product runs in the thread that asks for it: the quantiser's loops are parallel themselves,
// and results must not depend on the number of threads.
void KeepProductsInCallersThread();

// Whose products, for which CPU: the last bits of what is rounded depend on it. "openblas Haswell",
// "eigen".
std::string ProductsDescription();

}  // namespace mpq

#endif  // MPQ_QUANTIZE_BLAS_H_
