// Attention of all rows of a forward, divided over threads.
//
// A band is a few rows that lie side by side in one sequence, and one key head: what they see is
// read once. Few bands are divided by stretches as well, so that no thread is left without work. How
// it is divided changes no bit.
#pragma once

#include "attention.hpp"

struct Segment {
    int64_t first_row, num_rows, start, is_block, first_page;
    int64_t shared_page;  // of another segment: its first start % PAGE positions are this one's, too; or -1
};

struct Band {
    const Segment *segment;
    int first, rows, head;  // rows of the segment
    int begin, end;         // stretches that any of them sees
    size_t parts;           // where what they see of each is kept, if the band is divided
};

// Grows to the largest forward seen.
struct BandSpace {
    std::vector<Band> bands;
    std::vector<std::pair<int, int>> pieces;  // a band and one of its stretches
    std::vector<float> parts;
};

template <class Value> struct Attention {
    const Segment *segments;
    int64_t num_segments;
    const int32_t *pages;
    const Value *keys, *values;       // of this layer
    int num_heads, num_kv_heads, width;
    int64_t window;                   // positions seen, 0 for all
    const char *is_read;              // of each row, or null for all
    const float *queries;             // scaled
    int64_t query_stride, out_stride; // from row to row
    float *out;

    void operator()(Pool &pool, bool opened, int threads, BandSpace &space) const {
        constexpr size_t FEW = 4, MOST_PARTS = 1 << 22;  // bands of each thread; numbers, 16 MB of them
        const size_t parts = find_bands(space.bands);
        const std::vector<Band> &bands = space.bands;
        if (!opened || bands.size() >= FEW * std::min(threads, Pool::MOST_THREADS) || parts > MOST_PARTS) {
            pool.each(opened, int(bands.size()), [&](int index) {
                const Band &band = bands[index];
                thread_local std::vector<float> seen_space, next_space;
                float *seen = grown(seen_space, part_size(band)), *next = grown(next_space, part_size(band));
                for (int stretch = band.begin; stretch < band.end; ++stretch) {
                    see_stretch(band, stretch, next);
                    add_stretch(band, stretch, next, seen);
                }
                finish(band, seen);
            });
            return;
        }
        divide(bands, space.pieces);
        grown(space.parts, parts);
        const auto part = [&](const Band &band, int stretch) {
            return space.parts.data() + band.parts + size_t(stretch - band.begin) * part_size(band);
        };
        pool.each(opened, int(space.pieces.size()), [&](int index) {
            const auto [band, stretch] = space.pieces[index];
            see_stretch(bands[band], stretch, part(bands[band], stretch));
        });
        pool.each(opened, int(bands.size()), [&](int index) {
            const Band &band = bands[index];
            thread_local std::vector<float> seen_space;
            float *seen = grown(seen_space, part_size(band));
            for (int stretch = band.begin; stretch < band.end; ++stretch) add_stretch(band, stretch, part(band, stretch), seen);
            finish(band, seen);
        });
    }

  private:
    static constexpr int ROWS = 8, MOST_SHARING = 64;

    int sharing() const { return num_heads / num_kv_heads; }
    int part_width() const { return width + LANES; }  // mixed values, the largest score, the sum
    size_t part_size(const Band &band) const { return size_t(band.rows) * sharing() * part_width(); }

    int64_t seen_from(const Band &band, int row) const {
        const int64_t position = band.segment->start + band.first + row;
        return window ? std::max<int64_t>(0, position - window + 1) : 0;
    }
    int64_t seen_until(const Band &band, int row) const {
        const Segment &segment = *band.segment;
        return segment.start + (segment.is_block ? segment.num_rows : band.first + row + 1);
    }

    // Returns how many numbers the bands' parts have.
    size_t find_bands(std::vector<Band> &bands) const {
        bands.clear();
        size_t parts = 0;
        for (int64_t index = 0; index < num_segments; ++index) {
            const Segment &segment = segments[index];
            for (int first = 0; first < segment.num_rows; first += ROWS) {
                const int rows = int(std::min<int64_t>(ROWS, segment.num_rows - first));
                const int64_t row = segment.first_row + first;
                if (is_read && !std::count(is_read + row, is_read + row + rows, 1)) continue;
                for (int head = 0; head < num_kv_heads; ++head) {
                    Band band{&segment, first, rows, head, 0, 0, parts};
                    band.begin = int(seen_from(band, 0) / STRETCH);
                    band.end = int((seen_until(band, rows - 1) + STRETCH - 1) / STRETCH);
                    parts += size_t(band.end - band.begin) * part_size(band);
                    bands.push_back(band);
                }
            }
        }
        return parts;
    }

    // In the order of memory: heads lie side by side within a stretch.
    static void divide(const std::vector<Band> &bands, std::vector<std::pair<int, int>> &pieces) {
        pieces.clear();
        for (int first = 0, behind; first < int(bands.size()); first = behind) {
            int begin = bands[first].begin, end = bands[first].end;
            for (behind = first; behind < int(bands.size()) && bands[behind].segment == bands[first].segment; ++behind)
                begin = std::min(begin, bands[behind].begin), end = std::max(end, bands[behind].end);
            for (int stretch = begin; stretch < end; ++stretch)
                for (int band = first; band < behind; ++band)
                    if (bands[band].begin <= stretch && stretch < bands[band].end) pieces.push_back({band, stretch});
        }
    }

    // Of each query of a band what it sees of a stretch; nothing is written of those that see none.
    void see_stretch(const Band &band, int stretch, float *parts) const {
        int begin[ROWS], until[ROWS], some = 0;
        const float *asked[ROWS * MOST_SHARING];
        float *answers[ROWS * MOST_SHARING];
        for (int row = 0; row < band.rows; ++row) {
            begin[some] = int(std::max<int64_t>(seen_from(band, row), int64_t(stretch) * STRETCH));
            until[some] = int(std::min<int64_t>(seen_until(band, row), int64_t(stretch + 1) * STRETCH));
            if (begin[some] >= until[some]) continue;
            const int64_t place = band.segment->first_row + band.first + row;
            for (int q = 0; q < sharing(); ++q) {
                asked[some * sharing() + q] = queries + place * query_stride + (band.head * sharing() + q) * width;
                answers[some * sharing() + q] = parts + size_t(row * sharing() + q) * part_width();
            }
            ++some;
        }
        const Sight sight{begin[0] / PAGE * PAGE, until[some - 1], begin, until};
        const Pages<Value> own{keys, values, pages + band.segment->first_page, num_kv_heads, width};
        thread_local std::vector<float> scratch;
        see(own, band.head, sight, some * sharing(), sharing(), asked, scratch, answers);
    }

    // Adds a stretch to what a band has seen of those before.
    void add_stretch(const Band &band, int stretch, const float *next, float *seen) const {
        const size_t size = size_t(sharing()) * part_width();  // of a row
        for (int row = 0; row < band.rows; ++row, next += size, seen += size) {
            const int first = int(seen_from(band, row) / STRETCH);
            if (stretch < first || int64_t(stretch) * STRETCH >= seen_until(band, row)) continue;
            if (stretch == first)
                std::copy(next, next + size, seen);
            else
                for (size_t q = 0; q < size; q += part_width()) join(seen + q, next + q, width);
        }
    }

    void finish(const Band &band, const float *seen) const {
        for (int row = 0; row < band.rows; ++row) {
            float *to = out + (band.segment->first_row + band.first + row) * out_stride + band.head * sharing() * width;
            for (int q = 0; q < sharing(); ++q, seen += part_width(), to += width)
                for (int at = 0; at < width; at += LANES) store(to + at, load<Floats>(seen + at) / seen[width + 1]);
        }
    }
};
