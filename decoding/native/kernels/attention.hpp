// Softmax attention of a few rows over the pages of one sequence, each row by itself.
//
// Pages hold 16 positions: keys as [head][D][16], values as [head][16][D], so that a block of scores
// is a vector wide and no key is gathered. Positions are cut into stretches of 128, wherever a row
// begins or ends. Within a stretch a row's mix of values runs over positions from left to right, the
// sum of its weights too, in lanes; then it joins its stretches from left to right: its bits depend on
// nothing else. A position that a row does not see weighs 0, and adding zeros changes nothing, so
// rows that see different positions may share a tile.
#pragma once

#include <limits>
#include <tuple>
#include <utility>

#include "linear.hpp"

constexpr int PAGE = 16;
constexpr int PAGE_VECTORS = PAGE / LANES;
constexpr int STRETCH = 128;

// Queries that are scored at once and that are mixed at once, and how many sums there are meanwhile:
// as many as registers hold, and where possible eight, so that none waits for the one before.
#if defined(__AVX2__) && !defined(__AVX512VNNI__)
constexpr int MOST_SCORED = 6, MOST_MIXED = 6, SCORE_SUMS = 12, MIX_SUMS = 12;
#else
constexpr int MOST_SCORED = 8, MOST_MIXED = 4, SCORE_SUMS = 8, MIX_SUMS = 16;
#endif
constexpr int vectors_for(int queries, int sums) {
    return 4 * queries <= sums ? 4 : 2 * queries <= sums ? 2 : 1;
}

template <class Value> struct Pages {
    const Value *keys, *values;  // of one layer
    const int32_t *table;        // page of positions [16 i, 16 i + 16)
    int heads, width;            // key/value heads, D

    size_t place(int block, int head) const {
        return (size_t(table[block]) * heads + head) * PAGE * width;
    }
};

// What a tile of rows sees of a stretch: positions [first, end), where first begins a page; row r
// those in [begin[r], until[r]).
struct Sight {
    int first, end;
    const int *begin, *until;

    int padded_end() const { return (end + PAGE - 1) / PAGE * PAGE; }
};

// Adds factor(q) times lanes(v). Of factors and vectors the fewer are held: registers are few.
template <int COUNT, int VECTORS, class Factor, class Lanes>
inline void add_products(Floats (&acc)[COUNT][VECTORS], const Factor &factor, const Lanes &lanes) {
    if constexpr (COUNT < VECTORS) {
        Floats held[COUNT];
#pragma GCC unroll 4
        for (int q = 0; q < COUNT; ++q) held[q] = splat(factor(q));
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; ++v) {
            const Floats next = lanes(v);
#pragma GCC unroll 4
            for (int q = 0; q < COUNT; ++q) acc[q][v] = fused(next, held[q], acc[q][v]);
        }
    } else {
        Floats held[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; ++v) held[v] = lanes(v);
#pragma GCC unroll 8
        for (int q = 0; q < COUNT; ++q) {
            const Floats next = splat(factor(q));
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; ++v) acc[q][v] = fused(held[v], next, acc[q][v]);
        }
    }
}

// Calls use(q, v) for each query and vector of a tile.
template <int COUNT, int VECTORS, class Use> inline void each_of_tile(const Use &use) {
#pragma GCC unroll 8
    for (int q = 0; q < COUNT; ++q)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; ++v) use(q, v);
}

// Pages that some vectors of positions lie in.
constexpr int pages_of(int vectors) { return (vectors + PAGE_VECTORS - 1) / PAGE_VECTORS; }

// Scores of COUNT queries, [D][COUNT], at the positions of some vectors of keys, each a sum over D
// from left to right. Meanwhile the pages in `soon`, two for each of the keys', are fetched.
template <int COUNT, int VECTORS, class Value>
inline void score(const Value *const (&keys)[VECTORS], int width, const float *queries,
                  const Value *const (&soon)[2 * pages_of(VECTORS)], float *scores) {
    constexpr int LINE = 64 / int(PAGE * sizeof(Value));  // rows of a page that share a line of the cache
    Floats acc[COUNT][VECTORS] = {};
    for (int first = 0; first < width; first += LINE) {
        for (const Value *page : soon) __builtin_prefetch(page + first * PAGE);
#pragma GCC unroll 2
        for (int d = first; d < first + LINE; ++d, queries += COUNT) {
            const auto factor = [&](int q) { return queries[q]; };
            const auto lanes = [&](int v) { return load_values(keys[v] + d * PAGE); };
            add_products(acc, factor, lanes);
        }
    }
    each_of_tile<COUNT, VECTORS>([&](int q, int v) { store(scores + q * STRETCH + v * LANES, acc[q][v]); });
}

// Of all positions that a tile sees, [COUNT][STRETCH]. While a page's keys are scored, the next one's
// are fetched, and its own values.
template <int COUNT, class Value>
inline void score_all(const Pages<Value> &pages, int head, const Sight &sight, const float *queries, float *scores) {
    constexpr int VECTORS = vectors_for(COUNT, SCORE_SUMS);
    const auto next = [&](int at, auto vectors) {
        constexpr int SOME = pages_of(vectors);
        const Value *keys[vectors], *soon[2 * SOME];
        for (int v = 0, of = at; v < vectors; ++v, of += LANES)
            keys[v] = pages.keys + pages.place(of / PAGE, head) + of % PAGE;
        for (int page = 0; page < SOME; ++page) {
            const int own = at / PAGE + page, last = (sight.end - 1) / PAGE;
            soon[page] = pages.keys + pages.place(std::min(own + SOME, last), head);
            soon[SOME + page] = pages.values + pages.place(std::min(own, last), head);
        }
        score<COUNT, vectors>(keys, pages.width, queries, soon, scores + at - sight.first);
    };
    int at = sight.first;
    for (; at + VECTORS * LANES <= sight.padded_end(); at += VECTORS * LANES)
        next(at, std::integral_constant<int, VECTORS>{});
    for (; at < sight.padded_end(); at += LANES) next(at, std::integral_constant<int, 1>{});
}

// Turns the scores of a row's query into weights; returns the largest score and the sum of weights.
inline std::pair<float, float> soften(float *scores, const Sight &sight, int row) {
    const int begin = sight.begin[row] - sight.first, until = sight.until[row] - sight.first;
    const int padded = sight.padded_end() - sight.first;
    for (int at = 0; at < begin; ++at) scores[at] = -std::numeric_limits<float>::infinity();
    for (int at = until; at < padded; ++at) scores[at] = -std::numeric_limits<float>::infinity();
    Floats most = load<Floats>(scores);
    for (int at = LANES; at < padded; at += LANES) most = larger(most, load<Floats>(scores + at));
    const float largest = largest_of(most);
    const float anchor = largest == -std::numeric_limits<float>::infinity() ? 0.0f : largest;
    Floats total = {};
    for (int at = 0; at < padded; at += LANES) {
        const Floats weight = exp_of(load<Floats>(scores + at) - anchor);
        store(scores + at, weight);
        total += weight;
    }
    return {largest, sum_of(total)};
}

// Mixes some columns of the values of positions [first, end) for COUNT queries.
template <int COUNT, int VECTORS, class Value>
inline void mix(const Pages<Value> &pages, int head, int column, int first, int end, const float *weights,
                float *const *out) {
    Floats acc[COUNT][VECTORS] = {};
    for (int position = first; position < end;) {
        const Value *value = pages.values + pages.place(position / PAGE, head) + position % PAGE * pages.width + column;
        for (const int stop = std::min(end, position / PAGE * PAGE + PAGE); position < stop; ++position, ++weights) {
            const auto factor = [&](int q) { return weights[q * STRETCH]; };
            const auto lanes = [&](int v) { return load_values(value + LANES * v); };
            add_products(acc, factor, lanes);
            value += pages.width;
        }
    }
    each_of_tile<COUNT, VECTORS>([&](int q, int v) { store(out[q] + column + LANES * v, acc[q][v]); });
}

template <int COUNT, class Value>
inline void mix_all(const Pages<Value> &pages, int head, int first, int end, const float *weights, float *const *out) {
    constexpr int VECTORS = vectors_for(COUNT, MIX_SUMS);
    int column = 0;
    for (; column + VECTORS * LANES <= pages.width; column += VECTORS * LANES)
        mix<COUNT, VECTORS>(pages, head, column, first, end, weights, out);
    for (; column < pages.width; column += LANES) mix<COUNT, 1>(pages, head, column, first, end, weights, out);
}

inline bool is_finite(const float *numbers, int count) {
    Floats zeros = {};
    for (int at = 0; at < count; at += LANES) zeros += load<Floats>(numbers + at) * 0.0f;
    return sum_of(zeros) == 0.0f;
}

// What some queries that share one key head see of a stretch. `queries` are scaled already and there
// are `sharing` of them per row. Of each query `out` gets D mixed values, the largest score and the
// sum of weights.
template <class Value>
void see(const Pages<Value> &pages, int head, const Sight &sight, int count, int sharing,
         const float *const *queries, std::vector<float> &scratch, float *const *out) {
    const int width = pages.width;
    const size_t numbers = size_t(MOST_SCORED) * (STRETCH + width);
    float *scores = grown(scratch, numbers), *turned = scores + MOST_SCORED * STRETCH;
    for (int at = 0; at < PAGE * width; at += 64 / int(sizeof(Value)))
        __builtin_prefetch(pages.keys + pages.place(sight.first / PAGE, head) + at);
    for (int first = 0, some; first < count; first += some) {
        const int tiles = (count - first + MOST_SCORED - 1) / MOST_SCORED;
        some = (count - first + tiles - 1) / tiles;
        for (int q = 0; q < some; ++q)
            for (int d = 0; d < width; ++d) turned[d * some + q] = queries[first + q][d];
        with_count<MOST_SCORED>(some, [&](auto n) { score_all<n>(pages, head, sight, turned, scores); });
        for (int q = 0; q < some; ++q) {
            float *own = out[first + q];
            std::tie(own[width], own[width + 1]) = soften(scores + q * STRETCH, sight, (first + q) / sharing);
        }
        for (int q = 0; q < some; q += MOST_MIXED)
            with_count<MOST_MIXED>(std::min(MOST_MIXED, some - q), [&](auto n) {
                mix_all<n>(pages, head, sight.first, sight.end, scores + q * STRETCH, out + first + q);
            });
        // A weight of 0 does not keep off what is not finite: rows then mix what they see only.
        for (int q = 0; q < some; ++q) {
            const int row = (first + q) / sharing, begin = sight.begin[row];
            if (!is_finite(out[first + q], width))
                mix_all<1>(pages, head, begin, sight.until[row], scores + q * STRETCH + begin - sight.first, out + first + q);
        }
    }
}

// Joins what a query sees of a stretch to what it has seen before, both as `see` gives them.
inline void join(float *seen, const float *next, int width) {
    const float most = std::max(seen[width], next[width]);
    const auto share = [&](float largest) { return largest == most ? 1.0f : exp_of(splat(largest - most))[0]; };
    const Floats own = splat(share(seen[width])), other = splat(share(next[width]));
    const auto joined = [&](const float *a, const float *b) {
        return fused(load<Floats>(a), own, load<Floats>(b) * other);
    };
    for (int at = 0; at < width; at += LANES) store(seen + at, joined(seen + at, next + at));
    seen[width] = most, seen[width + 1] = fused(splat(seen[width + 1]), own, splat(next[width + 1]) * other)[0];
}
