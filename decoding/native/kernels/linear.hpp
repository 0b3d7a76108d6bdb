// Products of rows with a packed weight: integers within groups of 32, floats across groups.
//
// A weight is w = d q + m for the 32 inputs of a group, with q in 0..15 (4 bits), or w = d (q - 128)
// with q in 1..255 (8 bits); d and m are half-precision numbers of each group and output. A row
// is x = s X for each group, X a whole number, kept as one plane of 8 bits or as three planes
// (8 + 7 + 7 bits, as fine as single precision). Then
//
//     sum over a group of w x  =  d s (sum of q X)  +  m s (sum of X)
//
// with both sums exact. An output adds its groups up from left to right, by itself: its bits depend
// on nothing but its row and its weights. Source of the formats: the blocks Q4_1 and Q8_0 of GGUF.
#pragma once

#include <algorithm>
#include <vector>

#include "pool.hpp"
#include "simd.hpp"

constexpr int GROUP = 32;    // inputs that share a scale
constexpr int COLUMNS = 32;  // outputs that lie side by side in a packed weight

// A tile: so many rows by so many vectors of outputs, whose sums stay in registers.
#if defined(__AVX512VNNI__)
template <int BITS, int PLANES> constexpr int MOST_ROWS = 6;
template <int BITS, int PLANES, int COUNT> constexpr int TILE_VECTORS = 2;
#elif defined(__AVXVNNI__)
template <int BITS, int PLANES> constexpr int MOST_ROWS = 4;
template <int BITS, int PLANES, int COUNT> constexpr int TILE_VECTORS = PLANES * COUNT <= 4 ? 2 : 1;
#elif defined(__AVX2__)
template <int BITS, int PLANES> constexpr int MOST_ROWS = BITS == 8 && PLANES == 1 ? 6 : 4;
template <int BITS, int PLANES, int COUNT> constexpr int TILE_VECTORS = BITS * PLANES * COUNT <= 16 ? 2 : 1;
#else
template <int BITS, int PLANES> constexpr int MOST_ROWS = 4;
template <int BITS, int PLANES, int COUNT> constexpr int TILE_VECTORS = 1;
#endif

// Where few rows wait for memory, weights are fetched so many groups ahead: what the processor
// fetches by itself comes late. Measured on AVX2 only. Addresses behind a weight do no harm.
#if defined(__AVX2__) && !defined(__AVX512VNNI__)
constexpr int GROUPS_AHEAD = 16, FEW_ROWS = 4;
#else
constexpr int GROUPS_AHEAD = 0, FEW_ROWS = 0;
#endif

// Bytes of a group of a packed block of outputs: 32 d, with 4 bits 32 m, then the q in lines of 128
// bytes: line t holds inputs 4 t to 4 t + 3 of each output side by side, with 4 bits those in the
// low halves of its bytes and inputs 16 + 4 t to 16 + 4 t + 3 in the high ones.
constexpr int group_bytes(int bits) { return bits == 4 ? 2 * 64 + 4 * 128 : 64 + 8 * 128; }

template <int BITS> inline void fetch_ahead(const uint8_t *group) {
    for (int byte = 0; byte < group_bytes(BITS); byte += 64)
        __builtin_prefetch(group + GROUPS_AHEAD * group_bytes(BITS) + byte);
}

template <class T> T *grown(std::vector<T> &v, size_t size) {
    if (v.size() < size) v.resize(size);
    return v.data();
}

inline int padded(int width) { return (width + GROUP - 1) / GROUP * GROUP; }

struct Linear {
    int32_t outputs, inputs;  // multiples of 32
    int32_t bits, unused;
    const uint8_t *weight;
    const float *bias;  // [outputs] or null

    const uint8_t *block(int index) const {
        return weight + size_t(index) * (inputs / GROUP) * group_bytes(bits);
    }
};

// Rows as whole numbers, and per group s and s * sum of X. Rows lie in panels, within a panel group
// by group, so that a tile of rows is read through one pointer each.
template <int PLANES> class Rows {
  public:
    static constexpr int PANEL = 48;  // whole tiles
    static constexpr int BYTES = GROUP * PLANES;  // of a row's group: the planes one after the other

    void resize(int count, int inputs) {
        count_ = count, groups_ = inputs / GROUP;
        const size_t numbers = size_t(count + PANEL) * groups_;
        grown(bytes_, numbers * BYTES), grown(scales_, numbers), grown(sums_, numbers);
    }
    // Rows of the panel that `row` is in, which is how far apart its groups lie.
    int stride(int row) const { return std::min(PANEL, count_ - row / PANEL * PANEL); }
    size_t place(int row, int group) const {
        return size_t(row / PANEL * PANEL) * groups_ + size_t(group) * stride(row) + row % PANEL;
    }
    const int8_t *bytes(int row) const { return bytes_.data() + place(row, 0) * BYTES; }
    const float *scales(int row) const { return scales_.data() + place(row, 0); }
    const float *sums(int row) const { return sums_.data() + place(row, 0); }

    void set(int row, const float *values) {
        constexpr int VECTORS = GROUP / LANES;
        constexpr float most = PLANES == 1 ? 127.0f : 2097151.0f;
        Floats poison[VECTORS] = {};
        for (int group = 0; group < groups_; ++group) {
            const float *at = values + group * GROUP;
            Floats most_lanes = {};
            for (int v = 0; v < VECTORS; ++v) {
                most_lanes = larger(most_lanes, size_of(load<Floats>(at + v * LANES)));
                poison[v] = fused(load<Floats>(at + v * LANES), Floats{}, poison[v]);
            }
            const float largest = largest_of(most_lanes);
            // Less than this is nothing: its inverse would be infinite.
            const float inverse = largest > 1e-30f ? most / largest : 0.0f;
            const size_t own = place(row, group);
            Ints whole[VECTORS], sum = {};
            for (int v = 0; v < VECTORS; ++v) {
                // 1.5 * 2**23 rounds to the nearest whole number, ties to even.
                whole[v] = (Ints)fused(load<Floats>(at + v * LANES), splat(inverse), splat(12582912.0f)) - 0x4b400000;
                sum += whole[v];
            }
            split(whole, bytes_.data() + own * BYTES);
            scales_[own] = largest / most;
            sums_[own] = scales_[own] * float(sum_of(sum));
        }
        // Not a number and infinity must stay visible: they become the scales'.
        for (int v = 1; v < VECTORS; ++v) poison[0] += poison[v];
        const float poisoned = sum_of(poison[0]);
        if (poisoned != 0.0f)
            for (int group = 0; group < groups_; ++group) scales_[place(row, group)] = poisoned;
    }

  private:
    static void split(const Ints (&whole)[GROUP / LANES], int8_t *out) {
        if constexpr (PLANES == 1) {
            store_bytes(out, whole);
        } else {
            Ints part[GROUP / LANES];
            for (int v = 0; v < GROUP / LANES; ++v) part[v] = whole[v] >> 14;
            store_bytes(out, part);
            for (int v = 0; v < GROUP / LANES; ++v) part[v] = whole[v] >> 7 & 127;
            store_bytes(out + GROUP, part);
            for (int v = 0; v < GROUP / LANES; ++v) part[v] = whole[v] & 127;
            store_bytes(out + 2 * GROUP, part);
        }
    }

    int count_ = 0, groups_ = 0;
    std::vector<int8_t> bytes_;
    std::vector<float> scales_, sums_;
};

// Adds the products of four inputs of each row with some outputs' q of them.
template <int BYTES, bool WIDE, int COUNT, int VECTORS>
inline void add_inputs(Dots<WIDE> (&dots)[COUNT][VECTORS], const Bytes (&q)[VECTORS], const int8_t *inputs) {
#pragma GCC unroll 8
    for (int row = 0; row < COUNT; ++row) {
        int32_t four;
        std::memcpy(&four, inputs + row * BYTES, 4);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; ++v) dots[row][v].add(q[v], four);
    }
}

// Adds one plane of a group: `lines` are its q, `inputs` the rows' bytes.
template <int BITS, int BYTES, bool WIDE, int COUNT, int VECTORS>
inline void add_plane(Dots<WIDE> (&dots)[COUNT][VECTORS], const uint8_t *lines, const int8_t *inputs) {
#pragma GCC unroll 8
    for (int line = 0; line < BITS; ++line) {  // in the order of memory, which is read once
        Bytes q[VECTORS];
        for (int v = 0; v < VECTORS; ++v) q[v] = load<Bytes>(lines + 128 * line + 4 * LANES * v);
        if constexpr (BITS == 8) {
            add_inputs<BYTES>(dots, q, inputs + 4 * line);
        } else {
            const Bytes low = splat_byte(15);
            Bytes high[VECTORS];
            for (int v = 0; v < VECTORS; ++v) high[v] = (Bytes)((Words)q[v] >> 4) & low, q[v] &= low;
            add_inputs<BYTES>(dots, q, inputs + 4 * line);
            add_inputs<BYTES>(dots, high, inputs + 16 + 4 * line);
        }
    }
}

// A result for each row and vector of a tile. By value, so that it can stay in registers.
template <int COUNT, int VECTORS> struct Tile {
    Floats of[COUNT][VECTORS] = {};
};

// The products of COUNT rows with VECTORS vectors of a block's outputs.
template <int BITS, int COUNT, int VECTORS, int PLANES>
inline Tile<COUNT, VECTORS> multiply(const Linear &linear, const uint8_t *block, int first_vector,
                                     const Rows<PLANES> &rows, int first_row) {
    Floats acc[COUNT][VECTORS] = {};
    constexpr int BYTES = Rows<PLANES>::BYTES;
    const int groups = linear.inputs / GROUP, stride = rows.stride(first_row);
    const int8_t *bytes = rows.bytes(first_row);
    const float *scales = rows.scales(first_row), *sums = rows.sums(first_row);
    for (int group = 0; group < groups; ++group) {
        if constexpr (COUNT <= FEW_ROWS) fetch_ahead<BITS>(block);
        const uint16_t *numbers = reinterpret_cast<const uint16_t *>(block) + LANES * first_vector;
        const uint8_t *lines = block + (BITS == 4 ? 128 : 64) + 4 * LANES * first_vector;
        Floats d[VECTORS];
        for (int v = 0; v < VECTORS; ++v) d[v] = load_values(numbers + LANES * v);
        Ints held[COUNT][VECTORS];
#pragma GCC unroll 3
        for (int plane = 0; plane < PLANES; ++plane) {
            Dots<BITS == 8> dots[COUNT][VECTORS];
            add_plane<BITS, BYTES>(dots, lines, bytes + plane * GROUP);
            const bool holds = PLANES == 3 && plane == 0;  // the first two planes fit one integer
            const float weight = PLANES == 3 && plane == 1 ? 128.0f : 1.0f;
#pragma GCC unroll 8
            for (int row = 0; row < COUNT; ++row) {
#pragma GCC unroll 2
                for (int v = 0; v < VECTORS; ++v) {
                    const Ints total = dots[row][v].total();
                    if (holds) {
                        held[row][v] = total << 7;
                    } else {
                        const Ints whole = plane == 1 ? held[row][v] + total : total;
                        acc[row][v] = fused(to_float(whole) * (scales[row] * weight), d[v], acc[row][v]);
                    }
                }
            }
        }
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; ++v) {
            const Floats m = BITS == 4 ? load_values(numbers + COLUMNS + LANES * v) : d[v] * -128.0f;
#pragma GCC unroll 8
            for (int row = 0; row < COUNT; ++row) acc[row][v] = fused(m, splat(sums[row]), acc[row][v]);
        }
        block += group_bytes(BITS), bytes += stride * BYTES, scales += stride, sums += stride;
    }
    Tile<COUNT, VECTORS> tile;
    for (int row = 0; row < COUNT; ++row)
        for (int v = 0; v < VECTORS; ++v) tile.of[row][v] = acc[row][v];
    return tile;
}

// A low-rank term on some rows of a product: up @ down @ row. None where `down` has no outputs.
struct LowRank {
    Linear down, up;
    bool present() const { return down.outputs > 0; }
};

// The rows of a product, and which of them get the low-rank term.
template <int PLANES> struct Batch {
    const Rows<PLANES> &rows;
    int count;
    const Rows<PLANES> *low = nullptr;  // the term's rows, where there are any
    const int *low_of = nullptr;        // [count] of `low`, or -1
};

// A block's outputs of one row.
using Outputs = Floats[COLUMNS / LANES];

// The products of COUNT rows from `row` on with a block's outputs.
template <int BITS, int PLANES, int COUNT>
void multiply_block(const Linear &linear, int block, const Rows<PLANES> &rows, int row, Outputs (&out)[COUNT]) {
    constexpr int VECTORS = TILE_VECTORS<BITS, PLANES, COUNT>;
    for (int vector = 0; vector < COLUMNS / LANES; vector += VECTORS) {
        const auto tile = multiply<BITS, COUNT, VECTORS>(linear, linear.block(block), vector, rows, row);
        for (int place = 0; place < COUNT; ++place)
            for (int v = 0; v < VECTORS; ++v) out[place][vector + v] = tile.of[place][v];
    }
}

// Adds the low-rank term of one row.
template <int PLANES>
void add_term(const Linear &up, const Rows<PLANES> &low, int block, int row, Outputs &out) {
    Outputs term[1];
    multiply_block<8>(up, block, low, row, term);
    for (int v = 0; v < COLUMNS / LANES; ++v) out[v] += term[0][v];
}

template <int BITS, int PLANES, int COUNT, class Sink>
void multiply_tile(const Linear &linear, const Linear &up, const Batch<PLANES> &batch, int block, int row,
                   const Sink &sink) {
    Outputs out[COUNT];
    multiply_block<BITS>(linear, block, batch.rows, row, out);
    for (int place = 0; place < COUNT; ++place) {
        if (batch.low_of && batch.low_of[row + place] >= 0)
            add_term(up, *batch.low, block, batch.low_of[row + place], out[place]);
        if (linear.bias)
            for (int v = 0; v < COLUMNS / LANES; ++v)
                out[place][v] += load<Floats>(linear.bias + block * COLUMNS + v * LANES);
        sink(row + place, block, out[place]);
    }
}

template <int BITS, int PLANES, class Sink>
void product_of(Pool &pool, bool opened, const Linear &linear, const Linear &up, const Batch<PLANES> &batch,
                const Sink &sink) {
    constexpr int PANEL = Rows<PLANES>::PANEL, MOST = MOST_ROWS<BITS, PLANES>;
    static_assert(PANEL % MOST == 0);
    const int blocks = linear.outputs / COLUMNS;
    const int panels = (batch.count + PANEL - 1) / PANEL;
    pool.each(opened, blocks * panels, [&](int task) {
        const int first_row = task / blocks * PANEL, last_row = std::min(first_row + PANEL, batch.count);
        int row = first_row;
        for (int tiles = (last_row - first_row + MOST - 1) / MOST; tiles; --tiles) {
            const int count = (last_row - row + tiles - 1) / tiles;
            with_count<MOST>(count, [&](auto n) {
                multiply_tile<BITS, PLANES, n>(linear, up, batch, task % blocks, row, sink);
            });
            row += count;
        }
    });
}

// Calls sink(row, block, outputs) for every row of the batch and every block of the weight.
template <int PLANES, class Sink>
void product(Pool &pool, bool opened, const Linear &linear, const Linear &up, const Batch<PLANES> &batch,
             const Sink &sink) {
    linear.bits == 4 ? product_of<4>(pool, opened, linear, up, batch, sink)
                     : product_of<8>(pool, opened, linear, up, batch, sink);
}
