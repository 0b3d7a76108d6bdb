// The largest allowed logit of a row, and its log-probability among the allowed ones.
#pragma once

#include <limits>

#include "simd.hpp"

struct Best {
    int64_t token;
    double logprob;
};

// One row of logits and what of it may be picked. `mask` holds a bit for each token, 32 to a word,
// or is null; `never` is a token that is not allowed, -1 for none.
struct Allowed {
    const float *logits;
    int64_t count;
    const int32_t *mask;
    int64_t never;

    static constexpr float lowest = -std::numeric_limits<float>::infinity();

    f32x16 at(int64_t first) const {
        f32x16 v = splat(lowest);
        if (first + LANES <= count) v = load<f32x16>(logits + first);
        else std::memcpy(&v, logits + first, sizeof(float) * (count - first));
        if (mask) {
            const int32_t bits = int32_t(uint32_t(mask[first / 32]) >> (first % 32));
            v = (bits >> LANE & 1) ? v : splat(lowest);
        }
        if (never >= first && never < first + LANES) v[never - first] = lowest;
        return v;
    }

    // Calls use(first, logits of tokens [first, first + 16)), -inf for those not allowed.
    template <class Use> void each(const Use &use) const {
        for (int64_t first = 0; first < count; first += LANES) {
            // Most words of a strict mask are empty.
            if (mask && first % 32 == 0 && mask[first / 32] == 0) first += LANES;
            else use(first, at(first));
        }
    }

    static constexpr i32x16 LANE = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
};

// Of equal logits the first counts. Where one is not a number, neither is the log-probability.
inline Best best_of(const Allowed &allowed) {
    f32x16 most = splat(Allowed::lowest);
    i32x16 where = {};
    allowed.each([&](int64_t first, f32x16 v) {
        where = v > most ? Allowed::LANE + int32_t(first) : where;
        most = v > most ? v : most;
    });
    const float largest = largest_of(most);
    int64_t token = allowed.count;
    for (int i = 0; i < LANES; ++i)
        if (most[i] == largest) token = std::min<int64_t>(token, where[i]);
    f32x16 sums = {};
    allowed.each([&](int64_t, f32x16 v) { sums += exp_of(v - largest); });
    return {token == allowed.count ? 0 : token, -std::log(double(sum_of(sums)))};
}

// The output function of SplitMix64, as in `decoding/sampling.py`.
inline uint64_t mixed(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

// The allowed token with the largest logit / temperature + noise, the noise being -log(-log(u))
// with u a function of `key` and the token.
inline Best sample_of(const Allowed &allowed, double temperature, uint64_t key) {
    const Best best = best_of(allowed);
    const auto uniform = [&](int64_t token) {
        return (double(mixed(uint64_t(token + 1) * 0x9e3779b97f4a7c15u + key) >> 11) + 0.5) * 0x1p-53;
    };
    const auto noisy = [&](int64_t token) {
        return double(allowed.logits[token]) / temperature - std::log(-std::log(uniform(token)));
    };
    int64_t token = best.token;
    double most = noisy(token);
    const float inverse = float(1.0 / temperature), margin = 1e-3f + 1e-6f * std::fabs(float(most));
    allowed.each([&](int64_t first, f32x16 v) {
        // As -log(u) >= 1 - u, a token whose 1 - u is above e**(logit / T - most) has lost. The margin
        // covers the rounding of this estimate.
        const f32x16 bound = exp_of(larger(v * inverse - float(most), splat(-80.0f)) + margin);
        const int64_t last = std::min<int64_t>(LANES, allowed.count - first);
        for (int64_t lane = 0; lane < last; ++lane) {
            if (1.0 - uniform(first + lane) > double(bound[lane]) || v[lane] == Allowed::lowest) continue;
            const double value = noisy(first + lane);
            if (value > most || (value == most && first + lane < token)) most = value, token = first + lane;
        }
    });
    return {token, best.logprob + double(allowed.logits[token]) - double(allowed.logits[best.token])};
}
