// From weights in single precision to the blocks that `linear.hpp` reads.
#pragma once

#include <algorithm>

#include "linear.hpp"

// The q with d q + m equal to every weight of a group, bit for bit; false where there are none.
inline bool levels_of(const float *w, uint16_t d, uint16_t m, uint8_t *q) {
    const float step = half_to_float(d), base = half_to_float(m);
    for (int i = 0; i < GROUP; ++i) {
        const float level = step != 0.0f ? std::nearbyint((w[i] - base) / step) : 0.0f;
        if (!(level >= 0.0f && level <= 15.0f)) return false;
        q[i] = uint8_t(level);
        volatile const float scaled = step * level;  // as it was dequantised: two roundings
        if (scaled + base != w[i]) return false;
    }
    return true;
}

// q, d and m of one group that lose nothing of it; false where there are none.
inline bool fit_affine(const float *w, uint16_t &d, uint16_t &m, uint8_t *q) {
    const auto [least, most] = std::minmax_element(w, w + GROUP);
    d = float_to_half((*most - *least) / 15.0f), m = float_to_half(*least);
    if (levels_of(w, d, m, q)) return true;
    // Q4_0 has d (q - 8) instead, and the weight furthest from 0 is its -8 d.
    const float furthest = -*least > *most ? *least : *most;
    d = float_to_half(furthest / -8.0f), m = float_to_half(furthest);
    return levels_of(w, d, m, q);
}

// q, d and m of one group with d q + m near to the weights, from the least of them to the most.
inline void fit_roughly(const float *w, uint16_t &d, uint16_t &m, uint8_t *q) {
    const auto [least, most] = std::minmax_element(w, w + GROUP);
    d = float_to_half((*most - *least) / 15.0f), m = float_to_half(*least);
    const float step = half_to_float(d), base = half_to_float(m);
    for (int i = 0; i < GROUP; ++i) {
        const float level = step > 0.0f ? std::nearbyint((w[i] - base) / step) : 0.0f;
        q[i] = uint8_t(std::min(std::max(level, 0.0f), 15.0f));
    }
}

// q and d of one group with d (q - 128) nearest to the weights; whether it is equal to all of them.
inline bool fit_symmetric(const float *w, uint16_t &d, uint8_t *q) {
    float most = 0.0f;
    for (int i = 0; i < GROUP; ++i) most = std::max(most, std::fabs(w[i]));
    d = float_to_half(most / 127.0f);
    float step = half_to_float(d);
    if (most > 127.49f * step) step = half_to_float(++d);
    bool exact = true;
    for (int i = 0; i < GROUP; ++i) {
        const float level = step > 0.0f ? std::nearbyint(w[i] / step) : 0.0f;
        q[i] = uint8_t(int(level) + 128);
        exact = exact && level * step == w[i];
    }
    return exact;
}

// Whether a half-precision number of a step this large is finite, as the weight's own are.
inline bool can_pack(const float *weight, size_t count) {
    return std::all_of(weight, weight + count, [](float w) { return std::fabs(w) <= 127.0f * 65504.0f; });
}

// Returns whether what is packed is the weight, bit for bit. Where it is not, 8 bits are the nearest;
// 4 bits are near if that is enough (`rough`), else nothing more is packed.
template <int BITS> bool pack(const float *weight, int outputs, int inputs, bool rough, uint8_t *out) {
    const int wide = padded(outputs), groups = padded(inputs) / GROUP;
    std::memset(out, 0, size_t(wide / COLUMNS) * groups * group_bytes(BITS));
    bool exact = true;
    for (int n = 0; n < outputs; ++n) {
        for (int g = 0; g < groups; ++g) {
            float w[GROUP] = {};
            std::memcpy(w, weight + size_t(n) * inputs + g * GROUP,
                        sizeof(float) * std::min(GROUP, inputs - g * GROUP));
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
            for (int i = 0; i < GROUP; ++i) {
                if (BITS == 8) lines[128 * (i / 4) + i % 4] = q[i];
                else lines[128 * (i / 4 % 4) + i % 4] |= uint8_t(i < 16 ? q[i] : q[i] << 4);
            }
        }
    }
    return exact;
}
