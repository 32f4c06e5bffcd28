// Integers rounded up to multiples.
#ifndef MPQ_FORMAT_ROUNDING_H_
#define MPQ_FORMAT_ROUNDING_H_

#include <concepts>
#include <type_traits>

namespace mpq {

template <std::unsigned_integral T>
constexpr T DivideRoundUp(T x, std::type_identity_t<T> divisor) {
  return (x + divisor - 1) / divisor;
}

template <std::unsigned_integral T>
constexpr T RoundUp(T x, std::type_identity_t<T> multiple) {
  return DivideRoundUp(x, multiple) * multiple;
}

}  // namespace mpq

#endif  // MPQ_FORMAT_ROUNDING_H_
