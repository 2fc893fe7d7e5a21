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

}  // namespace secondread
