#include "quantize/blas.h"

#ifdef EIGEN_USE_BLAS
#include <cblas.h>
#endif

namespace mpq {

void KeepProductsInCallersThread() {
#ifdef EIGEN_USE_BLAS
  openblas_set_num_threads(1);
#endif
}

std::string ProductsDescription() {
#ifdef EIGEN_USE_BLAS
  return std::string("openblas ") + openblas_get_corename();
#else
  return "eigen";
#endif
}

}  // namespace mpq
