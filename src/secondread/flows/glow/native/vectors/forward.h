// The forward pass: a stretch of positions at a time goes through all layers within the cache.
#pragma once

#include "neighbours.h"

namespace secondread {

/// The weights in the order in which layers use them, and gains and biases of padded length.
struct Weights {
    Left first, middle, last;
    const float *first_bias, *first_gain, *middle_bias, *middle_gain;

    Weights(const Call& call, const Sizes& sizes, Arena& arena)
        : first(left_of(call.first, sizes.width, sizes.gathered, sizes.gathered, 1, false, arena)),
          middle(left_of(call.middle, sizes.width, sizes.width, sizes.width, 1, false, arena)),
          last(left_of(call.last, sizes.columns, sizes.width, sizes.width, 1, false, arena)),
          first_bias(extended(call.first_bias, sizes.width, arena)),
          first_gain(extended(call.first_gain, sizes.width, arena)),
          middle_bias(extended(call.middle_bias, sizes.width, arena)),
          middle_gain(extended(call.middle_gain, sizes.width, arena)) {}

  private:
    static const float* extended(const float* from, int64_t count, Arena& arena) {
        float* to = arena.take_zeros<float>(padded(count));
        std::memcpy(to, from, count * sizeof(float));
        return to;
    }
};

/// What bias and border channel add to an output, for the positions of one part.
inline void fill_edge_bias(const Call& call, const Grid& grid, int64_t begin, int64_t end, float* out) {
    for (int64_t channel = 0; channel < call.channels_out; ++channel) {
        const float* border = call.border ? call.border + channel * grid.taps : nullptr;
        float* plane = out + channel * grid.positions;
        const float gain = call.last_gain[channel], bias = call.last_bias[channel];
        for (int64_t at = begin; at < end; ++at) {
            float sum = bias;
            const uint8_t touched = border ? grid.touched[at % grid.per_image] : 0;
            for (int64_t tap = 0; touched && tap < grid.taps; ++tap) {
                if (touched & grid.faces[tap]) sum += border[tap];
            }
            plane[at] = sum * gain;
        }
    }
}

/// Columns of one channel at a time: float32, `apart` numbers from row to row, with a margin.
struct Columns {
    int64_t apart;
    float* numbers;

    Columns(const Grid& grid, int64_t groups, Arena& arena)
        : apart(groups * SPAN + 2 * LANES), numbers(arena.take<float>(grid.taps * apart + 2 * LANES) + LANES) {}
};

/// left `[channels * taps]` times values, each channel times its gain where there is one, added to the neighbours
/// of `count` positions from `at` on.
inline void last_layer(
    const Left& left, const Values& values, const float* gain, int64_t channels, const Grid& grid, int64_t at,
    int64_t count, const Columns& columns, float* partial, const Target& target
) {
    const int64_t groups = divide_up(count, SPAN);
    alignas(64) char room[sizeof(Stretch) * 64];
    Stretch* stretches = (Stretch*)room;
    for (int64_t group = 0; group < groups; ++group) new (stretches + group) Stretch(grid, at + group * SPAN);
    for (int64_t channel = 0; channel < channels; ++channel) {
        const Vec factor = all(gain ? gain[channel] : 1);
        const Left own = left.part(channel * grid.taps, grid.taps);
        product<1>(own, values.lanes, groups, partial, [&](int64_t group, int64_t row, auto& sums) {
            constexpr int Rows = std::extent<std::remove_reference_t<decltype(sums)>, 0>::value;
#pragma GCC unroll 16
            for (int each = 0; each < Rows; ++each) {
#pragma GCC unroll 4
                for (int wide = 0; wide < WIDE; ++wide) sums[each][wide] *= factor;
            }
            store_sums<Rows>(sums, columns.numbers + row * columns.apart + group * SPAN, columns.apart);
        });
        float* plane = target.planes + channel * target.stride - target.origin;
        const float* end = target.planes + channels * target.stride;
        scatter(columns.numbers, columns.apart, grid, stretches, at, count, plane, target.planes, end);
    }
}

/// What one thread works in.
struct ForwardRoom {
    Values given, first, second;
    Columns columns;
    float* partial;

    ForwardRoom(const Sizes& sizes, const Grid& grid, Arena& arena)
        : given(sizes.gathered, GROUP / SPAN, false, arena), first(sizes.width, GROUP / SPAN, false, arena),
          second(sizes.width, GROUP / SPAN, false, arena), columns(grid, GROUP / SPAN, arena),
          partial(arena.take<float>(GROUP * padded(std::max(sizes.width, grid.taps)))) {}
};

inline void forward_part(
    const Call& call, const Grid& grid, const Weights& weights, int64_t begin, int64_t end,
    const ForwardRoom& room, const Target& target
) {
    for (int64_t at = begin; at < end; at += GROUP) {
        const int64_t count = std::min(end - at, GROUP), groups = divide_up(count, SPAN);
        for (int64_t group = 0; group < groups; ++group) {
            const bool border = call.border != nullptr;
            gather(call.x, call.channels_in, nullptr, grid, at + group * SPAN, border, room.given, group);
        }
        hidden_layer(
            weights.first, room.given, weights.first_bias, weights.first_gain, groups, room.partial, room.first
        );
        hidden_layer(
            weights.middle, room.first, weights.middle_bias, weights.middle_gain, groups, room.partial,
            room.second
        );
        last_layer(
            weights.last, room.second, call.last_gain, call.channels_out, grid, at, count, room.columns,
            room.partial, target
        );
    }
}

inline void forward(const Call& call, float* out) {
    Arena& arena = Arena::own();
    arena.restart();
    const Grid grid(call.rank, call.size, call.images, arena);
    const Sizes sizes(call, grid);
    const Weights weights(call, sizes, arena);
    const Split split(grid, call.threads);
    const Total total(out, call.channels_out, grid, split, arena);
    std::vector<ForwardRoom> rooms;
    for (int64_t part = 0; part < split.parts; ++part) {
        rooms.emplace_back(sizes, grid, arena);
    }
    for_each_part(split, [&](int64_t part) {
        const int64_t begin = split.begin(part), end = std::min(split.begin(part + 1), grid.positions);
        fill_edge_bias(call, grid, begin, end, out);
        forward_part(call, grid, weights, begin, end, rooms[part], total.target(part));
    });
    for_each_part(split, [&](int64_t part) { total.collect(part); });
}

}  // namespace secondread
