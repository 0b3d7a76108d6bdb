// A draft head: a few guesses behind a picked token, without a forward (see decoding/draft_head.py).
#pragma once

#include "linear.hpp"

struct DraftHead {
    Linear hidden, token, state, output;
    const float *norm;          // [width]
    const float *embedding;     // [tokens][inputs], inputs padded
    const int64_t *candidates;  // [count] the tokens that the first outputs stand for
    int64_t count;
};

class Guesser {
  public:
    Guesser(const DraftHead &head, Pool &pool) : head(head), pool(pool), width(head.state.outputs) {
        z.resize(size_t(width)), scores.resize(size_t(head.output.outputs));
    }

    // Returns how many it guessed: all, or those up to the first less probable than `least`.
    int64_t operator()(const float *hidden, int64_t token, int64_t count, float least, int64_t *out, float *shares) {
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
            const size_t found = best();
            out[place] = token = head.candidates[found];
            shares[place] = share(found);
            if (shares[place] < least) return place + 1;
            if (place + 1 < count) multiply(head.state, false);
        }
        return count;
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

    // The probability of a candidate. Outputs behind the last one are padding, without a say.
    float share(size_t found) {
        const float most = scores[found];
        std::fill(scores.begin() + head.count, scores.end(), most - 100.0f);
        Floats total = {};
        for (size_t at = 0; at < scores.size(); at += LANES) total += exp_of(load<Floats>(&scores[at]) - most);
        return 1.0f / sum_of(total);
    }

    const DraftHead &head;
    Pool &pool;
    const int width;
    std::vector<float> z, scores;
    Rows<1> rows;
};
