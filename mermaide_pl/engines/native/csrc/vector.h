// Vectors of the widest registers that the compiler may use, and their exponential function.
//
// They are the vector types of GCC and Clang, so one source serves every processor. The compiler has
// to contract products and sums (-ffp-contract=fast); nothing else relaxes IEEE arithmetic: NaN stays
// NaN.

#pragma once

#include <cstdint>
#include <cstring>
#include <iterator>

namespace mermaide {

#if defined(__AVX512F__)
#define VECTOR __attribute__((vector_size(64)))
#elif defined(__AVX__)
#define VECTOR __attribute__((vector_size(32)))
#else
#define VECTOR __attribute__((vector_size(16)))
#endif

template <class T>
struct Format;
template <>
struct Format<float> {
  typedef float Lanes VECTOR;
  typedef uint32_t Bits VECTOR;
  static constexpr int MANTISSA = 23, BIAS = 127;
  static constexpr float LOWEST = -87, HIGHEST = 88;  // e^x is a normal number
  static constexpr float LN2_HIGH = 0.693359375f, LN2_LOW = -2.12194440e-4f;
  // Cephes' expf
  static constexpr float EXP[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                                  4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f, 1, 1};
};
template <>
struct Format<double> {
  typedef double Lanes VECTOR;
  typedef uint64_t Bits VECTOR;
  static constexpr int MANTISSA = 52, BIAS = 1023;
  static constexpr double LOWEST = -708, HIGHEST = 709;
  static constexpr double LN2_HIGH = 6.93145751953125e-1, LN2_LOW = 1.42860682030941723212e-6;
  // 1/13!, ..., 1/0!
  static constexpr double EXP[] = {1. / 6227020800, 1. / 479001600, 1. / 39916800, 1. / 3628800,
                                   1. / 362880, 1. / 40320, 1. / 5040, 1. / 720, 1. / 120,
                                   1. / 24, 1. / 6, 1. / 2, 1, 1};
};

template <class T>
struct Vec {
  using Lanes = typename Format<T>::Lanes;
  Lanes lanes;

  Vec() = default;
  Vec(Lanes of) : lanes(of) {}
  explicit Vec(T of) : lanes(of - Lanes{}) {}  // in every lane; x - 0 is x, even for x = -0
  static Vec loadu(const T* from) {
    Vec out;
    std::memcpy(&out.lanes, from, sizeof(Lanes));
    return out;
  }
  void store(T* to) const { std::memcpy(to, &lanes, sizeof(Lanes)); }

  friend Vec operator+(Vec a, Vec b) { return a.lanes + b.lanes; }
  friend Vec operator-(Vec a, Vec b) { return a.lanes - b.lanes; }
  friend Vec operator*(Vec a, Vec b) { return a.lanes * b.lanes; }
  friend Vec operator/(Vec a, Vec b) { return a.lanes / b.lanes; }
};
template <class T>
constexpr int64_t W = sizeof(Vec<T>) / sizeof(T);

// e^x = 2^n e^r with n whole and |r| <= ln(2) / 2, within 2 units in the last place; inlined, half the
// time of a call. Clamped to what a normal number can hold.
template <class T>
inline Vec<T> exponential(Vec<T> of) {
  using F = Format<T>;
  using Lanes = typename F::Lanes;
  using Bits = typename F::Bits;
  const Lanes lowest = F::LOWEST - Lanes{}, highest = F::HIGHEST - Lanes{};
  Lanes x = of.lanes;
  x = x < lowest ? lowest : x;
  x = x > highest ? highest : x;
  constexpr T SHIFT = T(3) * (int64_t(1) << (F::MANTISSA - 1));  // the last bit of x + SHIFT is worth 1
  const Lanes shifted = x * T(1.44269504088896341) + SHIFT, n = shifted - SHIFT;
  const Lanes r = (x - n * F::LN2_HIGH) - n * F::LN2_LOW;
  Lanes y = F::EXP[0] - Lanes{};
  for (size_t k = 1; k < std::size(F::EXP); ++k) y = y * r + F::EXP[k];
  return Vec<T>(y * (Lanes)(((Bits)shifted + F::BIAS) << F::MANTISSA));
}

}  // namespace mermaide
