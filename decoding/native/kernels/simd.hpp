// Vectors of 16 lanes, written once with the compiler's vector extension. What a processor does
// with them is its compiler flags' matter; only the integer dot product and the conversion from
// half precision differ by instruction set.
//
// Every sum below has one order, so the three builds of this code give the same integers, and a
// row its same bits whatever else is computed with it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

using f32x16 = float __attribute__((vector_size(64)));
using i32x16 = int32_t __attribute__((vector_size(64)));
using f32x8 = float __attribute__((vector_size(32)));
using f32x4 = float __attribute__((vector_size(16)));
using i32x8 = int32_t __attribute__((vector_size(32)));
using i32x4 = int32_t __attribute__((vector_size(16)));
using s8x16 = int8_t __attribute__((vector_size(16)));
using u16x32 = uint16_t __attribute__((vector_size(64)));
using u8x64 = uint8_t __attribute__((vector_size(64)));

constexpr int LANES = 16;

#if defined(__AVX512VNNI__)
constexpr int MOST_ROWS = 6;     // of a tile: two columns of 16 for each, in registers
constexpr int TILE_VECTORS = 2;
#else
constexpr int MOST_ROWS = 2;
constexpr int TILE_VECTORS = 1;
#endif

template <class V> inline V load(const void *at) {
    V v;
    std::memcpy(&v, at, sizeof v);
    return v;
}

template <class V> inline void store(void *at, V v) { std::memcpy(at, &v, sizeof v); }

inline f32x16 splat(float x) { return x - f32x16{}; }
inline i32x16 splat_int(int32_t x) { return x - i32x16{}; }
inline u8x64 splat_byte(uint8_t x) { return x - u8x64{}; }
inline f32x16 to_float(i32x16 v) { return __builtin_convertvector(v, f32x16); }
inline f32x16 larger(f32x16 a, f32x16 b) { return a > b ? a : b; }
inline f32x16 size_of(f32x16 v) { return v < 0.0f ? -v : v; }

inline float half_to_float(uint16_t bits) {
    const uint32_t sign = uint32_t(bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    float value;
    if (magnitude >= 0x0400u) {
        const uint32_t word = magnitude >= 0x7c00u ? (magnitude << 13) | 0x7f800000u
                                                   : (magnitude << 13) + 0x38000000u;
        std::memcpy(&value, &word, 4);
    } else {
        value = float(magnitude) * 0x1p-24f;
    }
    return sign ? -value : value;
}

// Rounds to nearest, ties to even; beyond the largest half it is infinite.
inline uint16_t float_to_half(float value) {
#if defined(__F16C__)
    return _cvtss_sh(value, 0);
#else
    uint32_t word;
    std::memcpy(&word, &value, 4);
    const uint32_t sign = (word >> 16) & 0x8000u;
    word &= 0x7fffffffu;
    if (word > 0x7f800000u) return uint16_t(sign | 0x7e00u);
    if (word >= 0x47800000u) return uint16_t(sign | 0x7c00u);
    if (word < 0x38800000u) {
        float magnitude;
        std::memcpy(&magnitude, &word, 4);
        return uint16_t(sign | uint32_t(std::lrint(magnitude * 0x1p24f)));
    }
    word += 0xfffu + ((word >> 13) & 1u);
    return uint16_t(sign | ((word - 0x38000000u) >> 13));
#endif
}

inline f32x16 load_values(const float *at) { return load<f32x16>(at); }
inline f32x16 load_values(const uint16_t *at) {
#if defined(__AVX512F__)
    return (f32x16)_mm512_cvtph_ps(load<__m256i>(at));
#elif defined(__F16C__)
    f32x16 v;
    const __m256 halves[2] = {_mm256_cvtph_ps(load<__m128i>(at)), _mm256_cvtph_ps(load<__m128i>(at + 8))};
    std::memcpy(&v, halves, sizeof v);
    return v;
#else
    f32x16 v;
    for (int lane = 0; lane < LANES; ++lane) v[lane] = half_to_float(at[lane]);
    return v;
#endif
}

inline void keep(float *at, float value) { *at = value; }
inline void keep(uint16_t *at, float value) { *at = float_to_half(value); }

// sums[lane] += the dot product of that lane's four bytes with the four signed bytes of `four`.
// WIDE says that the unsigned bytes may exceed 15.
template <bool WIDE> inline i32x16 add_dot(i32x16 sums, u8x64 bytes, int32_t four) {
#if defined(__AVX512VNNI__)
    return (i32x16)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)bytes, _mm512_set1_epi32(four));
#elif defined(__AVX2__)
    __m256i out[2], in[2];
    std::memcpy(out, &sums, 64);
    std::memcpy(in, &bytes, 64);
    const __m256i factors = _mm256_set1_epi32(four), ones = _mm256_set1_epi16(1);
    const __m256i low = _mm256_set1_epi8(15);
    for (int half = 0; half < 2; ++half) {
        // Products of whole bytes would not fit in 16 bits: nibbles do.
        const __m256i lower = WIDE ? _mm256_and_si256(in[half], low) : in[half];
        __m256i sum = _mm256_madd_epi16(_mm256_maddubs_epi16(lower, factors), ones);
        if (WIDE) {
            const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(in[half], 4), low);
            const __m256i products = _mm256_maddubs_epi16(upper, factors);
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(products, _mm256_set1_epi16(16)));
        }
        out[half] = _mm256_add_epi32(out[half], sum);
    }
    std::memcpy(&sums, out, 64);
    return sums;
#else
    int8_t factors[4];
    std::memcpy(factors, &four, 4);
    for (int byte = 0; byte < 4; ++byte)
        sums += ((i32x16)bytes >> (8 * byte) & 255) * int32_t(factors[byte]);
    return sums;
#endif
}

// Lane i and lane i + half of them, until four are left.
template <class Half, class V> inline Half lower(const V &v) { return load<Half>(&v); }
template <class Half, class V> inline Half upper(const V &v) {
    return load<Half>(reinterpret_cast<const char *>(&v) + sizeof(Half));
}

inline float sum_of(f32x16 v) {
    const f32x8 eight = lower<f32x8>(v) + upper<f32x8>(v);
    const f32x4 four = lower<f32x4>(eight) + upper<f32x4>(eight);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

inline int32_t sum_of(i32x16 v) {
    const i32x8 eight = lower<i32x8>(v) + upper<i32x8>(v);
    const i32x4 four = lower<i32x4>(eight) + upper<i32x4>(eight);
    return four[0] + four[1] + four[2] + four[3];
}

inline float largest_of(f32x16 v) {
    const f32x8 low = lower<f32x8>(v), high = upper<f32x8>(v), eight = low > high ? low : high;
    const f32x4 left = lower<f32x4>(eight), right = upper<f32x4>(eight), four = left > right ? left : right;
    const float a = four[0] > four[2] ? four[0] : four[2], b = four[1] > four[3] ? four[1] : four[3];
    return a > b ? a : b;
}

// e**x for x <= 88: 2**n times a polynomial (the Cephes library's coefficients) of the rest; 0
// below the smallest normal number.
inline f32x16 exp_of(f32x16 x) {
    const f32x16 shifted = x * 1.44269504088896341f + 12582912.0f;  // 1.5 * 2**23 rounds to whole
    const f32x16 whole = shifted - 12582912.0f;
    f32x16 rest = x - whole * 0.693359375f;
    rest = rest - whole * -2.12194440e-4f;
    f32x16 series = rest * 1.9875691500e-4f + 1.3981999507e-3f;
    series = series * rest + 8.3334519073e-3f;
    series = series * rest + 4.1665795894e-2f;
    series = series * rest + 1.6666665459e-1f;
    series = series * rest + 5.0000001201e-1f;
    series = series * (rest * rest) + rest + 1.0f;
    const i32x16 exponent = (((i32x16)shifted - 0x4b400000) + 127) << 23;
    const f32x16 value = series * (f32x16)exponent;
    return x < -87.0f ? f32x16{} : value;
}
