// Softmax attention of a few rows over the pages of one sequence, each row by itself.
//
// Pages hold 16 positions: keys as [head][D][16], values as [head][16][D], so that a block of scores
// is 16 lanes wide and no key is gathered. A row's scores, its sums and its mix of values run over
// positions from left to right. A position that a row does not see weighs 0, and adding zeros
// changes nothing: rows that see different positions may share a tile.
#pragma once

#include <limits>

#include "linear.hpp"

constexpr int PAGE = LANES;

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

template <int COUNT, class Value>
inline void score(const Value *keys, int width, const float *const *queries, float *const *scores, int at) {
    f32x16 acc[COUNT] = {};
    for (int d = 0; d < width; ++d) {
        const f32x16 key = load_values(keys + d * PAGE);
#pragma GCC unroll 8
        for (int q = 0; q < COUNT; ++q) acc[q] += key * queries[q][d];
    }
    for (int q = 0; q < COUNT; ++q) store(scores[q] + at, acc[q]);
}

template <int COUNT, int VECTORS, class Value>
inline void mix(const Pages<Value> &pages, int head, int column, const Sight &sight,
                const float *const *weights, f32x16 (&acc)[COUNT][VECTORS]) {
    for (int position = sight.first; position < sight.end; ++position) {
        const Value *value =
            pages.values + pages.place(position / PAGE, head) + position % PAGE * pages.width + column;
        f32x16 lanes[VECTORS];
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
        f32x16 acc[COUNT][VECTORS] = {};
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
    f32x16 most = load<f32x16>(scores + sight.first);
    for (int at = sight.first + PAGE; at < padded; at += PAGE) most = larger(most, load<f32x16>(scores + at));
    const float largest = largest_of(most);
    f32x16 total = {};
    for (int at = sight.first; at < padded; at += PAGE) {
        const f32x16 weight = exp_of(load<f32x16>(scores + at) - largest);
        store(scores + at, weight);
        total += weight;
    }
    return sum_of(total);
}

// Attention of query heads that share one key head. `queries` are scaled already and there are
// `sharing` of them per row; `scratch` holds a score for each query and position, padded to pages.
template <class Value>
void attend(const Pages<Value> &pages, int head, const Sight &sight, int count, int sharing,
            const float *const *queries, float *scratch, float *const *out) {
    constexpr int MOST = 4;
    const int stride = (sight.end + PAGE - 1) / PAGE * PAGE;
    for (int first = 0; first < count; first += MOST) {
        const int some = std::min(MOST, count - first);
        float *scores[MOST];
        float totals[MOST];
        for (int q = 0; q < some; ++q) scores[q] = scratch + size_t(q) * stride;
        for (int at = sight.first; at < sight.end; at += PAGE) {
            const Value *keys = pages.keys + pages.place(at / PAGE, head);
            switch (some) {
            case 1: score<1>(keys, pages.width, queries + first, scores, at); break;
            case 2: score<2>(keys, pages.width, queries + first, scores, at); break;
            case 3: score<3>(keys, pages.width, queries + first, scores, at); break;
            default: score<4>(keys, pages.width, queries + first, scores, at);
            }
        }
        for (int q = 0; q < some; ++q) totals[q] = soften(scores[q], sight, (first + q) / sharing);
        switch (some) {
        case 1: mix_heads<1>(pages, head, sight, scores, totals, out + first); break;
        case 2: mix_heads<2>(pages, head, sight, scores, totals, out + first); break;
        case 3: mix_heads<3>(pages, head, sight, scores, totals, out + first); break;
        default: mix_heads<4>(pages, head, sight, scores, totals, out + first);
        }
    }
}
