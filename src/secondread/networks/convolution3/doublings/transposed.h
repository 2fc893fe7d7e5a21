// Transposed convolutions 2×2 of stride 2 on channels-last maps: each is one product, written to the finer grid.
#pragma once

#include <omp.h>

#include "exponential.h"
#include "groups.h"

namespace secondread {

enum Activation : int64_t { NONE, RELU, TANH };

/// Of maps `[rows][columns][ins]`, to `[2 rows][2 columns][outs]`. The columns of its product are the outputs above,
/// then those below, each as they lie side by side, in whole vectors; all in one vector where they fit.
struct Transposed {
    int64_t ins, outs, activation;
    const float *weight, *bias;

    int64_t side() const { return 2 * outs; }
    bool in_one() const { return 2 * side() <= LANES; }
    int64_t vectors() const { return in_one() ? 1 : 2 * vectors_of(side()); }
};

constexpr int64_t FEWEST_POSITIONS = 64;  // of a block, for each of which weights come from L2

/// How positions of an image are shared out: blocks of whole rows.
struct RowBlocks {
    int64_t each, blocks;

    RowBlocks(int64_t rows, int64_t columns) : each(std::min(rows, divide_up(FEWEST_POSITIONS, columns))) {
        blocks = divide_up(rows, each);
    }
};

inline Vec activated(Vec value, bool rectify) { return rectify ? rectified(value) : value; }

/// The outputs of a position above and below, that lie in one vector.
inline void give_both(Vec value, int64_t side, float* above, float* below) {
    float lanes[LANES];
    store(lanes, value);
    if (side == 2) {  // an image with one channel
        std::memcpy(above, lanes, 2 * sizeof(float));
        std::memcpy(below, lanes + 2, 2 * sizeof(float));
        return;
    }
    for (int64_t at = 0; at < side; ++at) above[at] = lanes[at], below[at] = lanes[side + at];
}

/// Sums `[positions][Wide vectors]` of positions from `first` on to where they belong in `y`. By a loop that is not
/// unrolled with that of the sums: for 24 of these, compilers take a minute.
template <int Wide>
inline void give_group(
    const Transposed& layer, Group group, int64_t columns, int64_t first, int64_t positions, const float* sums, float* y
) {
    const int64_t side = layer.side(), line = columns * side, above = layer.vectors() / 2;
    const bool rectify = layer.activation == RELU, in_one = layer.in_one();
    int64_t places[Wide], counts[Wide];
    for (int64_t wide = 0; wide < Wide && !in_one; ++wide) {
        const int64_t vector = group.first + wide, begin = vector % above * LANES;
        places[wide] = vector / above * line + begin, counts[wide] = side - begin;
    }
    int64_t row = first / columns, column = first % columns;
    for (int64_t at = 0; at < positions; ++at, sums += Wide * LANES) {
        float* place = y + 2 * row * line + column * side;
        if (in_one) {
            give_both(activated(load(sums), rectify), side, place, place + line);
        } else {
            for (int64_t wide = 0; wide < Wide; ++wide) {
                const Vec value = activated(load(sums + wide * LANES), rectify);
                store_some(place + places[wide], value, counts[wide]);
            }
        }
        if (++column == columns) column = 0, ++row;
    }
}

/// A group of outputs of positions from `first` on; `y` is that of the image, `[2 rows][2 columns][outs]`.
template <int Wide>
inline void double_group(
    const Transposed& layer, Group group, int64_t columns, int64_t first, int64_t positions, const float* x, float* y
) {
    const float* weight = layer.weight + group.first * layer.ins * LANES;
    for_each_halved<ROWS_OF<Wide>>(positions, [&](int64_t position, auto constant) {
        constexpr int Rows = decltype(constant)::value;
        Sums<Rows, Wide> sums;
        begin_sums<Rows, Wide>(layer.bias + group.first * LANES, sums);
        const float* from = x + (first + position) * layer.ins;
        accumulate<Rows, Wide>(from, layer.ins, 1, weight, Wide * LANES, layer.ins, sums);
        float found[Rows * Wide * LANES];
        store_sums<Rows, Wide>(sums, found, Wide * LANES);
        give_group<Wide>(layer, group, columns, first + position, Rows, found, y);
    });
}

/// tanh in place of numbers.
inline void take_tanh(float* numbers, int64_t count) {
    constexpr int64_t SOME = 4 * LANES;
    const float* end = numbers + count;
    for (; numbers + SOME <= end; numbers += SOME) {
#pragma GCC unroll 4
        for (int64_t at = 0; at < SOME; at += LANES) store(numbers + at, tanh_of(load(numbers + at)));
    }
    for (; numbers < end; numbers += LANES) {
        store_some(numbers, tanh_of(load_some(numbers, end - numbers)), end - numbers);
    }
}

/// Images x `[images][rows][columns][ins]` to y, by each of the threads at once.
inline void double_maps(
    const Transposed& layer, int64_t images, int64_t rows, int64_t columns, const float* x, float* y
) {
    const RowBlocks share(rows, columns);
    const Groups groups(layer.vectors() * LANES);
#pragma omp for schedule(static)
    for (int64_t number = 0; number < images * share.blocks; ++number) {
        const int64_t image = number / share.blocks, begin = number % share.blocks * share.each;
        const int64_t end = std::min(rows, begin + share.each), first = begin * columns, line = columns * layer.side();
        const float* from = x + image * rows * columns * layer.ins;
        float* to = y + image * 2 * rows * line;
        for (int64_t at = 0; at < groups.count; ++at) {
            with_constant<1, WIDEST>(groups[at].wide, [&](auto wide) {
                double_group<decltype(wide)::value>(
                    layer, groups[at], columns, first, (end - begin) * columns, from, to
                );
            });
        }
        if (layer.activation != TANH) continue;
        take_tanh(to + 2 * begin * line, 2 * (end - begin) * line);
    }
}

}  // namespace secondread
