// The backward pass: hidden layers once more, their gradients, and the weights' gradients block by block.
//
// Groups of positions go through the layers as in the forward pass, and leave their rows in a block of
// positions. A block's rows then make the weights' gradients: products whose contraction is over positions.
#pragma once

#include "gradients.h"

namespace secondread {

/// The weights that gradients go back through, as row tiles.
struct BackWeights {
    uint8_t *last, *middle, *first;

    BackWeights(const Call& call, const Sizes& sizes, bool to_input, Arena& arena) {
        last = arena.take(sizes.tiles_hidden * sizes.steps_out * TILE);
        middle = arena.take(sizes.tiles_hidden * sizes.steps_hidden * TILE);
        first = to_input ? arena.take(sizes.tiles_back * sizes.steps_hidden * TILE) : nullptr;
        pack_transposed(call.last, sizes.columns, call.width, call.width, last);
        pack_transposed(call.middle, call.width, call.width, call.width, middle);
        if (to_input) pack_transposed(call.first, call.width, sizes.gathered, sizes.inputs, first);
    }
};

/// What one thread works in.
struct Room {
    uint8_t *given, *coming, *first, *second, *slope, *first_slope;  // rows of a block
    uint8_t *given_pairs, *coming_pairs, *first_pairs, *slope_pairs;  // of the groups at hand
    uint8_t* turned;
    float *sums, *columns;

    Room(const Sizes& sizes, int64_t most, int64_t depth, Arena& arena) {
        const int64_t hidden = sizes.tiles_hidden * depth * TILE;
        given = arena.take_zeros(sizes.steps_in * 2 * depth * TILE);
        coming = arena.take_zeros(sizes.steps_out * 2 * depth * TILE);
        first = arena.take(hidden), second = arena.take(hidden);
        slope = arena.take(hidden), first_slope = arena.take(hidden);
        given_pairs = arena.take(most * 2 * sizes.steps_in * TILE);
        coming_pairs = arena.take(most * 2 * sizes.steps_out * TILE);
        first_pairs = arena.take(most * 2 * sizes.steps_hidden * TILE);
        slope_pairs = arena.take(most * 2 * sizes.steps_hidden * TILE);
        turned = arena.take(hidden);
        sums = arena.take<float>(1024);
        columns = arena.take<float>(sizes.tiles_back * 16 * column_stride(most) + 32) + 16;
    }
};

constexpr int64_t DEPTH = 8;  // groups in a block

/// Groups that go through the layers together: wide layers' weights would come from far away too often.
inline int64_t groups_together(int64_t width) { return width <= 256 ? 2 : DEPTH; }

inline void backward_part(
    const Call& call, const float* gradient, const Grid& grid, const Sizes& sizes, const Weights& weights,
    const BackWeights& back, int64_t begin, int64_t end, const Room& room, const Sums& found,
    const Target* target
) {
    const int64_t most = groups_together(call.width), columns_apart = column_stride(most);
    const int64_t apart = DEPTH * TILE, hidden = sizes.tiles_hidden, steps = sizes.steps_hidden;
    TileScope tiles;
    for (int64_t block = begin; block < end; block += DEPTH * GROUP) {
        const int64_t block_end = std::min(end, block + DEPTH * GROUP);
        for (int64_t at = block; at < block_end; at += most * GROUP) {
            const int64_t count = std::min(block_end - at, most * GROUP), groups = divide_up(count, GROUP);
            const int64_t place = (at - block) / GROUP * TILE;
            for (int64_t group = 0; group < groups; ++group) {
                const int64_t start = at + group * GROUP, its = place + group * TILE;
                gather(call.x, call.channels_in, grid, start, call.border, true, room.given + its, apart);
                gather(gradient, call.channels_out, grid, start, false, false, room.coming + its, apart);
                uint8_t* given_pairs = room.given_pairs + group * 2 * sizes.steps_in * TILE;
                uint8_t* coming_pairs = room.coming_pairs + group * 2 * sizes.steps_out * TILE;
                rows_to_pairs(room.given + its, apart, sizes.steps_in, given_pairs);
                rows_to_pairs(room.coming + its, apart, sizes.steps_out, coming_pairs);
            }
            settle();
            hidden_layer(
                weights.first, hidden, sizes.steps_in, room.given_pairs, groups, room.sums,
                Keep<KEEP_ROWS | MAKE_PAIRS>{
                    nullptr, nullptr, room.first + place, apart, room.first_pairs, steps
                }
            );
            hidden_layer(
                weights.middle, hidden, steps, room.first_pairs, groups, room.sums,
                Keep<ADD_BIAS | KEEP_ROWS>{
                    weights.middle_bias, nullptr, room.second + place, apart, nullptr, steps
                }
            );
            hidden_layer(
                back.last, hidden, sizes.steps_out, room.coming_pairs, groups, room.sums,
                Keep<MASK | KEEP_ROWS | MAKE_PAIRS>{
                    nullptr, room.second + place, room.slope + place, apart, room.slope_pairs, steps
                }
            );
            hidden_layer(
                back.middle, hidden, steps, room.slope_pairs, groups, room.sums,
                Keep<MASK | KEEP_ROWS | MAKE_PAIRS>{
                    nullptr, room.first + place, room.first_slope + place, apart, room.first_pairs, steps
                }
            );
            if (target) {
                last_layer(
                    back.first, sizes.tiles_back, steps, room.first_pairs, groups, room.columns, columns_apart
                );
                scatter(room.columns, columns_apart, call.channels_in, grid, at, count, *target);
            }
        }
        const int64_t depth = divide_up(block_end - block, GROUP);
        found.middle.add(room.slope, room.first, depth, apart, room.turned);
        found.last.add(room.coming, room.second, depth, apart, room.turned);
        found.first.add(room.first_slope, room.given, depth, apart, room.turned);
        add_row_sums(room.slope, call.width, depth, apart, found.middle_bias);
    }
    add_edge_sums(call, gradient, grid, begin, end, found.edge);
}

inline void backward(const Call& call, const float* gradient, const Gradients& gradients) {
    Arena& arena = Arena::own();
    arena.restart();
    const Grid grid(call.rank, call.size, call.images, arena);
    const Sizes sizes(call, grid);
    const Weights weights(call, sizes, arena);
    const BackWeights back(call, sizes, gradients.x != nullptr, arena);
    const Split split(grid, call.threads);
    const Total total(gradients.x, gradients.x ? call.channels_in : 0, grid, split, arena);
    std::vector<Room> rooms;
    std::vector<Sums> found;
    for (int64_t part = 0; part < split.parts; ++part) {
        rooms.emplace_back(sizes, groups_together(call.width), DEPTH, arena);
        found.emplace_back(call, sizes, grid, arena);
    }
    for_each_part(split, [&](int64_t part) {
        const int64_t begin = split.begin(part), end = std::min(split.begin(part + 1), grid.positions);
        for (int64_t channel = 0; gradients.x && channel < call.channels_in; ++channel) {
            std::memset(gradients.x + channel * grid.positions + begin, 0, (end - begin) * sizeof(float));
        }
    });
    for_each_part(split, [&](int64_t part) {
        const int64_t begin = split.begin(part), end = std::min(split.begin(part + 1), grid.positions);
        const Target target = gradients.x ? total.target(part) : Target{};
        backward_part(
            call, gradient, grid, sizes, weights, back, begin, end, rooms[part], found[part],
            gradients.x ? &target : nullptr
        );
    });
    for_each_part(split, [&](int64_t part) { total.collect(part); });
    for (int64_t part = 1; part < split.parts; ++part) found[0].take_in(found[part]);
    found[0].write(call, sizes, grid, gradients);
}

}  // namespace secondread
