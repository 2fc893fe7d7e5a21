// Blocks one after another, whose maps stay in memory that is kept.
#pragma once

#include "block.h"

namespace secondread {

constexpr int64_t PIXELS = 1 << 19;  // of images of a batch that pass all blocks before the next do

struct Plan {
    Sized sized;
    Shares shares;
};

/// Images to y `[images][..][..][out]`. Those of a block that asks for no zeros around them lie in one piece.
inline void run_blocks(
    const Block* blocks, int64_t count, int64_t images, int64_t rows, int64_t columns, int64_t threads,
    const Images& x, float* y
) {
    const int64_t most = std::min(images, std::max(PIXELS / (rows * columns), threads));
    std::vector<Plan> plans;
    int64_t each = 0, padded = 0, between = 0, made = 0;
    for (int64_t at = 0; at < count; ++at) {
        const Sized sized(blocks[at], rows, columns);
        plans.push_back({sized, Shares(sized, most, threads)});
        rows = sized.down.out(), columns = sized.across.out(), made = rows * columns * blocks[at].out;
        each = std::max(each, plans[at].shares.memory(sized));
        if (sized.is_padded()) padded = std::max(padded, most * sized.image());
        if (at + 1 < count) between = std::max(between, most * made);
    }
    Arena& arena = Arena::own();
    arena.restart();
    float *memory = arena.take<float>(threads * each), *image = arena.take<float>(padded);
    float* maps[] = {arena.take<float>(between), arena.take<float>(between)};
#pragma omp parallel num_threads(threads)
    for (int64_t first = 0; first < images; first += most) {
        const int64_t some = std::min(most, images - first);
        Images given = x;
        given.x += first * x.image;
        for (int64_t at = 0; at < count; ++at) {
            float* to = at + 1 < count ? maps[at % 2] : y + first * made;
            const Sized& sized = plans[at].sized;
            if (sized.is_padded()) pad(sized, some, given, image);
            run_block(sized, plans[at].shares, some, sized.is_padded() ? image : given.x, memory, each, to);
            const int64_t channels = blocks[at].out, row = sized.across.out() * channels;
            given = {to, sized.down.out() * row, 1, row, channels, nullptr, nullptr};
        }
    }
}

}  // namespace secondread
