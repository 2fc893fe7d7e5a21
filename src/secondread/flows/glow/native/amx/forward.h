// The forward pass: a stretch of positions at a time goes through all layers within the cache.
#pragma once

#include "network.h"

namespace secondread {

constexpr int64_t GROUPS_AT_ONCE = 2;  // that go through the layers together

/// What bias and border channel add to an output, for the positions of one part.
inline void fill_edge_bias(const Call& call, const Grid& grid, int64_t begin, int64_t end, float* out) {
    for (int64_t channel = 0; channel < call.channels_out; ++channel) {
        const float* border = call.border ? call.border + channel * grid.taps : nullptr;
        const __m512 bias = _mm512_set1_ps(call.last_bias[channel]);
        for (int64_t at = begin; at < end; at += 16) {
            const __m128i touched = _mm_loadu_si128((const __m128i*)(grid.touched + at % grid.per_image));
            __m512 sum = bias;
            if (border && !_mm_testz_si128(touched, touched)) {
                for (int64_t tap = 0; tap < grid.taps; ++tap) {
                    const __mmask16 outside = _mm_test_epi8_mask(touched, _mm_set1_epi8(grid.faces[tap]));
                    sum = _mm512_mask_add_ps(sum, outside, sum, _mm512_set1_ps(border[tap]));
                }
            }
            _mm512_mask_storeu_ps(out + channel * grid.positions + at, first_bits(end - at), sum);
        }
    }
}

inline void forward_part(
    const Call& call, const Grid& grid, const Sizes& sizes, const Weights& weights, int64_t begin,
    int64_t end, uint8_t* room, const Target& target
) {
    const int64_t most = GROUPS_AT_ONCE, apart = column_stride(most);
    const int64_t steps = sizes.steps_hidden;
    uint8_t* rows = room;
    uint8_t* gathered = rows + sizes.steps_in * 2 * TILE;
    uint8_t* first = gathered + most * 2 * sizes.steps_in * TILE;
    uint8_t* second = first + most * 2 * steps * TILE;
    float* sums = (float*)(second + most * 2 * steps * TILE);
    float* columns = sums + 1024 + 16;
    std::memset(rows, 0, sizes.steps_in * 2 * TILE);
    TileScope tiles;
    for (int64_t at = begin; at < end; at += most * GROUP) {
        const int64_t count = std::min(end - at, most * GROUP), groups = divide_up(count, GROUP);
        for (int64_t group = 0; group < groups; ++group) {
            gather(call.x, call.channels_in, grid, at + group * GROUP, call.border, true, rows, TILE);
            rows_to_pairs(rows, TILE, sizes.steps_in, gathered + group * 2 * sizes.steps_in * TILE);
        }
        settle();
        hidden_layer(
            weights.first, sizes.tiles_hidden, sizes.steps_in, gathered, groups, sums,
            Keep<MAKE_PAIRS>{nullptr, nullptr, nullptr, 0, first, steps}
        );
        hidden_layer(
            weights.middle, sizes.tiles_hidden, steps, first, groups, sums,
            Keep<ADD_BIAS | MAKE_PAIRS>{weights.middle_bias, nullptr, nullptr, 0, second, steps}
        );
        last_layer(weights.last, sizes.tiles_out, steps, second, groups, columns, apart);
        scatter(columns, apart, call.channels_out, grid, at, count, target);
    }
}

inline int64_t forward_room(const Call& call, const Sizes& sizes) {
    const int64_t most = GROUPS_AT_ONCE;
    const int64_t tiles = sizes.steps_in * 2 + most * 2 * (sizes.steps_in + 2 * sizes.steps_hidden);
    return tiles * TILE + (1024 + 32 + sizes.tiles_out * 16 * column_stride(most)) * sizeof(float);
}

inline void forward(const Call& call, float* out) {
    Arena& arena = Arena::own();
    arena.restart();
    const Grid grid(call.rank, call.size, call.images, arena);
    const Sizes sizes(call, grid);
    const Weights weights(call, sizes, arena);
    const Split split(grid, call.threads);
    const Total total(out, call.channels_out, grid, split, arena);
    const int64_t room = divide_up(forward_room(call, sizes), 64) * 64;
    uint8_t* rooms = arena.take(room * split.parts);
    for_each_part(split, [&](int64_t part) {
        const int64_t begin = split.begin(part), end = std::min(split.begin(part + 1), grid.positions);
        fill_edge_bias(call, grid, begin, end, out);
        forward_part(call, grid, sizes, weights, begin, end, rooms + part * room, total.target(part));
    });
    for_each_part(split, [&](int64_t part) { total.collect(part); });
}

}  // namespace secondread
