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

// Bytes of a group of a packed block of outputs: 32 d, with 4 bits 32 m, then the q in lines of 128
// bytes: line t holds inputs 4 t to 4 t + 3 of each output side by side, with 4 bits those in the
// low halves of its bytes and inputs 16 + 4 t to 16 + 4 t + 3 in the high ones.
constexpr int group_bytes(int bits) { return bits == 4 ? 2 * 64 + 4 * 128 : 64 + 8 * 128; }

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
    static constexpr int PANEL = 16 * MOST_ROWS;
    static constexpr int BYTES = GROUP * PLANES;  // of a row's group: the planes one after the other

    void resize(int count, int inputs) {
        count_ = count, groups_ = inputs / GROUP;
        const size_t numbers = size_t(count + PANEL) * groups_;
        if (bytes_.size() < numbers * BYTES) bytes_.resize(numbers * BYTES);
        if (scales_.size() < numbers) scales_.resize(numbers), sums_.resize(numbers);
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
        constexpr float most = PLANES == 1 ? 127.0f : 2097151.0f;
        for (int group = 0; group < groups_; ++group) {
            const float *at = values + group * GROUP;
            const f32x16 a = load<f32x16>(at), b = load<f32x16>(at + LANES);
            const float largest = largest_of(larger(size_of(a), size_of(b)));
            // Not a number and infinity must stay visible: they are the scale's then.
            const float poison = sum_of(a * 0.0f + b * 0.0f);
            const float inverse = largest > 0.0f ? most / largest : 0.0f;
            // 1.5 * 2**23 rounds to the nearest whole number, ties to even.
            const i32x16 whole_a = (i32x16)(a * inverse + 12582912.0f) - 0x4b400000;
            const i32x16 whole_b = (i32x16)(b * inverse + 12582912.0f) - 0x4b400000;
            const size_t own = place(row, group);
            scales_[own] = largest / most + poison;
            sums_[own] = scales_[own] * float(sum_of(whole_a + whole_b));
            split(whole_a, bytes_.data() + own * BYTES);
            split(whole_b, bytes_.data() + own * BYTES + LANES);
        }
    }

  private:
    static void split(i32x16 whole, int8_t *out) {
        if constexpr (PLANES == 1) {
            store(out, __builtin_convertvector(whole, s8x16));
        } else {
            store(out, __builtin_convertvector(whole >> 14, s8x16));
            store(out + GROUP, __builtin_convertvector(whole >> 7 & 127, s8x16));
            store(out + 2 * GROUP, __builtin_convertvector(whole & 127, s8x16));
        }
    }

    int count_ = 0, groups_ = 0;
    std::vector<int8_t> bytes_;
    std::vector<float> scales_, sums_;
};

// dots[row][vector] += the products of four inputs of each row with 16 outputs' q of them.
template <bool WIDE, int BYTES, int COUNT, int VECTORS>
inline void add_inputs(i32x16 (&dots)[COUNT][VECTORS], const u8x64 (&q)[VECTORS], const int8_t *inputs) {
#pragma GCC unroll 8
    for (int row = 0; row < COUNT; ++row) {
        int32_t four;
        std::memcpy(&four, inputs + row * BYTES, 4);
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; ++v) dots[row][v] = add_dot<WIDE>(dots[row][v], q[v], four);
    }
}

// acc[row][vector] += the products of COUNT rows with 16 * VECTORS outputs of a block.
template <int BITS, int PLANES, int COUNT, int VECTORS>
inline void multiply(const Linear &linear, const uint8_t *block, int first_vector,
                     const Rows<PLANES> &rows, int first_row, f32x16 (&acc)[COUNT][VECTORS]) {
    constexpr int BYTES = Rows<PLANES>::BYTES;
    const int groups = linear.inputs / GROUP, stride = rows.stride(first_row);
    const int8_t *bytes = rows.bytes(first_row);
    const float *scales = rows.scales(first_row), *sums = rows.sums(first_row);
    for (int group = 0; group < groups; ++group) {
        const uint16_t *numbers = reinterpret_cast<const uint16_t *>(block) + LANES * first_vector;
        const uint8_t *packed = block + (BITS == 4 ? 128 : 64) + 64 * first_vector;
        f32x16 d[VECTORS];
        for (int v = 0; v < VECTORS; ++v) d[v] = load_values(numbers + LANES * v);
        i32x16 dots[COUNT][VECTORS] = {};
#pragma GCC unroll 3
        for (int plane = 0; plane < PLANES; ++plane) {
#pragma GCC unroll 8
            for (int line = 0; line < BITS; ++line) {  // in the order of memory: it is read once
                u8x64 q[VECTORS];
                for (int v = 0; v < VECTORS; ++v) q[v] = load<u8x64>(packed + 128 * line + 64 * v);
                const int8_t *inputs = bytes + plane * GROUP + 4 * line;
                if constexpr (BITS == 8) {
                    add_inputs<true, BYTES>(dots, q, inputs);
                } else {
                    const u8x64 low = splat_byte(15);
                    u8x64 high[VECTORS];
                    for (int v = 0; v < VECTORS; ++v) high[v] = (u8x64)((u16x32)q[v] >> 4) & low, q[v] &= low;
                    add_inputs<false, BYTES>(dots, q, inputs);
                    add_inputs<false, BYTES>(dots, high, inputs + 16);
                }
            }
            const bool holds = PLANES == 3 && plane == 0;  // the first two planes fit one integer
            const float weight = PLANES == 3 && plane == 1 ? 128.0f : 1.0f;
#pragma GCC unroll 8
            for (int row = 0; row < COUNT; ++row) {
#pragma GCC unroll 2
                for (int v = 0; v < VECTORS; ++v) {
                    if (holds) {
                        dots[row][v] <<= 7;
                        continue;
                    }
                    acc[row][v] += to_float(dots[row][v]) * (scales[row] * weight) * d[v];
                    if (plane + 1 < PLANES) dots[row][v] = i32x16{};
                }
            }
        }
#pragma GCC unroll 2
        for (int v = 0; v < VECTORS; ++v) {
            const f32x16 m = BITS == 4 ? load_values(numbers + COLUMNS + LANES * v) : d[v] * -128.0f;
#pragma GCC unroll 8
            for (int row = 0; row < COUNT; ++row) acc[row][v] += m * sums[row];
        }
        block += group_bytes(BITS), bytes += stride * BYTES, scales += stride, sums += stride;
    }
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

template <int PLANES, int COUNT, class Sink>
void multiply_tile(const Linear &linear, const Linear &up, const Batch<PLANES> &batch, int block, int vector,
                   int row, const Sink &sink) {
    f32x16 acc[COUNT][TILE_VECTORS] = {};
    if (linear.bits == 4)
        multiply<4>(linear, linear.block(block), vector, batch.rows, row, acc);
    else
        multiply<8>(linear, linear.block(block), vector, batch.rows, row, acc);
    for (int place = 0; place < COUNT; ++place) {
        const int low = batch.low_of ? batch.low_of[row + place] : -1;
        if (low >= 0) {
            f32x16 term[1][TILE_VECTORS] = {};
            multiply<8>(up, up.block(block), vector, *batch.low, low, term);
            for (int v = 0; v < TILE_VECTORS; ++v) acc[place][v] += term[0][v];
        }
        for (int v = 0; v < TILE_VECTORS; ++v) {
            const int output = block * COLUMNS + (vector + v) * LANES;
            if (linear.bias) acc[place][v] += load<f32x16>(linear.bias + output);
            sink(row + place, output, acc[place][v]);
        }
    }
}

template <int PLANES, class Sink>
void multiply_rows(const Linear &linear, const Linear &up, const Batch<PLANES> &batch, int block, int row,
                   int count, const Sink &sink) {
    for (int vector = 0; vector < COLUMNS / LANES; vector += TILE_VECTORS) {
        switch (count) {
        case 1: multiply_tile<PLANES, 1>(linear, up, batch, block, vector, row, sink); break;
        case 2: multiply_tile<PLANES, 2>(linear, up, batch, block, vector, row, sink); break;
        case 3: multiply_tile<PLANES, std::min(3, MOST_ROWS)>(linear, up, batch, block, vector, row, sink); break;
        case 4: multiply_tile<PLANES, std::min(4, MOST_ROWS)>(linear, up, batch, block, vector, row, sink); break;
        case 5: multiply_tile<PLANES, std::min(5, MOST_ROWS)>(linear, up, batch, block, vector, row, sink); break;
        default: multiply_tile<PLANES, std::min(6, MOST_ROWS)>(linear, up, batch, block, vector, row, sink);
        }
    }
}

// Calls sink(row, output, vector of 16) for every row of the batch and every output.
template <int PLANES, class Sink>
void product(Pool &pool, bool opened, const Linear &linear, const Linear &up, const Batch<PLANES> &batch,
             const Sink &sink) {
    constexpr int PANEL = Rows<PLANES>::PANEL;
    const int blocks = linear.outputs / COLUMNS;
    const int chunk = blocks >= 512 ? 8 : blocks >= 64 ? 2 : 1;
    const int chunks = (blocks + chunk - 1) / chunk;
    const int panels = (batch.count + PANEL - 1) / PANEL;
    pool.each(opened, chunks * panels, [&](int task) {
        const int first_row = task / chunks * PANEL, last_row = std::min(first_row + PANEL, batch.count);
        const int first_block = task % chunks * chunk, last_block = std::min(first_block + chunk, blocks);
        for (int block = first_block; block < last_block; ++block) {
            int row = first_row;
            for (int tiles = (last_row - first_row + MOST_ROWS - 1) / MOST_ROWS; tiles; --tiles) {
                const int count = (last_row - row + tiles - 1) / tiles;
                multiply_rows(linear, up, batch, block, row, count, sink);
                row += count;
            }
        }
    });
}
