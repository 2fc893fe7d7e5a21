// A frozen convolution of width 3 on channels-last maps, whose kernels are spread to the 36 places beforehand.
#pragma once

#include <omp.h>

#include "channels_last.h"

namespace secondread {

constexpr int64_t FEWEST_TILES = 32;        // in a block, or all: for each of them all kernels come from L3
constexpr int64_t BLOCK_BYTES = 448 << 10;  // of a block of more: its places in L2
constexpr int64_t STEPS = 256;              // of a product after which it begins anew: a panel of kernels in L1
constexpr int64_t AHEAD = 128;              // steps after which a kernel that is fetched now is needed

constexpr int64_t FETCHED = 8;              // at once

/// Numbers of spread kernels, `[PLACES][groups][ins][SPAN]`.
inline int64_t spread_length(const FrozenCall& call) { return PLACES * call.groups() * call.ins * SPAN; }

/// Of kernels `[outs, ins, 3, 3]`; those of outs that are none are zeros.
inline void spread_frozen(const FrozenCall& call, const float* kernels, float* to) {
    const int64_t groups = call.groups();
    std::memset(to, 0, spread_length(call) * sizeof(float));
#pragma omp parallel for num_threads(call.threads)
    for (int64_t out = 0; out < call.outs; ++out) {
        for (int64_t in = 0; in < call.ins; ++in) {
            const float* kernel = kernels + 9 * (out * call.ins + in);
            float half[18], whole[PLACES];
            for (int j = 0; j < 3; ++j) of_kernel(kernel + j, 3, half + j, 3);
            for (int i = 0; i < IN; ++i) of_kernel(half + 3 * i, 1, whole + IN * i, 1);
            float* place = to + (out / SPAN * call.ins + in) * SPAN + out % SPAN;
            for (int64_t p = 0; p < PLACES; ++p) place[p * groups * call.ins * SPAN] = whole[p];
        }
    }
}

/// One place's products of a block of tiles: from `[tiles][ins]` to `[tiles][groups * SPAN]`.
inline void multiply_place(
    const FrozenCall& call, const float* from, int64_t tiles, const float* kernels, float* to
) {
    const int64_t wide = call.groups() * SPAN;
    for (int64_t begin = 0; begin < call.ins; begin += STEPS) {
        const int64_t steps = std::min(STEPS, call.ins - begin);
        for (int64_t group = 0; group < call.groups(); ++group) {
            const float* right = kernels + (group * call.ins + begin) * SPAN;
            for_each_panel<1>(tiles, [&](int64_t tile, auto constant) {
                constexpr int Rows = decltype(constant)::value;
                float* known = to + tile * wide + group * SPAN;
                Sums<Rows> sums;
                if (begin) {
                    load_sums<Rows>(known, wide, sums);
                } else {
                    clear<Rows>(sums);
                }
                const float* left = from + tile * call.ins + begin;
                if (tile) {
                    accumulate<Rows>(left, call.ins, 1, right, SPAN, steps, sums);
                } else {
                    for (int64_t step = 0; step < steps; step += FETCHED) {
                        const float* start = right + step * SPAN;
                        const int64_t count = std::min(FETCHED, steps - step);
                        for (int64_t line = 0; line < count * SPAN; line += 16) {
                            __builtin_prefetch(start + AHEAD * SPAN + line);
                        }
                        accumulate<Rows>(left + step, call.ins, 1, start, SPAN, count, sums);
                    }
                }
                store_sums<Rows>(sums, known, wide);
            });
        }
    }
}

/// Tiles in a block: as many as stay in L2, and so few that each thread has one.
inline int64_t block_tiles(const FrozenCall& call) {
    const int64_t each = PLACES * (call.ins + call.groups() * SPAN) * sizeof(float);
    const int64_t most = std::max(FEWEST_TILES, BLOCK_BYTES / each);
    const int64_t blocks = std::max(divide_up(call.tiles(), most), std::min(call.threads, call.tiles()));
    return divide_up(call.tiles(), blocks);
}

/// How the tiles of a call are shared out, and the memory that this needs.
struct FrozenShares {
    int64_t count, blocks, from_apart, to_apart, each;

    explicit FrozenShares(const FrozenCall& call) : count(block_tiles(call)), blocks(divide_up(call.tiles(), count)) {
        // Places lie apart by no power of two, so that they do not share the cache's sets.
        from_apart = divide_up(count * call.ins, 16) * 16 + 16, to_apart = count * call.groups() * SPAN + 16;
        each = PLACES * (from_apart + to_apart);
    }
};

/// By each of the threads at once, which each have `memory`, `each` numbers from one another; `zeros` has as many as
/// channels go in.
inline void convolve_blocks(
    const FrozenCall& call, const FrozenShares& shares, const float* x, const float* spread, const float* bias,
    const float* add, const float* zeros, float* memory, int64_t each, float* y
) {
    const int64_t wide = call.groups() * SPAN;
    float *from = memory + omp_get_thread_num() * each, *to = from + PLACES * shares.from_apart;
#pragma omp for schedule(static)
    for (int64_t block = 0; block < shares.blocks; ++block) {
        const int64_t first = block * shares.count, tiles = std::min(shares.count, call.tiles() - first);
        for (int64_t tile = 0; tile < tiles; ++tile) {
            take_tile(call, Tile(call, first + tile), x, zeros, from + tile * call.ins, shares.from_apart);
        }
        for (int64_t place = 0; place < PLACES; ++place) {
            const float* kernels = spread + place * call.groups() * call.ins * SPAN;
            multiply_place(call, from + place * shares.from_apart, tiles, kernels, to + place * shares.to_apart);
        }
        for (int64_t tile = 0; tile < tiles; ++tile) {
            give_tile(call, Tile(call, first + tile), to + tile * wide, shares.to_apart, bias, add, y);
        }
    }
}

inline void convolve_frozen(
    const FrozenCall& call, const float* x, const float* spread, const float* bias, const float* add, float* y
) {
    const FrozenShares shares(call);
    Arena& arena = Arena::own();
    arena.restart();
    const float* zeros = arena.take_zeros<float>(call.ins);
    float* memory = arena.take<float>(call.threads * shares.each);
#pragma omp parallel num_threads(call.threads)
    convolve_blocks(call, shares, x, spread, bias, add, zeros, memory, shares.each, y);
}

}  // namespace secondread
