// From weights in single precision to the blocks that `linear.hpp` reads.
#pragma once

#include <algorithm>

#include "linear.hpp"

// To the nearest whole number, ties to even, of what is below 2^22; more stays large. Unlike
// nearbyint it needs no call, so loops over it take many weights at once.
inline float nearest(float x) {
    constexpr float ONES = 12582912.0f;  // 1.5 * 2^23: its last bit counts ones
    return (x + ONES) - ONES;
}

struct Extent {
    float least, most;
};

inline Extent extent(const float *w) {
    constexpr int LANES = 8;
    float low[LANES], high[LANES];
    for (int lane = 0; lane < LANES; ++lane) low[lane] = high[lane] = w[lane];
    for (int i = LANES; i < GROUP; i += LANES) {
        for (int lane = 0; lane < LANES; ++lane) {
            low[lane] = w[i + lane] < low[lane] ? w[i + lane] : low[lane];
            high[lane] = w[i + lane] > high[lane] ? w[i + lane] : high[lane];
        }
    }
    return {*std::min_element(low, low + LANES), *std::max_element(high, high + LANES)};
}

// The q with d q + m equal to every weight of a group, bit for bit; false where there are none.
inline bool levels_of(const float *w, uint16_t d, uint16_t m, uint8_t *q) {
    const float step = half_to_float(d), base = half_to_float(m);
    const float divisor = step != 0.0f ? step : 1.0f;
    float level[GROUP], scaled[GROUP];
    for (int i = 0; i < GROUP; ++i) level[i] = nearest((w[i] - base) / divisor);
    for (int i = 0; i < GROUP; ++i) scaled[i] = step * level[i];
    // As it was dequantised: two roundings, so the product must not become part of the sum.
    asm volatile("" : : "r"(scaled) : "memory");
    int differ = 0;
    for (int i = 0; i < GROUP; ++i) {
        differ |= !((level[i] >= 0.0f) & (level[i] <= 15.0f) & (scaled[i] + base == w[i]));
    }
    if (differ) return false;
    for (int i = 0; i < GROUP; ++i) q[i] = uint8_t(int(level[i]));
    return true;
}

// q, d and m of one group that lose nothing of it; false where there are none.
inline bool fit_affine(const float *w, uint16_t &d, uint16_t &m, uint8_t *q) {
    const auto [least, most] = extent(w);
    d = float_to_half((most - least) / 15.0f), m = float_to_half(least);
    if (levels_of(w, d, m, q)) return true;
    // Q4_0 has d (q - 8) instead, and the weight furthest from 0 is its -8 d.
    const float furthest = -least > most ? least : most;
    d = float_to_half(furthest / -8.0f), m = float_to_half(furthest);
    return levels_of(w, d, m, q);
}

// q, d and m of one group with d q + m near to the weights, from the least of them to the most.
inline void fit_roughly(const float *w, uint16_t &d, uint16_t &m, uint8_t *q) {
    const auto [least, most] = extent(w);
    d = float_to_half((most - least) / 15.0f), m = float_to_half(least);
    const float step = half_to_float(d), base = half_to_float(m);
    const float divisor = step > 0.0f ? step : 1.0f;
    for (int i = 0; i < GROUP; ++i) {
        const float level = nearest((w[i] - base) / divisor);
        q[i] = uint8_t(int(std::min(std::max(level, 0.0f), 15.0f)));
    }
}

// q of one group with step (q - 128) nearest to the weights; whether it is equal to all of them.
inline bool fit_levels(const float *w, float step, uint8_t *q) {
    const float divisor = step > 0.0f ? step : 1.0f;
    int differ = 0;
    for (int i = 0; i < GROUP; ++i) {
        const float level = nearest(w[i] / divisor);
        q[i] = uint8_t(int(level) + 128);
        differ |= level * step != w[i];
    }
    return !differ;
}

// As above, with a half-precision step d of its own.
inline bool fit_symmetric(const float *w, uint16_t &d, uint8_t *q) {
    const auto [least, most] = extent(w);
    const float furthest = std::max(most, -least);
    d = float_to_half(furthest / 127.0f);
    if (furthest > 127.49f * half_to_float(d)) ++d;
    if (fit_levels(w, half_to_float(d), q)) return true;
    // Weights that were rounded to a subnormal step may be multiples of the next one, up to 126.
    const float next = half_to_float(uint16_t(d + 1));
    uint8_t other[GROUP];
    if (d >= 0x0400 || furthest != 126.0f * next || !fit_levels(w, next, other)) return false;
    ++d;
    std::copy(other, other + GROUP, q);
    return true;
}

// Whether a half-precision number of a step this large is finite, as the weight's own are.
inline bool can_pack(const float *weight, size_t count) {
    int beyond = 0;
    for (size_t i = 0; i < count; ++i) beyond |= !(std::fabs(weight[i]) <= 127.0f * 65504.0f);
    return !beyond;
}

// Returns whether what is packed is the weight, bit for bit. Where it is not, 8 bits are the nearest;
// 4 bits are near if that is enough (`rough`), else nothing more is packed.
template <int BITS> bool pack(const float *weight, int outputs, int inputs, bool rough, uint8_t *out) {
    const int wide = padded(outputs), groups = padded(inputs) / GROUP;
    std::memset(out, 0, size_t(wide / COLUMNS) * groups * group_bytes(BITS));
    bool exact = true;
    for (int n = 0; n < outputs; ++n) {
        for (int g = 0; g < groups; ++g) {
            const float *w = weight + size_t(n) * inputs + g * GROUP;
            float edge[GROUP] = {};
            if (inputs - g * GROUP < GROUP) {
                std::copy(w, w + inputs - g * GROUP, edge);
                w = edge;
            }
            uint8_t q[GROUP];
            uint16_t d, m = 0;
            if (!(BITS == 4 ? fit_affine(w, d, m, q) : fit_symmetric(w, d, q))) {
                if (BITS == 4 && !rough) return false;
                if (BITS == 4) fit_roughly(w, d, m, q);
                exact = false;
            }
            uint8_t *group = out + (size_t(n / COLUMNS) * groups + g) * group_bytes(BITS);
            const int column = n % COLUMNS;
            std::memcpy(group + 2 * column, &d, 2);
            if (BITS == 4) std::memcpy(group + 64 + 2 * column, &m, 2);
            uint8_t *lines = group + (BITS == 4 ? 128 : 64) + 4 * column;
            if (BITS == 4) {
                for (int i = 0; i < GROUP / 2; ++i) q[i] |= uint8_t(q[i + GROUP / 2] << 4);
            }
            for (int i = 0; i < (BITS == 4 ? GROUP / 2 : GROUP); i += 4) std::memcpy(lines + 32 * i, q + i, 4);
        }
    }
    return exact;
}
