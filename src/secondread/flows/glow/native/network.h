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
    int64_t inputs, gathered, columns;  // rows: of x's neighbourhoods, of all the first layer sees, of last
    int64_t steps_in, steps_out, steps_hidden, tiles_in, tiles_out, tiles_hidden, tiles_back;

    Sizes(const Call& call, const Grid& grid) {
        inputs = call.channels_in * grid.taps;
        gathered = inputs + (call.border ? grid.taps : 0) + 1;
        columns = call.channels_out * grid.taps;
        steps_in = divide_up(gathered, 32), tiles_in = divide_up(gathered, 16);
        steps_out = divide_up(columns, 32), tiles_out = divide_up(columns, 16);
        steps_hidden = call.width / 32, tiles_hidden = call.width / 16;
        tiles_back = divide_up(inputs, 16);
    }
};

/// The forward weights as row tiles, and the middle bias in float32.
struct Weights {
    uint8_t *first, *middle, *last;
    float* middle_bias;

    Weights(const Call& call, const Sizes& sizes, Arena& arena) {
        first = arena.take(sizes.tiles_hidden * sizes.steps_in * TILE);
        middle = arena.take(sizes.tiles_hidden * sizes.steps_hidden * TILE);
        last = arena.take(sizes.tiles_out * sizes.steps_hidden * TILE);
        middle_bias = arena.take<float>(call.width);
        pack_rows(call.first, call.width, sizes.gathered, first);
        pack_rows(call.middle, call.width, call.width, middle);
        pack_rows(call.last, sizes.columns, call.width, last);
        for (int64_t row = 0; row < call.width; ++row) {
            const uint32_t bits = static_cast<uint32_t>(call.middle_bias[row]) << 16;
            std::memcpy(middle_bias + row, &bits, sizeof(bits));
        }
    }
};

/// weights `[row tiles][steps]` times pairs `[2 * groups][steps]`, two row tiles and one group at a time.
/// `keep(tile, group, sums)` takes the four sum tiles, row tile by half of the group.
///
/// Vector work could run beside the next product. Measured, that saves cycles, and the clock falls by more.
template <class Keep>
inline void hidden_layer(
    const uint8_t* weights, int64_t tiles, int64_t steps, const uint8_t* pairs, int64_t groups, float* sums,
    Keep keep
) {
    for (int64_t tile = 0; tile < tiles; tile += 2) {
        for (int64_t group = 0; group < groups; ++group) {
            const uint8_t* from = pairs + 2 * group * steps * TILE;
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            multiply<2, 2>(weights + tile * steps * TILE, steps * TILE, from, from + steps * TILE, steps);
            _tile_stored(0, sums, 64);
            _tile_stored(1, sums + 256, 64);
            _tile_stored(2, sums + 512, 64);
            _tile_stored(3, sums + 768, 64);
            keep(tile, group, sums);
        }
    }
    settle();
}

/// weights times pairs as in `hidden_layer`, to float32 columns: row by row, `apart` numbers between rows.
inline void last_layer(
    const uint8_t* weights, int64_t tiles, int64_t steps, const uint8_t* pairs, int64_t groups,
    float* columns, int64_t apart
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

enum Kept { ADD_BIAS = 1, MASK = 2, KEEP_ROWS = 4, MAKE_PAIRS = 8 };

/// What becomes of a hidden layer's sums: with a bias, max(x, 0) or masked, rounded to bf16, kept as row
/// tiles (`apart` bytes from tile to tile) and as pair tiles, as far as `what` says.
template <int what>
struct Keep {
    const float* bias;
    const uint8_t* where;  // row tiles, nowhere negative: x counts where they are positive
    uint8_t* rows;
    int64_t apart;
    uint8_t* pairs;  // [2 * groups][steps]
    int64_t steps;

    void operator()(int64_t tile, int64_t group, const float* sums) const {
        for (int64_t quarter = 0; quarter < 4; ++quarter) eight_rows(tile, group, quarter, sums);
    }

  private:
    void eight_rows(int64_t tile, int64_t group, int64_t quarter, const float* sums) const {
        const int64_t half = quarter / 2, first_row = quarter % 2 * 8;
        const int64_t place = (tile + half) * apart + group * TILE + first_row * 64;
        const float* from = sums + half * 512 + first_row * 16;
        const float* shift = bias + (tile + half) * 16 + first_row;
        uint8_t* pair = pairs + (2 * group * steps + tile / 2) * TILE + quarter * 256;
        uint8_t* pair_too = pair + steps * TILE;
#pragma GCC unroll 4
        for (int row = 0; row < 8; row += 2) {
            const __m512i even = one_row(from + row * 16, shift + row, where + place + row * 64);
            const __m512i odd = one_row(from + row * 16 + 16, shift + row + 1, where + place + row * 64 + 64);
            if (what & KEEP_ROWS) {
                store(rows + place + row * 64, even);
                store(rows + place + row * 64 + 64, odd);
            }
            if (what & MAKE_PAIRS) to_pairs(even, odd, pair + row * 32, pair_too + row * 32);
        }
    }

    static __m512i one_row(const float* from, const float* shift, const uint8_t* known_at) {
        __m512 low = _mm512_load_ps(from), high = _mm512_load_ps(from + 256);
        if (what & ADD_BIAS) {
            const __m512 both = _mm512_set1_ps(*shift);
            low = _mm512_add_ps(low, both), high = _mm512_add_ps(high, both);
        }
        if (what & MASK) {
            const __mmask32 positive = _mm512_cmpgt_epi16_mask(load(known_at), _mm512_setzero_si512());
            return _mm512_maskz_mov_epi16(positive, rounded(low, high));
        }
        const __m512 zero = _mm512_setzero_ps();  // first, so that what is not a number stays that
        return rounded(_mm512_max_ps(zero, low), _mm512_max_ps(zero, high));
    }
};

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

/// Sums of neighbourhoods' columns over all parts: straight into `out` where there is one part, else in
/// copies with a margin, which are added in the order of the parts.
class Total {
  public:
    Total(float* out, int64_t channels, const Grid& grid, const Split& split, Arena& arena)
        : out_(out), channels_(channels), grid_(grid), split_(split), margin_(-grid.offset[0]) {
        if (split.parts == 1) return;
        for (int64_t part = 0; part < split.parts; ++part) {
            copies_.push_back(arena.take<float>(channels * span(part)));
        }
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
