// OpenBLAS, where the build found it, computes what Eigen's expressions ask for.
#ifndef MPQ_QUANTIZE_BLAS_H_
#define MPQ_QUANTIZE_BLAS_H_

namespace mpq {

// Every product runs in the thread that asks for it: the quantiser's loops are parallel themselves,
// and results must not depend on the number of threads.
void KeepProductsInCallersThread();

}  // namespace mpq

#endif  // MPQ_QUANTIZE_BLAS_H_
