// Tiles of channels-last maps: into places of products and back, a vector of channels at a time.
#pragma once

#include "product.h"
#include "transforms.h"

namespace secondread {

/// Of a frozen convolution of width 3 with a border of zeros: x `[images, rows, columns, ins]`, y and what is
/// added `[images, rows, columns, outs]`. Both have LANES channels or more.
struct FrozenCall {
    int64_t images, ins, outs, rows, columns, rectify, threads;

    int64_t tile_rows() const { return divide_up(rows, OUT); }
    int64_t tile_columns() const { return divide_up(columns, OUT); }
    int64_t tiles() const { return images * tile_rows() * tile_columns(); }
    /// Of the outs, each of SPAN.
    int64_t groups() const { return divide_up(outs, SPAN); }
};

/// Where a tile's outputs begin.
struct Tile {
    int64_t image, row, column;

    Tile(const FrozenCall& call, int64_t number)
        : image(number / call.tile_columns() / call.tile_rows()),
          row(number / call.tile_columns() % call.tile_rows() * OUT),
          column(number % call.tile_columns() * OUT) {}
};

/// Calls `work` with the first of each vector's channels; the last vector may overlap the one before.
template <class Work>
inline void for_each_vector(int64_t channels, const Work& work) {
    for (int64_t next = 0; next < channels; next += LANES) work(std::min(next, channels - LANES));
}

/// B^T x B of one tile, place p at `to + p * places_apart`. `zeros` has as many as channels.
inline void take_tile(
    const FrozenCall& call, const Tile& tile, const float* x, const float* zeros, float* to,
    int64_t places_apart
) {
    const float* at[PLACES];
    for (int64_t i = 0; i < IN; ++i) {
        const int64_t row = tile.row + i - 1;
        for (int64_t j = 0; j < IN; ++j) {
            const int64_t column = tile.column + j - 1;
            const bool known = row >= 0 && row < call.rows && column >= 0 && column < call.columns;
            const int64_t position = (tile.image * call.rows + row) * call.columns + column;
            at[IN * i + j] = known ? x + position * call.ins : zeros;
        }
    }
    for_each_vector(call.ins, [&](int64_t channel) {
        Vec half[PLACES];
#pragma GCC unroll 6
        for (int64_t j = 0; j < IN; ++j) {
            Vec inputs[IN];
#pragma GCC unroll 6
            for (int64_t i = 0; i < IN; ++i) inputs[i] = load(at[IN * i + j] + channel);
            to_products(inputs, 1, half + j, IN);
        }
#pragma GCC unroll 6
        for (int64_t i = 0; i < IN; ++i) {
            Vec whole[IN];
            to_products(half + IN * i, 1, whole, 1);
#pragma GCC unroll 6
            for (int64_t j = 0; j < IN; ++j) store(to + (IN * i + j) * places_apart + channel, whole[j]);
        }
    });
}

/// A^T m A + bias + add of one tile, rectified where the call says so.
inline void give_tile(
    const FrozenCall& call, const Tile& tile, const float* from, int64_t places_apart, const float* bias,
    const float* add, float* y
) {
    const int64_t rows = std::min(OUT, call.rows - tile.row);
    const int64_t columns = std::min(OUT, call.columns - tile.column);
    const int64_t first = ((tile.image * call.rows + tile.row) * call.columns + tile.column) * call.outs;
    for_each_vector(call.outs, [&](int64_t channel) {
        Vec half[OUT * IN];
#pragma GCC unroll 6
        for (int64_t j = 0; j < IN; ++j) {
            Vec products[IN];
#pragma GCC unroll 6
            for (int64_t i = 0; i < IN; ++i) products[i] = load(from + (IN * i + j) * places_apart + channel);
            to_outputs(products, 1, half + j, IN);
        }
        const Vec one = load(bias + channel);
        for (int64_t i = 0; i < rows; ++i) {
            Vec whole[OUT];
            to_outputs(half + IN * i, 1, whole, 1);
            for (int64_t j = 0; j < columns; ++j) {
                const int64_t place = first + (i * call.columns + j) * call.outs + channel;
                Vec value = whole[j] + one;
                if (add) value += load(add + place);
                store(y + place, call.rectify ? rectified(value) : value);
            }
        }
    });
}

}  // namespace secondread
