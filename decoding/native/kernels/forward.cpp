// One forward of a decoder-only transformer of the Llama family, from token ids to logits.
//
// Called from Python through plain pointers; `decoding/native/library.py` mirrors the structures.
// Widths are padded to multiples of 32 with zeros; what is padded stays zero throughout.
#include <algorithm>
#if defined(__AVX2__)
#include <cpuid.h>
#endif
#include <memory>
#include <mutex>
#include <new>

#include "guess.hpp"
#include "pack.hpp"
#include "pick.hpp"
#include "bands.hpp"

struct Layer {
    const float *attention_norm, *mlp_norm, *qk_norm;  // qk_norm: [queries and keys][D] or null
    int64_t window;                                    // positions seen, 0 for all
    Linear qkv, output, gate_up, down;                 // gate_up: 16 gates and 16 inputs by turns
    LowRank qkv_extra, output_extra, gate_up_extra, down_extra;
};

struct Network {
    int32_t num_layers, hidden, num_heads, num_kv_heads, head_dim, feed_forward;
    int32_t planes, half_cache;
    float norm_eps;
    int32_t num_embeddings;
    const Layer *layers;
    const float *embedding;  // [tokens][hidden]
    const float *norm;
    Linear head, rough_head;     // rough_head: the head in fewer bits, or without outputs
    const float *cosine, *sine;  // [positions][head_dim / 2]
    const float *query_scale;    // [positions] or null
};

struct Forward {
    int64_t num_rows, num_read, num_segments, num_slots, threads;
    const int64_t *tokens, *positions, *slots;  // [num_rows]
    const int64_t *read;                        // [num_read] rows whose logits are wanted
    const float *reach;                         // [num_read] how far below a row's largest logit, of what
                                                // may be picked, its logits must be the head's own; or
                                                // null for all
    const int32_t *const *masks;                // [num_read] a bit for each token that may be picked, 32
                                                // to a word, or null for all of them; or null for all
                                                // rows. Other tokens' logits may mean nothing
    const uint8_t *adapted;                     // [num_rows] or null
    const Segment *segments;
    const int32_t *pages;          // of all segments, one after the other
    void *const *keys, *const *values;  // [num_layers]
    float *logits;                 // [num_read][head.outputs]
    float *normed;                 // [num_read][hidden] what the head reads, or null
};

namespace {

// A block of outputs of one of some rows.
struct Place {
    int index, block;
};

// What a forward writes on its way. Grows to the largest forward seen.
struct Workspace {
    std::mutex busy;
    std::vector<float> hidden, normed, qkv, seen, inner, low;
    Rows<1> coarse[3];
    Rows<3> fine[3];
    std::vector<float> kept_hidden, kept_seen;
    std::vector<int> low_of, kept_low;
    std::vector<char> is_read;
    std::vector<int> whole, rough, strict;
    std::vector<Place> near, allowed;
    std::vector<float> most;
    BandSpace bands;

    template <int PLANES> auto &rows() {
        if constexpr (PLANES == 1) return coarse;
        else return fine;
    }
};

void rms_norm(const float *in, const float *scale, int width, int stride, float eps, float *out) {
    Floats squares = {};
    for (int at = 0; at < stride; at += LANES) {
        const Floats v = load<Floats>(in + at);
        squares = fused(v, v, squares);
    }
    const float factor = 1.0f / std::sqrt(sum_of(squares) / float(width) + eps);
    for (int at = 0; at < stride; at += LANES)
        store(out + at, load<Floats>(in + at) * factor * load<Floats>(scale + at));
}

Floats silu(Floats gate) { return gate / (exp_of(-larger(gate, splat(-87.0f))) + 1.0f); }

void store_outputs(float *at, const Outputs &outputs) {
    for (int v = 0; v < COLUMNS / LANES; ++v) store(at + v * LANES, outputs[v]);
}

template <int PLANES, class Value> class Run {
  public:
    Run(const Network &network, const Forward &forward, Workspace &space, Pool &pool, bool opened)
        : net(network), ask(forward), space(space), pool(pool), opened(opened), count(int(forward.num_rows)),
          heads(net.num_heads + 2 * net.num_kv_heads), qkv_width(padded(heads * net.head_dim)),
          seen_width(padded(net.num_heads * net.head_dim)), inner_width(padded(net.feed_forward)),
          width(padded(net.hidden)), rows(space.rows<PLANES>()[0]),
          adapted_rows(space.rows<PLANES>()[1]), low_rows(space.rows<PLANES>()[2]) {}

    void operator()() {
        prepare();
        for (int layer = 0; layer < net.num_layers; ++layer) {
            attention(layer);
            feed_forward(net.layers[layer]);
        }
        logits();
    }

  private:
    void prepare() {
        hidden = grown(space.hidden, size_t(count) * width);
        qkv = grown(space.qkv, size_t(count) * qkv_width);
        seen = grown(space.seen, size_t(count) * seen_width);
        const size_t most = size_t(std::max(ask.num_rows, ask.num_read));  // a row may be read twice
        inner = grown(space.inner, most * inner_width);
        normed = grown(space.normed, most * width);
        std::fill(inner, inner + most * inner_width, 0.0f);
        low_of = grown(space.low_of, count);
        for (int row = 0; row < count; ++row) {
            low_of[row] = ask.adapted && ask.adapted[row] ? num_adapted++ : -1;
            const float *from = net.embedding + size_t(ask.tokens[row]) * net.hidden;
            std::memcpy(hidden + size_t(row) * width, from, sizeof(float) * net.hidden);
            std::memset(hidden + size_t(row) * width + net.hidden, 0, sizeof(float) * (width - net.hidden));
            std::memset(seen + size_t(row) * seen_width, 0, sizeof(float) * seen_width);
        }
    }

    // For what is soon done with a row of so many numbers. What threads write of neighbouring rows
    // shares cache lines: that costs more than is won by dividing few, or by dividing them finely.
    template <class Body> void each_row(int some, int numbers, const Body &body) {
        constexpr int FEW = 1 << 15;
        pool.each(opened && int64_t(some) * numbers >= FEW, some, body);
    }

    // Fills the rows that a product reads: `fill(row)` returns the row's values.
    template <class Fill> void quantise(int inputs, const Fill &fill) {
        rows.resize(count, inputs);
        adapted_rows.resize(num_adapted, inputs);
        each_row(count, inputs, [&](int row) {
            const float *values = fill(row);
            rows.set(row, values);
            if (low_of[row] >= 0) adapted_rows.set(low_of[row], values);
        });
    }

    template <class Sink> void project(const Linear &linear, const LowRank &extra, const Sink &sink) {
        if (!extra.present() || !num_adapted)
            return product(pool, opened, linear, linear, Batch<PLANES>{rows, count}, sink);
        const int rank = extra.down.outputs;
        float *low = grown(space.low, size_t(num_adapted) * rank);
        product(pool, opened, extra.down, extra.down, Batch<PLANES>{adapted_rows, num_adapted},
                [&](int place, int block, const Outputs &outputs) {
                    store_outputs(low + size_t(place) * rank + block * COLUMNS, outputs);
                });
        low_rows.resize(num_adapted, rank);
        each_row(num_adapted, rank, [&](int place) { low_rows.set(place, low + size_t(place) * rank); });
        product(pool, opened, linear, extra.up, Batch<PLANES>{rows, count, &low_rows, low_of}, sink);
    }

    const float *norm(int row, const float *scale) {
        float *out = normed + size_t(row) * width;
        rms_norm(hidden + size_t(row) * width, scale, net.hidden, width, net.norm_eps, out);
        return out;
    }

    auto into_hidden() {
        return [this](int row, int block, const Outputs &outputs) {
            float *at = hidden + size_t(row) * width + block * COLUMNS;
            for (int v = 0; v < COLUMNS / LANES; ++v, at += LANES) store(at, load<Floats>(at) + outputs[v]);
        };
    }

    void attention(int index) {
        const Layer &layer = net.layers[index];
        quantise(width, [&](int row) { return norm(row, layer.attention_norm); });
        project(layer.qkv, layer.qkv_extra, [&](int row, int block, const Outputs &outputs) {
            store_outputs(qkv + size_t(row) * qkv_width + block * COLUMNS, outputs);
        });
        Value *keys = static_cast<Value *>(ask.keys[index]), *values = static_cast<Value *>(ask.values[index]);
        each_row(count, qkv_width, [&](int row) { turn_and_keep(layer, row, keys, values); });
        share_pages(keys, values);
        if (index + 1 == net.num_layers) find_read();
        attend(layer, keys, values);
        if (index + 1 == net.num_layers) drop_unread();
        quantise(seen_width, [&](int row) { return seen + size_t(row) * seen_width; });
        project(layer.output, layer.output_extra, into_hidden());
    }

    // Behind the last layer's keys and values, only the rows whose logits are wanted matter.
    void find_read() {
        is_read = grown(space.is_read, count);
        std::fill(is_read, is_read + count, 0);
        for (int64_t place = 0; place < ask.num_read; ++place) is_read[ask.read[place]] = 1;
    }

    void drop_unread() {
        const int wanted = int(ask.num_read);
        float *kept_hidden = grown(space.kept_hidden, size_t(wanted) * width);
        float *kept_seen = grown(space.kept_seen, size_t(wanted) * seen_width);
        int *kept_low = grown(space.kept_low, wanted);
        num_adapted = 0;
        for (int place = 0; place < wanted; ++place) {
            const size_t row = size_t(ask.read[place]);
            std::memcpy(kept_hidden + size_t(place) * width, hidden + row * width, sizeof(float) * width);
            std::memcpy(kept_seen + size_t(place) * seen_width, seen + row * seen_width, sizeof(float) * seen_width);
            kept_low[place] = low_of[row] >= 0 ? num_adapted++ : -1;
        }
        hidden = kept_hidden, seen = kept_seen, low_of = kept_low, count = wanted;
    }

    // Turns queries and keys to their positions, and writes keys and values to the cache.
    void turn_and_keep(const Layer &layer, int row, Value *keys, Value *values) {
        const int half = net.head_dim / 2, dim = net.head_dim, turned = net.num_heads + net.num_kv_heads;
        const int64_t position = ask.positions[row], slot = ask.slots[row];
        const float *cosine = net.cosine + position * half, *sine = net.sine + position * half;
        const float scale = (net.query_scale ? net.query_scale[position] : 1.0f) / std::sqrt(float(dim));
        float *own = qkv + size_t(row) * qkv_width;
        for (int head = 0; head < turned; ++head) {
            float *at = own + size_t(head) * dim;
            if (layer.qk_norm)
                rms_norm(at, layer.qk_norm + size_t(head) * dim, dim, dim, net.norm_eps, at);
            const float factor = head < net.num_heads ? scale : 1.0f;
            for (int d = 0; d < half; ++d) {
                const float a = at[d], b = at[d + half];
                at[d] = (a * cosine[d] - b * sine[d]) * factor;
                at[d + half] = (b * cosine[d] + a * sine[d]) * factor;
            }
        }
        for (int head = 0; head < net.num_kv_heads; ++head) {
            const size_t page = (size_t(slot / PAGE) * net.num_kv_heads + head) * PAGE * dim;
            const float *key = own + size_t(net.num_heads + head) * dim;
            const float *value = own + size_t(turned + head) * dim;
            for (int d = 0; d < dim; ++d) {
                keep(keys + page + size_t(d) * PAGE + slot % PAGE, key[d]);
                keep(values + page + size_t(slot % PAGE) * dim + d, value[d]);
            }
        }
    }

    // A branch begins within a page of what it leaves: the positions before it are copied to its own.
    void share_pages(Value *keys, Value *values) {
        const auto shares = [](const Segment &segment) { return segment.shared_page >= 0; };
        if (std::none_of(ask.segments, ask.segments + ask.num_segments, shares)) return;
        const size_t dim = size_t(net.head_dim), page = size_t(net.num_kv_heads) * PAGE * dim;
        pool.each(opened, int(ask.num_segments), [&](int index) {
            const Segment &segment = ask.segments[index];
            if (!shares(segment)) return;
            const size_t some = size_t(segment.start % PAGE), block = size_t(segment.start / PAGE);
            const size_t from = size_t(segment.shared_page) * page;
            const size_t to = size_t(ask.pages[size_t(segment.first_page) + block]) * page;
            for (size_t head = 0; head < page; head += PAGE * dim) {
                for (size_t d = 0; d < dim; ++d)
                    std::memcpy(keys + to + head + d * PAGE, keys + from + head + d * PAGE, some * sizeof(Value));
                std::memcpy(values + to + head, values + from + head, some * dim * sizeof(Value));
            }
        });
    }

    void attend(const Layer &layer, const Value *keys, const Value *values) {
        const Attention<Value> all{
            ask.segments, ask.num_segments, ask.pages, keys, values, net.num_heads, net.num_kv_heads, net.head_dim,
            layer.window, is_read, qkv, qkv_width, seen_width, seen};
        all(pool, opened, int(ask.threads), space.bands);
    }

    void feed_forward(const Layer &layer) {
        quantise(width, [&](int row) { return norm(row, layer.mlp_norm); });
        project(layer.gate_up, layer.gate_up_extra, [&](int row, int block, const Outputs &outputs) {
            constexpr int HALF = COLUMNS / 2;  // of a block are gates, the others what they let through
            float *at = inner + size_t(row) * inner_width + block * HALF;
            for (int v = 0; v < HALF / LANES; ++v) store(at + v * LANES, silu(outputs[v]) * outputs[v + HALF / LANES]);
        });
        quantise(inner_width, [&](int row) { return inner + size_t(row) * inner_width; });
        project(layer.down, layer.down_extra, into_hidden());
    }

    void logits() {
        std::vector<int> &whole = space.whole, &rough = space.rough, &strict = space.strict;
        whole.clear(), rough.clear(), strict.clear();
        for (int place = 0; place < int(ask.num_read); ++place)
            (is_strict(place) ? strict : is_rough(place) ? rough : whole).push_back(place);
        read_rows(whole, rows);
        head_product(net.head, whole, rows, [](int, int, const Outputs &) {});
        if (!rough.empty()) rough_logits(rough, adapted_rows);
        if (!strict.empty()) strict_logits(strict, low_rows);
    }

    int head_blocks() const { return net.head.outputs / COLUMNS; }
    const int32_t *mask_of(int place) const { return ask.masks ? ask.masks[place] : nullptr; }

    // Whether so few blocks have a token that may be picked that they are scored one by one.
    bool is_strict(int place) const {
        static_assert(COLUMNS == 32);  // a block of outputs has one word of a mask
        const int32_t *mask = mask_of(place);
        if (!mask) return false;
        const int blocks = head_blocks();
        return 4 * (blocks - std::count(mask, mask + blocks, 0)) <= blocks;
    }

    bool is_rough(int place) const {
        return net.rough_head.outputs && ask.reach && ask.reach[place] < std::numeric_limits<float>::infinity();
    }

    void read_rows(const std::vector<int> &places, Rows<PLANES> &rows) {
        rows.resize(int(places.size()), width);
        each_row(int(places.size()), width, [&](int index) {
            const int place = places[index];
            const float *values = norm(place, net.norm);
            rows.set(index, values);
            if (ask.normed) std::memcpy(ask.normed + size_t(place) * net.hidden, values, sizeof(float) * net.hidden);
        });
    }

    float *logits_of(int place, int block) { return ask.logits + size_t(place) * net.head.outputs + block * COLUMNS; }

    template <class Sink>
    void head_product(const Linear &head, const std::vector<int> &places, const Rows<PLANES> &rows, const Sink &sink) {
        product(pool, opened, head, head, Batch<PLANES>{rows, int(places.size())}, [&](int index, int block, const Outputs &outputs) {
            store_outputs(logits_of(places[index], block), outputs);
            sink(index, block, outputs);
        });
    }

    // All logits by the rough head, then blocks of them again by the head itself: those with a logit
    // that is within the row's reach of its largest. Tokens that may not be picked do not count.
    void rough_logits(const std::vector<int> &places, Rows<PLANES> &rows) {
        const int blocks = head_blocks();
        float *most = grown(space.most, places.size() * size_t(blocks));
        read_rows(places, rows);
        head_product(net.rough_head, places, rows, [&](int index, int block, const Outputs &outputs) {
            const int32_t *mask = mask_of(places[index]);
            most[size_t(index) * blocks + block] = largest_allowed(outputs, mask ? mask[block] : -1);
        });
        space.near.clear();
        for (int index = 0; index < int(places.size()); ++index) {
            const float *own = most + size_t(index) * blocks;
            const float least = *std::max_element(own, own + blocks) - ask.reach[places[index]];
            for (int block = 0; block < blocks; ++block)
                if (!(own[block] < least)) space.near.push_back({index, block});
        }
        score_blocks(space.near, places, rows);
    }

    static float largest_allowed(const Outputs &outputs, int32_t word) {
        const Floats lowest = splat(-std::numeric_limits<float>::infinity());
        Floats lanes = lowest;
        for (int v = 0; v < COLUMNS / LANES; ++v)
            lanes = larger(lanes, (int32_t(uint32_t(word) >> (v * LANES)) >> numbers() & 1) ? outputs[v] : lowest);
        return largest_of(lanes);
    }

    void strict_logits(const std::vector<int> &places, Rows<PLANES> &rows) {
        read_rows(places, rows);
        space.allowed.clear();
        for (int index = 0; index < int(places.size()); ++index)
            for (int block = 0; block < head_blocks(); ++block)
                if (mask_of(places[index])[block]) space.allowed.push_back({index, block});
        score_blocks(space.allowed, places, rows);
    }

    // Logits by the head itself.
    void score_blocks(const std::vector<Place> &some, const std::vector<int> &places, const Rows<PLANES> &rows) {
        pool.each(opened, int(some.size()), [&](int number) {
            const Place &one = some[number];
            Outputs outputs[1];
            const bool few = net.head.bits == 4;
            few ? multiply_block<4>(net.head, one.block, rows, one.index, outputs)
                : multiply_block<8>(net.head, one.block, rows, one.index, outputs);
            store_outputs(logits_of(places[one.index], one.block), outputs[0]);
        });
    }

    const Network &net;
    const Forward &ask;
    Workspace &space;
    Pool &pool;
    const bool opened;
    int count;  // rows; of the last layer, those that are read
    const int heads, qkv_width, seen_width, inner_width, width;
    char *is_read = nullptr;  // of each row, in the last layer
    Rows<PLANES> &rows, &adapted_rows, &low_rows;
    int num_adapted = 0, *low_of = nullptr;
    float *hidden = nullptr, *qkv = nullptr, *seen = nullptr, *inner = nullptr, *normed = nullptr;
};

enum Refusal { NONE, NO_MEMORY, NO_TOKEN, NO_SLOT, NO_PAGE, NO_ROW };  // also in library.py

// What would make a forward read or write where it should not.
Refusal refusal(const Network &network, const Forward &forward) {
    for (int64_t row = 0; row < forward.num_rows; ++row) {
        const int64_t token = forward.tokens[row], slot = forward.slots[row];
        if (token < 0 || token >= network.num_embeddings) return NO_TOKEN;
        if (slot < 0 || slot >= forward.num_slots) return NO_SLOT;
        if ((slot - forward.positions[row]) % PAGE) return NO_PAGE;
    }
    for (int64_t place = 0; place < forward.num_read; ++place)
        if (forward.read[place] < 0 || forward.read[place] >= forward.num_rows) return NO_ROW;
    return NONE;
}

template <int PLANES> void run_planes(const Network &network, const Forward &forward, Workspace &space, Pool &pool, bool opened) {
    if (network.half_cache)
        Run<PLANES, uint16_t>(network, forward, space, pool, opened)();
    else
        Run<PLANES, float>(network, forward, space, pool, opened)();
}

}  // namespace

extern "C" {

// To be raised with every change of a structure, a signature or a layout below; also in library.py.
int trimode_version() { return 11; }

// Whether this processor has the instructions that this build uses.
int trimode_supported() {
#if defined(__AVX512VNNI__)
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#elif defined(__AVX2__)
    unsigned a, b, c, d; // a virtual machine may hide the one without the other
    const bool has_f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
#if defined(__AVXVNNI__)
    const bool has_dots = __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & bit_AVXVNNI);
#else
    const bool has_dots = true;
#endif
    return has_f16c && has_dots && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 1;
#endif
}

void *trimode_workspace_new() { return new Workspace; }
void trimode_workspace_delete(void *space) { delete static_cast<Workspace *>(space); }

// Returns a `Refusal`.
int trimode_forward(const Network *network, const Forward *forward, void *space) {
    if (const Refusal refused = refusal(*network, *forward)) return refused;
    Workspace &own = *static_cast<Workspace *>(space);
    std::lock_guard<std::mutex> guard(own.busy);
    Pool &pool = Pool::shared();
    const bool opened = pool.open(int(forward->threads));
    Refusal failed = NONE;
    try {
        network->planes == 1 ? run_planes<1>(*network, *forward, own, pool, opened)
                             : run_planes<3>(*network, *forward, own, pool, opened);
    } catch (const std::bad_alloc &) {
        failed = NO_MEMORY;
    }
    if (opened) pool.close();
    return failed;
}

int64_t trimode_packed_bytes(int64_t outputs, int64_t inputs, int64_t bits) {
    return int64_t(padded(int(outputs)) / COLUMNS) * (padded(int(inputs)) / GROUP) * group_bytes(int(bits));
}

// Packs a [outputs][inputs] weight. Returns whether what is packed equals it bit for bit; with 4
// bits nothing else is packed, unless `rough`. -1 for a weight that holds infinities, NaN, or
// numbers too large.
int trimode_pack(const float *weight, int64_t outputs, int64_t inputs, int64_t bits, int64_t rough, uint8_t *out) {
    if (!can_pack(weight, size_t(outputs * inputs))) return -1;
    return bits == 4 ? pack<4>(weight, int(outputs), int(inputs), rough, out)
                     : pack<8>(weight, int(outputs), int(inputs), rough, out);
}

// The picks of some rows of `count` logits (see `pick.hpp`).
void trimode_pick(const Ask *asks, int64_t rows, int64_t count, int64_t never, int64_t threads, Best *out) {
    Pool &pool = Pool::shared();
    const bool opened = pool.open(int(threads));
    pick(pool, opened, asks, rows, count, never, out);
    if (opened) pool.close();
}

// What a draft head guesses behind a token; `hidden` is padded to the head's inputs. Returns how many.
int64_t trimode_guess(const DraftHead *head, const float *hidden, int64_t token, int64_t count, float least,
                      int64_t *out, float *shares) {
    return Guesser(*head, Pool::shared())(hidden, token, count, least, out, shares);
}

// The layout of the structures, for the caller to compare with its own.
int64_t trimode_size(int which) {
    const int64_t sizes[] = {sizeof(Linear), sizeof(Layer), sizeof(Network), sizeof(Segment),
                             sizeof(Forward), sizeof(Ask), sizeof(Best), sizeof(DraftHead)};
    return sizes[which];
}
}
