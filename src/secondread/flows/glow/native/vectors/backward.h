// The backward pass: hidden layers once more, what comes back through them, and the weights' gradients.
#pragma once

#include "forward.h"
#include "gradients.h"

namespace secondread {

constexpr int64_t DEPTH = 128;  // positions of a block, whose values make the weights' gradients together
constexpr int64_t FEW = 256;  // positions for which transposing weights would cost more than it saves

/// The weights that gradients go back through.
struct BackWeights {
    Left last, middle, first;

    BackWeights(const Call& call, const Sizes& sizes, const Grid& grid, Arena& arena)
        : last(left_of(call.last, sizes.width, sizes.columns, 1, sizes.width, grid.positions > FEW, arena)),
          middle(left_of(call.middle, sizes.width, sizes.width, 1, sizes.width, grid.positions > FEW, arena)),
          first(left_of(call.first, sizes.inputs, sizes.width, 1, sizes.gathered, grid.positions > FEW, arena)) {}
};

/// What one thread works in.
struct BackRoom {
    Values given, coming, first, second, slope, first_slope;
    Columns columns;
    float *partial, *turned;

    BackRoom(const Sizes& sizes, const Grid& grid, int64_t groups, Arena& arena)
        : given(sizes.gathered, groups, true, arena), coming(sizes.columns, groups, true, arena),
          first(sizes.width, groups, true, arena), second(sizes.width, groups, true, arena),
          slope(sizes.width, groups, true, arena), first_slope(sizes.width, groups, true, arena),
          columns(grid, GROUP / SPAN, arena),
          partial(arena.take<float>(GROUP * padded(std::max(sizes.width, grid.taps)))),
          turned(arena.take<float>(
              groups * LENGTH * divide_up(std::max(sizes.width, sizes.gathered), SPAN) * SPAN
          )) {}

    /// Without the first groups.
    BackRoom from(int64_t group) const {
        BackRoom found = *this;
        for (Values* values : {&found.given, &found.coming, &found.first, &found.second, &found.slope,
                               &found.first_slope}) {
            *values = values->from(group);
        }
        return found;
    }
};

/// The layers and what comes back through them, for `count` positions from `at` on.
inline void hidden_back(
    const Call& call, const float* gradient, const Grid& grid, const Weights& weights, const BackWeights& back,
    int64_t at, int64_t count, const BackRoom& room, const Target* target
) {
    const bool border = call.border != nullptr;
    const int64_t groups = divide_up(count, SPAN);
    for (int64_t group = 0; group < groups; ++group) {
        const int64_t start = at + group * SPAN;
        gather(call.x, call.channels_in, nullptr, grid, start, border, room.given, group);
        gather(gradient, call.channels_out, call.last_gain, grid, start, false, room.coming, group);
    }
    hidden_layer(
        weights.first, room.given, weights.first_bias, weights.first_gain, groups, room.partial, room.first
    );
    hidden_layer(
        weights.middle, room.first, weights.middle_bias, weights.middle_gain, groups, room.partial, room.second
    );
    layer_back(back.last, room.coming, weights.middle_gain, room.second, groups, room.partial, room.slope);
    layer_back(back.middle, room.slope, weights.first_gain, room.first, groups, room.partial, room.first_slope);
    if (!target) return;
    last_layer(
        back.first, room.first_slope, nullptr, call.channels_in, grid, at, count, room.columns, room.partial,
        *target
    );
}

inline void backward_part(
    const Call& call, const float* gradient, const Grid& grid, const Sizes& sizes, const Weights& weights,
    const BackWeights& back, int64_t begin, int64_t end, const BackRoom& room, const Gradients& found,
    const Target* target
) {
    for (int64_t at = begin; at < end; at += DEPTH) {
        const int64_t count = std::min(end - at, DEPTH), groups = divide_up(count, SPAN);
        for (int64_t done = 0; done < count; done += GROUP) {
            const int64_t start = at + done, here = std::min(count - done, GROUP);
            hidden_back(call, gradient, grid, weights, back, start, here, room.from(done / SPAN), target);
        }
        const bool first_time = at == begin;
        const int64_t width = call.width;
        turn_rows(room.second, width, groups, room.turned);
        add_products(room.coming, sizes.columns, room.turned, width, groups, first_time, found.last);
        turn_rows(room.first, width, groups, room.turned);
        add_products(room.slope, width, room.turned, width, groups, first_time, found.middle);
        turn_rows(room.given, sizes.gathered, groups, room.turned);
        add_products(
            room.first_slope, width, room.turned, sizes.gathered, groups, first_time, found.first
        );
        add_row_sums(room.first_slope, width, groups, first_time, found.first_bias);
        add_row_sums(room.slope, width, groups, first_time, found.middle_bias);
    }
    edge_sums(call, gradient, grid, begin, end, found.last_bias, found.border);
}

/// Gradients of the weights in memory of a part's own.
inline Gradients own_gradients(const Call& call, const Sizes& sizes, Arena& arena) {
    Gradients made{};
    made.first = arena.take<float>(call.width * sizes.gathered);
    made.first_bias = arena.take<float>(call.width);
    made.middle = arena.take<float>(call.width * call.width);
    made.middle_bias = arena.take<float>(call.width);
    made.last = arena.take<float>(sizes.columns * call.width);
    made.last_bias = arena.take<float>(call.channels_out);
    made.border = arena.take<float>(sizes.columns);
    return made;
}

inline void add_gradients(const Call& call, const Sizes& sizes, const Gradients& from, const Gradients& to) {
    const auto add = [](const float* one, float* sum, int64_t count) {
        for (int64_t at = 0; at < count; ++at) sum[at] += one[at];
    };
    add(from.first, to.first, call.width * sizes.gathered);
    add(from.first_bias, to.first_bias, call.width);
    add(from.middle, to.middle, call.width * call.width);
    add(from.middle_bias, to.middle_bias, call.width);
    add(from.last, to.last, sizes.columns * call.width);
    add(from.last_bias, to.last_bias, call.channels_out);
    if (call.border) add(from.border, to.border, sizes.columns);
}

inline void backward(const Call& call, const float* gradient, const Gradients& gradients) {
    Arena& arena = Arena::own();
    arena.restart();
    const Grid grid(call.rank, call.size, call.images, arena);
    const Sizes sizes(call, grid);
    const Weights weights(call, sizes, arena);
    const BackWeights back(call, sizes, grid, arena);
    const Split split(grid, call.threads);
    const Total total(gradients.x, gradients.x ? call.channels_in : 0, grid, split, arena);
    std::vector<BackRoom> rooms;
    std::vector<Gradients> found;
    for (int64_t part = 0; part < split.parts; ++part) {
        rooms.emplace_back(sizes, grid, divide_up(DEPTH, SPAN), arena);
        found.push_back(part ? own_gradients(call, sizes, arena) : gradients);
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
    for (int64_t part = 1; part < split.parts; ++part) add_gradients(call, sizes, found[part], gradients);
    log_gradients(call, sizes, gradients);
}

}  // namespace secondread
