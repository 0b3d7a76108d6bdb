// A draft head: a few guesses behind a picked token, without a forward (see decoding/draft_head.py).
#pragma once

#include "linear.hpp"

struct DraftHead {
    Linear hidden, token, state, output;
    const float *norm;          // [width]
    const float *embedding;     // [tokens][inputs], inputs padded
    const int64_t *candidates;  // [count] the tokens that the first outputs stand for
    int64_t count, num_tokens;
};

class Guesser {
  public:
    Guesser(const DraftHead &head, Pool &pool) : head(head), pool(pool), width(head.state.outputs) {
        z.resize(size_t(width)), scores.resize(size_t(head.output.outputs));
    }

    void operator()(const float *hidden, int64_t token, int64_t count, int64_t *out) {
        rows.resize(1, head.hidden.inputs);
        rows.set(0, hidden);
        multiply(head.hidden, false);
        for (int64_t place = 0; place < count; ++place) {
            rows.resize(1, head.token.inputs);
            rows.set(0, head.embedding + size_t(token) * head.token.inputs);
            multiply(head.token, true);
            activate();
            rows.resize(1, width);
            rows.set(0, z.data());
            project(head.output, [&](int block, int v, Floats found) {
                store(scores.data() + block * COLUMNS + v * LANES, found);
            });
            out[place] = token = head.candidates[best()];
            if (place + 1 < count) multiply(head.state, false);
        }
    }

  private:
    template <class Sink> void project(const Linear &linear, const Sink &sink) {
        product(pool, false, linear, linear, Batch<1>{rows, 1}, [&](int, int block, const Outputs &outputs) {
            for (int v = 0; v < COLUMNS / LANES; ++v) sink(block, v, outputs[v]);
        });
    }

    void multiply(const Linear &linear, bool adds) {
        project(linear, [&](int block, int v, Floats found) {
            float *at = z.data() + block * COLUMNS + v * LANES;
            store(at, adds ? load<Floats>(at) + found : found);
        });
    }

    void activate() {
        Floats squares = {};
        for (int at = 0; at < width; at += LANES) squares += load<Floats>(&z[at]) * load<Floats>(&z[at]);
        const float factor = 1.0f / std::sqrt(sum_of(squares) / float(width) + 1e-5f);
        for (int at = 0; at < width; at += LANES) {
            const Floats gate = load<Floats>(&z[at]) * factor * load<Floats>(head.norm + at);
            store(&z[at], gate / (exp_of(-larger(gate, splat(-87.0f))) + 1.0f));
        }
    }

    size_t best() const {
        return size_t(std::max_element(scores.begin(), scores.begin() + head.count) - scores.begin());
    }

    const DraftHead &head;
    Pool &pool;
    const int width;
    std::vector<float> z, scores;
    Rows<1> rows;
};
