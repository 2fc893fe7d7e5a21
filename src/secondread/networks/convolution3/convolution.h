// A convolution of width 3 and its gradients, by products at the 36 places of each tile.
#pragma once

#include <omp.h>

#include "product.h"
#include "tiles.h"

namespace secondread {

/// Of a convolution of width 3 with a border of zeros: x `[images, ins, rows, columns]`, kernels
/// `[outs, ins, 3, 3]`, y `[images, outs, rows, columns]`.
struct Call {
    int64_t images, ins, outs, rows, columns, threads;
    Size size() const { return {images, rows, columns}; }
};

/// left `[rows][steps]`, `apart` from row to row, times right `[steps][count]`: into sums `[rows][count]`, or
/// onto them.
template <bool Onto>
inline void multiply(
    const float* left, int64_t rows, int64_t steps, int64_t apart, const float* right, int64_t count, float* sums
) {
    for_each_panel<1>(rows, [&](int64_t row, auto constant) {
        constexpr int Rows = decltype(constant)::value;
        for (int64_t column = 0; column < count; column += SPAN) {
            Sums<Rows> tile;
            float* known = sums + row * count + column;
            if (Onto) {
                load_sums<Rows>(known, count, tile);
            } else {
                clear<Rows>(tile);
            }
            accumulate<Rows>(left + row * apart, apart, 1, right + column, count, steps, tile);
            store_sums<Rows>(tile, known, count);
        }
    });
}

/// Kernels to `[PLACES][outs][ins]`; turned: those of the convolution that takes gradients back,
/// `[PLACES][ins][outs]`.
inline void spread_kernels(const Call& call, const float* kernels, bool turned, float* to) {
    const int64_t rows = turned ? call.ins : call.outs, steps = turned ? call.outs : call.ins;
#pragma omp parallel for num_threads(call.threads)
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t step = 0; step < steps; ++step) {
            const float* kernel = kernels + 9 * (turned ? step * call.ins + row : row * call.ins + step);
            float own[9], half[18], whole[PLACES];
            for (int i = 0; i < 9; ++i) own[i] = kernel[turned ? 8 - i : i];
            for (int j = 0; j < 3; ++j) of_kernel(own + j, 3, half + j, 3);
            for (int i = 0; i < IN; ++i) of_kernel(half + 3 * i, 1, whole + IN * i, 1);
            for (int64_t place = 0; place < PLACES; ++place) {
                to[(place * rows + row) * steps + step] = whole[place];
            }
        }
    }
}

constexpr int64_t TILES = 32, TILES_OF_SUMS = 64;  // of a block

/// y = kernels * x + bias; turned: the gradient of x, of that of y.
inline void convolve(
    const Call& call, const float* x, const float* kernels, const float* bias, bool turned, float* y
) {
    const int64_t ins = turned ? call.outs : call.ins, outs = turned ? call.ins : call.outs;
    const Size size = call.size();
    const Cut cut(size, TILES);
    const int64_t plane = size.rows * size.columns, room = Lines::length(cut);
    const int64_t from_apart = ins * cut.count + LANES, to_apart = outs * cut.count + LANES;
    const int64_t each = divide_up(room + PLACES * (from_apart + to_apart), 16) * 16;
    Arena& arena = Arena::own();
    arena.restart();
    float* spread = arena.take<float>(PLACES * outs * ins);
    float* memory = arena.take<float>(call.threads * each);
    spread_kernels(call, kernels, turned, spread);
#pragma omp parallel num_threads(call.threads)
    {
        float* own = memory + omp_get_thread_num() * each;
        Lines lines(cut, own);
        float *from = own + room, *to = from + PLACES * from_apart;
#pragma omp for schedule(static)
        for (int64_t number = 0; number < cut.blocks(); ++number) {
            const Block block = cut.block(number);
            take_all_inputs(x, ins, size, block, lines, from, from_apart);
            for (int64_t place = 0; place < PLACES; ++place) {
                multiply<false>(
                    spread + place * outs * ins, outs, ins, ins, from + place * from_apart, cut.count,
                    to + place * to_apart
                );
            }
            for (int64_t out = 0; out < outs; ++out) {
                float* image = y + (block.image * outs + out) * plane;
                give_outputs(to + out * cut.count, to_apart, bias ? bias[out] : 0, size, block, lines, image);
            }
        }
    }
}

/// The gradient of the kernels, of that of y.
inline void gradient_of_kernels(const Call& call, const float* x, const float* gradient, float* kernels) {
    const int64_t ins = call.ins, outs = call.outs, wide = divide_up(ins, SPAN) * SPAN;
    const Size size = call.size();
    const Cut cut(size, TILES_OF_SUMS);
    const int64_t plane = size.rows * size.columns, room = Lines::length(cut), area = PLACES * outs * wide;
    const int64_t from_apart = ins * cut.count + LANES, to_apart = outs * cut.count + LANES;
    const int64_t each =
        divide_up(area + room + PLACES * (from_apart + to_apart) + cut.count * wide, 16) * 16;
    Arena& arena = Arena::own();
    arena.restart();
    float* memory = arena.take<float>(call.threads * each);
#pragma omp parallel num_threads(call.threads)
    {
        float* sums = memory + omp_get_thread_num() * each;
        std::memset(sums, 0, each * sizeof(float));
        Lines lines(cut, sums + area);
        float *from = sums + area + room, *to = from + PLACES * from_apart, *right = to + PLACES * to_apart;
#pragma omp for schedule(static)
        for (int64_t number = 0; number < cut.blocks(); ++number) {
            const Block block = cut.block(number);
            take_all_inputs(x, ins, size, block, lines, from, from_apart);
            for (int64_t out = 0; out < outs; ++out) {
                const float* image = gradient + (block.image * outs + out) * plane;
                take_gradients(image, size, block, lines, to + out * cut.count, to_apart);
            }
            for (int64_t place = 0; place < PLACES; ++place) {
                turn(from + place * from_apart, ins, block.tiles(), cut.count, right, wide);
                multiply<true>(
                    to + place * to_apart, outs, block.tiles(), cut.count, right, wide,
                    sums + place * outs * wide
                );
            }
        }
#pragma omp for schedule(static)
        for (int64_t out = 0; out < outs; ++out) {
            for (int64_t in = 0; in < ins; ++in) {
                float whole[PLACES], half[18];
                for (int64_t place = 0; place < PLACES; ++place) {
                    const float* one = memory + (place * outs + out) * wide + in;
                    whole[place] = 0;
                    for (int64_t t = 0; t < omp_get_num_threads(); ++t) whole[place] += one[t * each];
                }
                for (int i = 0; i < IN; ++i) to_kernel(whole + IN * i, 1, half + 3 * i, 1);
                for (int j = 0; j < 3; ++j) to_kernel(half + j, 3, kernels + 9 * (out * ins + in) + j, 3);
            }
        }
    }
}

}  // namespace secondread
