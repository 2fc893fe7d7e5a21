// The network's sizes, its weights in tile order, and its layers on a stretch of positions.
#pragma once

#include "neighbours.h"

namespace secondread {

/// What a call is about. Weights are row-major bf16, `[out, in]`; planes are float32 `[channels, N, *S]`.
struct Call {
    int64_t rank, size[3], images, channels_in, channels_out, width, threads;
    const float* x;
    const uint16_t *first, *middle, *middle_bias, *last;
    const float *last_bias, *border;  // border may be null
};

/// Rows of the matrices that a call works with, and how many tiles they fill.
struct Sizes {
    int64_t inputs, gathered, columns;  // rows: of x's neighbourhoods, of all that the first layer sees, of last
    int64_t steps_in, steps_out, steps_hidden, tiles_in, tiles_out, tiles_hidden, tiles_back;

    Sizes(const Call& call, const Grid& grid) {
        inputs = call.channels_in * grid.taps;
        gathered = inputs + (call.border ? grid.taps : 0) + 1;
        columns = call.channels_out * grid.taps;
        steps_in = divide_up(gathered, 32), steps_out = divide_up(columns, 32), steps_hidden = call.width / 32;
        tiles_in = divide_up(gathered, 16), tiles_out = divide_up(columns, 16), tiles_hidden = call.width / 16;
        tiles_back = divide_up(inputs, 16);
    }
};

/// The forward weights as row tiles, and the middle bias as sum tiles.
struct Weights {
    uint8_t *first, *middle, *last;
    float* middle_bias;

    Weights(const Call& call, const Sizes& sizes, Arena& arena) {
        first = arena.take(sizes.tiles_hidden * sizes.steps_in * TILE);
        middle = arena.take(sizes.tiles_hidden * sizes.steps_hidden * TILE);
        last = arena.take(sizes.tiles_out * sizes.steps_hidden * TILE);
        middle_bias = arena.take<float>(call.width * 16);
        pack_rows(call.first, call.width, sizes.gathered, first);
        pack_rows(call.middle, call.width, call.width, middle);
        pack_rows(call.last, sizes.columns, call.width, last);
        for (int64_t row = 0; row < call.width; ++row) {
            const uint32_t bits = static_cast<uint32_t>(call.middle_bias[row]) << 16;
            store(middle_bias + row * 16, _mm512_set1_epi32(static_cast<int>(bits)));
        }
    }
};

/// weights `[row tiles][steps]` times pairs `[2 * groups][steps]`; `finish(tile, group, sums)` takes four sum
/// tiles, row tile by half of the group, for every two row tiles of every group.
template <class Finish>
inline void hidden_layer(
    const uint8_t* weights, int64_t tiles, int64_t steps, const float* bias, const uint8_t* pairs, int64_t groups,
    float* sums, Finish finish
) {
    for (int64_t tile = 0; tile < tiles; tile += 2) {
        for (int64_t group = 0; group < groups; ++group) {
            if (bias) {
                _tile_loadd(0, bias + tile * 256, 64);
                _tile_loadd(1, bias + tile * 256, 64);
                _tile_loadd(2, bias + tile * 256 + 256, 64);
                _tile_loadd(3, bias + tile * 256 + 256, 64);
            } else {
                _tile_zero(0);
                _tile_zero(1);
                _tile_zero(2);
                _tile_zero(3);
            }
            const uint8_t* from = pairs + 2 * group * steps * TILE;
            multiply<2, 2>(weights + tile * steps * TILE, steps * TILE, from, from + steps * TILE, steps);
            _tile_stored(0, sums, 64);
            _tile_stored(1, sums + 256, 64);
            _tile_stored(2, sums + 512, 64);
            _tile_stored(3, sums + 768, 64);
            finish(tile, group, sums);
        }
    }
    settle();
}

/// weights times pairs as in `hidden_layer`, to float32 columns: row by row, `apart` numbers between rows.
inline void last_layer(
    const uint8_t* weights, int64_t tiles, int64_t steps, const uint8_t* pairs, int64_t groups, float* columns,
    int64_t apart
) {
    for (int64_t tile = 0; tile < tiles; tile += 2) {
        const uint8_t* rows = weights + tile * steps * TILE;
        for (int64_t group = 0; group < groups; ++group) {
            const uint8_t* from = pairs + 2 * group * steps * TILE;
            float* to = columns + tile * 16 * apart + group * GROUP;
            _tile_zero(0);
            _tile_zero(1);
            if (tile + 1 < tiles) {
                _tile_zero(2);
                _tile_zero(3);
                multiply<2, 2>(rows, steps * TILE, from, from + steps * TILE, steps);
                _tile_stored(2, to + 16 * apart, apart * 4);
                _tile_stored(3, to + 16 * apart + 16, apart * 4);
            } else {
                multiply<1, 2>(rows, 0, from, from + steps * TILE, steps);
            }
            _tile_stored(0, to, apart * 4);
            _tile_stored(1, to + 16, apart * 4);
        }
    }
    settle();
}

/// Rows of float32 columns of `groups` groups, with room for a vector on either side.
inline int64_t column_stride(int64_t groups) { return groups * GROUP + 32; }

/// Two rows of a group's sums, rounded to bf16.
struct RowPair {
    __m512i even, odd;
};

inline RowPair round_rows(const float* sums, int64_t half, int64_t row) {
    const float* from = sums + half * 512 + row * 16;
    return {
        rounded(_mm512_load_ps(from), _mm512_load_ps(from + 256)),
        rounded(_mm512_load_ps(from + 16), _mm512_load_ps(from + 272))
    };
}

/// max(x, 0) of bf16: negative where the bits are, read as an integer.
inline RowPair positive(RowPair rows) {
    const __m512i zero = _mm512_setzero_si512();
    return {_mm512_max_epi16(rows.even, zero), _mm512_max_epi16(rows.odd, zero)};
}

/// x where the reference, which is nowhere negative, is positive, else 0.
inline __m512i where_positive(__m512i x, const uint8_t* reference) {
    const __m512i known = load(reference);
    return _mm512_maskz_mov_epi16(_mm512_test_epi16_mask(known, known), x);
}

/// A fixed split of all groups of positions among threads: as many threads as have enough to do.
struct Split {
    int64_t parts, groups;

    Split(const Grid& grid, int64_t threads) {
        constexpr int64_t LEAST = 8;
        groups = divide_up(grid.positions, GROUP);
        parts = std::max<int64_t>(1, std::min(threads, groups / LEAST));
    }
    int64_t begin(int64_t part) const { return groups * part / parts * GROUP; }
};

/// Sums of neighbourhoods' columns over all parts: straight into `out` where there is one part, else in copies
/// with a margin, which are added in the order of the parts.
class Total {
  public:
    Total(float* out, int64_t channels, const Grid& grid, const Split& split, Arena& arena)
        : out_(out), channels_(channels), grid_(grid), split_(split), margin_(-grid.offset[0]) {
        if (split.parts == 1) return;
        for (int64_t part = 0; part < split.parts; ++part) copies_.push_back(arena.take<float>(channels * span(part)));
    }
    Target target(int64_t part) const {
        if (split_.parts == 1) return {out_, grid_.positions, 0};
        std::memset(copies_[part], 0, channels_ * span(part) * sizeof(float));
        return {copies_[part], span(part), split_.begin(part) - margin_};
    }
    /// Adds what every part has for the positions of one part.
    void collect(int64_t part) const {
        if (split_.parts == 1) return;
        const int64_t begin = split_.begin(part), end = std::min(split_.begin(part + 1), grid_.positions);
        for (int64_t channel = 0; channel < channels_; ++channel) {
            for (int64_t other = 0; other < split_.parts; ++other) {
                const int64_t origin = split_.begin(other) - margin_;
                const int64_t from = std::max(begin, origin), to = std::min(end, origin + span(other));
                const float* copy = copies_[other] + channel * span(other) - origin;
                float* plane = out_ + channel * grid_.positions;
                for (int64_t at = from; at < to; ++at) plane[at] += copy[at];
            }
        }
    }

  private:
    int64_t span(int64_t part) const { return split_.begin(part + 1) - split_.begin(part) + 2 * margin_; }
    float* out_;
    int64_t channels_;
    const Grid& grid_;
    const Split& split_;
    int64_t margin_;
    std::vector<float*> copies_;
};

/// Calls `work(part)` for every part, each on a thread of its own where there are so many.
template <class Work>
inline void for_each_part(const Split& split, Work work) {
#pragma omp parallel for schedule(static, 1) num_threads(split.parts) if (split.parts > 1)
    for (int64_t part = 0; part < split.parts; ++part) work(part);
}

}  // namespace secondread
