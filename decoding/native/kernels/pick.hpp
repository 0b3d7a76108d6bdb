// The largest allowed logit of each row, and its log-probability among the allowed ones.
//
// Rows are cut into parts of one size, which threads share: a row's answer depends on the row alone.
#pragma once

#include <limits>

#include "pool.hpp"
#include "simd.hpp"

struct Best {
    int64_t token;
    double logprob;
};

// What is asked of a row. `mask` holds a bit for each token that may be picked, 32 to a word, or is
// null. A temperature of 0 takes the best token; `key` is the noise's word for seed and position.
struct Ask {
    const float *logits;
    const int32_t *mask;
    double temperature;
    uint64_t key;
};

constexpr int64_t PART = 4096;  // tokens, whole words of a mask

// The part of a row of `count` logits that begins with `from`; `never` is a token that is not
// allowed, -1 for none.
struct Allowed {
    const float *logits;
    const int32_t *mask;
    int64_t count, never, from;

    static constexpr float lowest = -std::numeric_limits<float>::infinity();

    Floats at(int64_t first) const {
        Floats v = splat(lowest);
        if (first + LANES <= count) v = load<Floats>(logits + first);
        else std::memcpy(&v, logits + first, sizeof(float) * (count - first));
        if (mask) {
            const int32_t bits = int32_t(uint32_t(mask[first / 32]) >> (first % 32));
            v = (bits >> numbers() & 1) ? v : splat(lowest);
        }
        if (never >= first && never < first + LANES) v[never - first] = lowest;
        return v;
    }

    // Calls use(first, logits from token `first` on), -inf for those not allowed.
    template <class Use> void each(const Use &use) const {
        const int64_t end = std::min(from + PART, count);
        for (int64_t first = from; first < end; first += LANES) {
            // Most words of a strict mask are empty.
            if (mask && first % 32 == 0 && mask[first / 32] == 0) first += 32 - LANES;
            else use(first, at(first));
        }
    }
};

// What a part holds: its largest logit, the first token that has it, `count` if none is allowed, and
// the sum of exp(logit - `largest`).
struct Summary {
    float largest;
    int64_t token;
    double sum;
};

inline Summary summary_of(const Allowed &allowed) {
    Floats most = splat(Allowed::lowest);
    Ints where = {};
    allowed.each([&](int64_t first, Floats v) {
        where = v > most ? numbers() + int32_t(first) : where;
        most = v > most ? v : most;
    });
    const float largest = largest_of(most);
    int64_t token = allowed.count;
    if (largest != Allowed::lowest)
        for (int i = 0; i < LANES; ++i)
            if (most[i] == largest) token = std::min<int64_t>(token, where[i]);
    const float anchor = token == allowed.count ? 0.0f : largest;
    Floats sums = {};
    allowed.each([&](int64_t, Floats v) { sums += exp_of(v - anchor); });
    return {largest, token, double(sum_of(sums))};
}

// Of equal logits the first counts. Where one is not a number, neither is the log-probability.
inline Best best_of(const Summary *parts, int count, int64_t none) {
    const Summary *best = parts;
    for (int part = 1; part < count; ++part)
        if (parts[part].largest > best->largest) best = parts + part;
    double sum = 0.0;
    for (int part = 0; part < count; ++part)
        sum += parts[part].sum * std::exp(double(parts[part].largest) - double(best->largest));
    return {best->token == none ? 0 : best->token, -std::log(sum)};
}

// The output function of SplitMix64, as in `decoding/sampling.py`, of one word or of several.
template <class Word> inline Word mixed(Word z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

// Logits over the temperature with noise, -log(-log(u)) with u a function of the row's key and the token.
struct Noisy {
    static constexpr uint64_t GOLDEN = 0x9e3779b97f4a7c15u;
    const Ask &ask;

    double uniform(int64_t token) const {
        return (double(mixed(uint64_t(token + 1) * GOLDEN + ask.key) >> 11) + 0.5) * 0x1p-53;
    }

    // For a vector of tokens from `first` on no less than their noise: as -log(u) >= 1 - u, that is at most
    // -log(1 - u). 1 - u is cut to 24 bits, and the logarithm of what lies between two powers of 2 is above
    // the straight line between theirs, which is the number's own bits read as a whole number.
    Floats most_noise(int64_t first) const {
        Longs steps;
        for (int lane = 0; lane < LANES; ++lane) steps[lane] = uint64_t(lane) * GOLDEN;
        const Longs bits = ~mixed(steps + (uint64_t(first + 1) * GOLDEN + ask.key)) >> 40;
        const Floats rest = to_float(__builtin_convertvector(bits, Ints)) * 0x1p-24f;
        return (127.0f - to_float((Ints)rest) * 0x1p-23f) * 0.69314718f;
    }

    double operator()(int64_t token) const {
        return double(ask.logits[token]) / ask.temperature - std::log(-std::log(uniform(token)));
    }
};

struct Sampled {
    int64_t token;
    double value;

    // Of equal ones the first counts.
    void meet(Sampled other) {
        if (other.value > value || (other.value == value && other.token < token)) *this = other;
    }
};

// The largest in a part, if it is above `most`, which some token of the row has.
inline Sampled sampled_of(const Allowed &allowed, const Noisy &noisy, Sampled most) {
    const float inverse = float(1.0 / noisy.ask.temperature);
    // The margin covers the rounding of the estimate; where that is no number, the token is looked at.
    const float start = float(most.value), least = start - 1e-3f - 1e-6f * std::fabs(start);
    allowed.each([&](int64_t first, Floats v) {
        const Ints lost = v * inverse + noisy.most_noise(first) < least || v == splat(Allowed::lowest);
        if (all_of(lost)) return;
        for (int lane = 0; lane < LANES; ++lane)
            if (!lost[lane]) most.meet({first + lane, noisy(first + lane)});
    });
    return most;
}

inline void pick(Pool &pool, bool opened, const Ask *asks, int64_t rows, int64_t count, int64_t never, Best *out) {
    const int parts = int((count + PART - 1) / PART);
    const auto allowed = [&](const Ask &ask, int part) {
        return Allowed{ask.logits, ask.mask, count, never, part * PART};
    };
    std::vector<Summary> summaries(size_t(rows) * parts);
    pool.each(opened, int(rows) * parts, [&](int task) {
        summaries[size_t(task)] = summary_of(allowed(asks[task / parts], task % parts));
    });
    std::vector<Sampled> sampled(summaries.size());
    std::vector<int> warm;
    for (int row = 0; row < rows; ++row) {
        out[row] = best_of(&summaries[size_t(row) * parts], parts, count);
        if (asks[row].temperature != 0.0) warm.push_back(row);
    }
    pool.each(opened, int(warm.size()) * parts, [&](int task) {
        const int row = warm[size_t(task / parts)], part = task % parts;
        const Noisy noisy{asks[row]};
        const int64_t best = out[row].token;
        sampled[size_t(row) * parts + part] = sampled_of(allowed(asks[row], part), noisy, {best, noisy(best)});
    });
    for (const int row : warm) {
        const int64_t best = out[row].token;
        Sampled most = sampled[size_t(row) * parts];
        for (int part = 1; part < parts; ++part) most.meet(sampled[size_t(row) * parts + part]);
        const float *logits = asks[row].logits;
        out[row] = {most.token, out[row].logprob + double(logits[most.token]) - double(logits[best])};
    }
}
