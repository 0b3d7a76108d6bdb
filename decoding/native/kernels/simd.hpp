// Vectors as wide as the processor's, written once with the compiler's vector extension. Only the
// integer dot product and the conversion from half precision differ by instruction set.
//
// Every sum below has one order in a build, so a row gets its same bits whatever is computed with it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512VNNI__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

using Floats = float __attribute__((vector_size(4 * LANES)));
using Ints = int32_t __attribute__((vector_size(4 * LANES)));
using Longs = uint64_t __attribute__((vector_size(8 * LANES)));
using Words = uint16_t __attribute__((vector_size(4 * LANES)));
using Bytes = uint8_t __attribute__((vector_size(4 * LANES)));
using FewBytes = int8_t __attribute__((vector_size(LANES)));

// Calls use(n) with the constant n = count, which is from 1 to MOST.
template <int MOST, class Use> inline void with_count(int count, const Use &use) {
    if constexpr (MOST > 1)
        if (count < MOST) return with_count<MOST - 1>(count, use);
    use(std::integral_constant<int, MOST>{});
}

template <class V> inline V load(const void *at) {
    V v;
    std::memcpy(&v, at, sizeof v);
    return v;
}

template <class V> inline void store(void *at, V v) { std::memcpy(at, &v, sizeof v); }

// a * b + c, rounded once where the processor can. Nothing else is fused (the builds say so): left to
// itself, a compiler may fuse in one instance of a template and not in another, and rows would differ.
inline Floats fused(Floats a, Floats b, Floats c) {
#if defined(__AVX512VNNI__)
    return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
    return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__FP_FAST_FMAF)
    Floats sum;
    for (int lane = 0; lane < LANES; ++lane) sum[lane] = __builtin_fmaf(a[lane], b[lane], c[lane]);
    return sum;
#else
    return a * b + c;
#endif
}

inline Floats splat(float x) { return x - Floats{}; }
inline Ints numbers() {  // of the lanes
    Ints v;
    for (int lane = 0; lane < LANES; ++lane) v[lane] = lane;
    return v;
}
inline Bytes splat_byte(uint8_t x) { return x - Bytes{}; }
inline Floats to_float(Ints v) { return __builtin_convertvector(v, Floats); }
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
inline Floats size_of(Floats v) { return (Floats)((Ints)v & 0x7fffffff); }

// Whether every lane of what a comparison gave is true.
inline bool all_of(Ints truth) {
    uint64_t pairs[LANES / 2], all = ~uint64_t(0);
    std::memcpy(pairs, &truth, sizeof truth);
    for (const uint64_t pair : pairs) all &= pair;
    return all == ~uint64_t(0);
}

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

// Stores 32 numbers from -128 to 127, which on AVX2 the compiler would take out of vectors one by one.
inline void store_bytes(int8_t *out, const Ints (&numbers)[32 / LANES]) {
#if defined(__AVX2__) && !defined(__AVX512VNNI__)
    const __m256i first = _mm256_packs_epi32((__m256i)numbers[0], (__m256i)numbers[1]);
    const __m256i second = _mm256_packs_epi32((__m256i)numbers[2], (__m256i)numbers[3]);
    const __m256i halves = _mm256_packs_epi16(first, second);  // of both halves of vectors by turns
    store(out, _mm256_permutevar8x32_epi32(halves, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
#else
    for (int v = 0; v < 32 / LANES; ++v) store(out + v * LANES, __builtin_convertvector(numbers[v], FewBytes));
#endif
}

inline Floats load_values(const float *at) { return load<Floats>(at); }
inline Floats load_values(const uint16_t *at) {
#if defined(__AVX512VNNI__)
    return (Floats)_mm512_cvtph_ps(load<__m256i>(at));
#elif defined(__AVX2__)
    return (Floats)_mm256_cvtph_ps(load<__m128i>(at));
#else
    Floats v;
    for (int lane = 0; lane < LANES; ++lane) v[lane] = half_to_float(at[lane]);
    return v;
#endif
}

inline void keep(float *at, float value) { *at = value; }
inline void keep(uint16_t *at, float value) { *at = float_to_half(value); }

// For each lane the sum of products of its unsigned bytes with signed ones, four at a time and at
// most eight times. WIDE says that the unsigned bytes may exceed 15.
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__) || !defined(__AVX2__)
template <bool WIDE> class Dots {
  public:
    // Adds each lane's four bytes times the four signed bytes of `four`.
    void add(Bytes bytes, int32_t four) {
#if defined(__AVX512VNNI__)
        sums_ = (Ints)_mm512_dpbusd_epi32((__m512i)sums_, (__m512i)bytes, _mm512_set1_epi32(four));
#elif defined(__AVXVNNI__)
        sums_ = (Ints)_mm256_dpbusd_avx_epi32((__m256i)sums_, (__m256i)bytes, _mm256_set1_epi32(four));
#else
        int8_t factors[4];
        std::memcpy(factors, &four, 4);
        for (int byte = 0; byte < 4; ++byte)
            sums_ += ((Ints)bytes >> (8 * byte) & 255) * int32_t(factors[byte]);
#endif
    }

    Ints total() const { return sums_; }

  private:
    Ints sums_{};
};
#else
// In pairs and nibbles, for which 16 bits suffice: 8 x 2 x 15 x 128 < 2**15.
template <bool WIDE> class Dots {
  public:
    void add(Bytes bytes, int32_t four) {
        const __m256i factors = _mm256_set1_epi32(four), low = _mm256_set1_epi8(15);
        const __m256i lower = WIDE ? _mm256_and_si256((__m256i)bytes, low) : (__m256i)bytes;
        add_words(lower_, _mm256_maddubs_epi16(lower, factors));
        if (WIDE) {
            const __m256i upper = _mm256_and_si256(_mm256_srli_epi16((__m256i)bytes, 4), low);
            add_words(upper_, _mm256_maddubs_epi16(upper, factors));
        }
    }

    Ints total() const {
        const __m256i sum = _mm256_madd_epi16(lower_, _mm256_set1_epi16(1));
        if (!WIDE) return (Ints)sum;
        return (Ints)_mm256_add_epi32(sum, _mm256_madd_epi16(upper_, _mm256_set1_epi16(16)));
    }

  private:
    // Adds now: left to itself the compiler puts additions off until registers run out.
    static void add_words(__m256i &sums, __m256i words) {
        sums = _mm256_add_epi16(sums, words);
        asm("" : "+x"(sums));
    }

    __m256i lower_{}, upper_{};
};
#endif

// Joins lanes i and i + half of them, until one is left.
template <class Quad, class V, class Join> inline auto joined(V v, const Join &join) {
    Quad quads[LANES / 4];
    std::memcpy(quads, &v, sizeof v);
    for (int half = LANES / 8; half; half /= 2)
        for (int i = 0; i < half; ++i) quads[i] = join(quads[i], quads[i + half]);
    return join(join(quads[0][0], quads[0][2]), join(quads[0][1], quads[0][3]));
}

using FourFloats = float __attribute__((vector_size(16)));
using FourInts = int32_t __attribute__((vector_size(16)));

inline float sum_of(Floats v) {
    return joined<FourFloats>(v, [](auto a, auto b) { return a + b; });
}
inline int32_t sum_of(Ints v) {
    return joined<FourInts>(v, [](auto a, auto b) { return a + b; });
}
inline float largest_of(Floats v) {
    return joined<FourFloats>(v, [](auto a, auto b) { return a > b ? a : b; });
}

// e**x for x <= 88: 2**n times a polynomial (the Cephes library's coefficients) of the rest; 0
// below the smallest normal number.
inline Floats exp_of(Floats x) {
    const Floats shifted = fused(x, splat(1.44269504088896341f), splat(12582912.0f));  // 1.5 * 2**23 rounds to whole
    const Floats whole = shifted - 12582912.0f;
    const Floats rest = fused(whole, splat(2.12194440e-4f), fused(whole, splat(-0.693359375f), x));
    Floats series = fused(rest, splat(1.9875691500e-4f), splat(1.3981999507e-3f));
    for (const float next : {8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
        series = fused(series, rest, splat(next));
    series = fused(series, rest * rest, rest) + 1.0f;
    const Ints exponent = (((Ints)shifted - 0x4b400000) + 127) << 23;
    const Floats value = series * (Floats)exponent;
    return x < -87.0f ? Floats{} : value;
}
