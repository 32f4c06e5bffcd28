// How much work low widths save, whatever the hardware: bit operations (BOPs).
#ifndef MPQ_FORMAT_BIT_OPERATIONS_H_
#define MPQ_FORMAT_BIT_OPERATIONS_H_

#include <cmath>
#include <cstdint>

namespace mpq {

// Of `macs` products of weights and activations with so many bits, of which `products` make up an
// output: each costs bw * ba for the multiplication and bw + ba + log2(products) for the addition
// to the accumulator (Baskin et al., "UNIQ", 2021).
inline double BitOperations(double macs, uint64_t products, double weight_bits,
                            double activation_bits) {
  return macs * (weight_bits * activation_bits + weight_bits + activation_bits +
                 std::log2(static_cast<double>(products)));
}

}  // namespace mpq

#endif  // MPQ_FORMAT_BIT_OPERATIONS_H_
