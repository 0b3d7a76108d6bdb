// Softmax attention of a few rows over the pages of one sequence, each row by itself.
//
// Pages hold 16 positions: keys as [head][D][16], values as [head][16][D], so that a block of scores
// is a vector wide and no key is gathered. A row's scores, its sums and its mix of values run over
// positions from left to right. A position that a row does not see weighs 0, and adding zeros
// changes nothing: rows that see different positions may share a tile.
#pragma once

#include <limits>

#include "linear.hpp"

constexpr int PAGE = 16;
constexpr int PAGE_VECTORS = PAGE / LANES;

template <class Value> struct Pages {
    const Value *keys, *values;  // of one layer
    const int32_t *table;        // page of positions [16 i, 16 i + 16)
    int heads, width;            // key/value heads, D

    size_t place(int block, int head) const {
        return (size_t(table[block]) * heads + head) * PAGE * width;
    }
};

// What a tile of rows sees: positions [first, end); row r those in [begin[r], until[r]).
struct Sight {
    int first, end;
    const int *begin, *until;
};

// Scores of COUNT queries at the positions of BLOCKS pages, each a sum over D from left to right. So
// many sums side by side that an addition need not wait for the one before.
template <int COUNT, int BLOCKS, class Value>
inline void score(const Value *const *keys, int width, const float *const *queries, float *const *scores, int at) {
    for (int v = 0; v < PAGE_VECTORS; ++v) {
        Floats acc[BLOCKS][COUNT] = {};
        for (int d = 0; d < width; ++d) {
            Floats key[BLOCKS];
            for (int b = 0; b < BLOCKS; ++b) key[b] = load_values(keys[b] + d * PAGE + v * LANES);
#pragma GCC unroll 8
            for (int q = 0; q < COUNT; ++q)
#pragma GCC unroll 4
                for (int b = 0; b < BLOCKS; ++b) acc[b][q] += key[b] * queries[q][d];
        }
        for (int b = 0; b < BLOCKS; ++b)
            for (int q = 0; q < COUNT; ++q) store(scores[q] + at + b * PAGE + v * LANES, acc[b][q]);
    }
}

// Of all positions that a tile sees.
template <int COUNT, class Value>
inline void score_all(const Pages<Value> &pages, int head, const Sight &sight, const float *const *queries,
                      float *const *scores) {
    constexpr int BLOCKS = COUNT <= 2 ? 4 : COUNT <= 4 ? 2 : 1;
    int at = sight.first;
    const auto next = [&](auto blocks) {
        const Value *keys[blocks];
        for (int b = 0; b < blocks; ++b) keys[b] = pages.keys + pages.place(at / PAGE + b, head);
        score<COUNT, blocks>(keys, pages.width, queries, scores, at);
        at += blocks * PAGE;
    };
    while (at + (BLOCKS - 1) * PAGE < sight.end) next(std::integral_constant<int, BLOCKS>{});
    while (at < sight.end) next(std::integral_constant<int, 1>{});
}

template <int COUNT, int VECTORS, class Value>
inline void mix(const Pages<Value> &pages, int head, int column, const Sight &sight,
                const float *const *weights, Floats (&acc)[COUNT][VECTORS]) {
    for (int position = sight.first; position < sight.end; ++position) {
        const Value *value =
            pages.values + pages.place(position / PAGE, head) + position % PAGE * pages.width + column;
        Floats lanes[VECTORS];
        for (int v = 0; v < VECTORS; ++v) lanes[v] = load_values(value + LANES * v);
#pragma GCC unroll 8
        for (int q = 0; q < COUNT; ++q)
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; ++v) acc[q][v] += lanes[v] * weights[q][position];
    }
}

template <int COUNT, int VECTORS, class Value>
inline void mix_columns(const Pages<Value> &pages, int head, const Sight &sight, const float *const *weights,
                        const float *totals, float *const *out) {
    for (int column = 0; column < pages.width; column += LANES * VECTORS) {
        Floats acc[COUNT][VECTORS] = {};
        mix<COUNT, VECTORS>(pages, head, column, sight, weights, acc);
        for (int q = 0; q < COUNT; ++q)
            for (int v = 0; v < VECTORS; ++v) store(out[q] + column + LANES * v, acc[q][v] / totals[q]);
    }
}

template <int COUNT, class Value>
inline void mix_heads(const Pages<Value> &pages, int head, const Sight &sight, const float *const *weights,
                      const float *totals, float *const *out) {
    if (pages.width % (4 * LANES) == 0)
        mix_columns<COUNT, 4>(pages, head, sight, weights, totals, out);
    else
        mix_columns<COUNT, 1>(pages, head, sight, weights, totals, out);
}

// Turns the scores [first, end) of one query into weights; returns their sum.
inline float soften(float *scores, const Sight &sight, int row) {
    const int begin = sight.begin[row], until = sight.until[row];
    for (int at = sight.first; at < begin; ++at) scores[at] = -std::numeric_limits<float>::infinity();
    const int padded = (sight.end + PAGE - 1) / PAGE * PAGE;
    for (int at = until; at < padded; ++at) scores[at] = -std::numeric_limits<float>::infinity();
    Floats most = load<Floats>(scores + sight.first);
    for (int at = sight.first; at < padded; at += LANES) most = larger(most, load<Floats>(scores + at));
    const float largest = largest_of(most);
    Floats total = {};
    for (int at = sight.first; at < padded; at += LANES) {
        const Floats weight = exp_of(load<Floats>(scores + at) - largest);
        store(scores + at, weight);
        total += weight;
    }
    return sum_of(total);
}

// Attention of query heads that share one key head. `queries` are scaled already and there are
// `sharing` of them per row; `scratch` grows to a score for each of eight queries and each position.
template <class Value>
void attend(const Pages<Value> &pages, int head, const Sight &sight, int count, int sharing,
            const float *const *queries, std::vector<float> &scratch, float *const *out) {
    constexpr int MOST_SCORED = 8, MOST_MIXED = 4;  // as many as registers hold
    const int stride = (sight.end + PAGE - 1) / PAGE * PAGE;
    if (scratch.size() < size_t(stride) * MOST_SCORED) scratch.resize(size_t(stride) * MOST_SCORED);
    for (int first = 0; first < count; first += MOST_SCORED) {
        const int some = std::min(MOST_SCORED, count - first);
        float *scores[MOST_SCORED];
        float totals[MOST_SCORED];
        for (int q = 0; q < some; ++q) scores[q] = scratch.data() + size_t(q) * stride;
        with_count<MOST_SCORED>(some, [&](auto n) { score_all<n>(pages, head, sight, queries + first, scores); });
        for (int q = 0; q < some; ++q) totals[q] = soften(scores[q], sight, (first + q) / sharing);
        for (int q = 0; q < some; q += MOST_MIXED) {
            with_count<MOST_MIXED>(std::min(MOST_MIXED, some - q), [&](auto n) {
                mix_heads<n>(pages, head, sight, scores + q, totals + q, out + first + q);
            });
        }
    }
}
