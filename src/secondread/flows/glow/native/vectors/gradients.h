// Gradients of the weights: products whose contraction is over positions, a block of positions at a time.
#pragma once

#include "neighbours.h"

namespace secondread {

/// Where a backward call puts what it finds, in the shapes of the call's own. x may be null, border as the call's.
struct Gradients {
    float *x, *first, *first_bias, *first_log, *middle, *middle_bias, *middle_log, *last, *last_bias, *last_log,
        *border;
};

/// Rows of values turned so that positions are steps of a right operand: panels of SPAN rows.
inline void turn_rows(const Values& values, int64_t rows, int64_t groups, float* to) {
    for (int64_t panel = 0; panel * SPAN < rows; ++panel) {
        float* start = to + panel * groups * LENGTH * SPAN;
        const int64_t count = std::min(SPAN, rows - panel * SPAN);
        for (int64_t group = 0; group < groups; ++group) {
            float* its = start + group * LENGTH * SPAN;
            turn(values.rows_of(group, panel * SPAN), count, LENGTH, LENGTH, its, SPAN);
        }
    }
}

/// Adds left `[rows, positions]` times the transpose of right `[columns, positions]`, which lies turned, to `to`,
/// row-major `[rows, columns]`; the first time, nothing is there yet.
inline void add_products(
    const Values& left, int64_t rows, const float* turned, int64_t columns, int64_t groups, bool first_time,
    float* to
) {
    for (int64_t column = 0; column < columns; column += SPAN) {
        const int64_t count = std::min(SPAN, columns - column);
        const float* panel = turned + column * groups * LENGTH;
        for_each_panel<1>(rows, [&](int64_t row, auto constant) {
            constexpr int Rows = decltype(constant)::value;
            float* place = to + row * columns + column;
            Sums<Rows> sums;
            clear<Rows>(sums);
            for (int own = 0; own < Rows; ++own) __builtin_prefetch(place + own * columns, 1);
            for (int64_t group = 0; group < groups; ++group) {
                const float* with = panel + group * LENGTH * SPAN;
                accumulate<Rows>(left.rows_of(group, row), LENGTH, 1, with, SPAN, LENGTH, sums);
            }
            alignas(64) float found[ROWS * SPAN];
            const bool whole = count == SPAN;
            if (whole && first_time) return store_sums<Rows>(sums, place, columns);
            if (whole) {
                Sums<Rows> known;
                load_sums<Rows>(place, columns, known);
#pragma GCC unroll 16
                for (int own = 0; own < Rows; ++own) {
#pragma GCC unroll 4
                    for (int wide = 0; wide < WIDE; ++wide) known[own][wide] += sums[own][wide];
                }
                return store_sums<Rows>(known, place, columns);
            }
            store_sums<Rows>(sums, found, SPAN);
            for (int own = 0; own < Rows; ++own) {
                for (int64_t at = 0; at < count; ++at) {
                    float& number = place[own * columns + at];
                    number = first_time ? found[own * SPAN + at] : number + found[own * SPAN + at];
                }
            }
        });
    }
}

/// Adds each row's sum over a block's positions.
inline void add_row_sums(const Values& values, int64_t rows, int64_t groups, bool first_time, float* sums) {
    for (int64_t row = 0; row < rows; ++row) {
        Vec sum{};
        for (int64_t group = 0; group < groups; ++group) {
            const float* from = values.rows_of(group, row);
            for (int64_t lane = 0; lane < LENGTH; lane += LANES) sum = dot(sum, load(from + lane), all(unit()));
        }
        sums[row] = first_time ? sum_of(sum) : sums[row] + sum_of(sum);
    }
}

/// The outputs' gradients summed over positions, and per tap over those positions whose neighbour is outside.
inline void edge_sums(
    const Call& call, const float* gradient, const Grid& grid, int64_t begin, int64_t end, float* bias,
    float* border
) {
    for (int64_t channel = 0; channel < call.channels_out; ++channel) {
        const float* plane = gradient + channel * grid.positions;
        Vec sum{};
        double rest = 0, outside[27] = {};
        int64_t at = begin;
        for (; at + LANES <= end; at += LANES) sum += load(plane + at);
        for (; at < end; ++at) rest += plane[at];
        for (at = begin; call.border && at < end; ++at) {
            const uint8_t touched = grid.touched[at % grid.per_image];
            for (int64_t tap = 0; touched && tap < grid.taps; ++tap) {
                if (touched & grid.faces[tap]) outside[tap] += plane[at];
            }
        }
        bias[channel] = (sum_of(sum) + rest) * call.last_gain[channel];
        for (int64_t tap = 0; call.border && tap < grid.taps; ++tap) {
            border[channel * grid.taps + tap] = outside[tap] * call.last_gain[channel];
        }
    }
}

/// Sum of products of `count` numbers each.
inline float inner(const float* one, const float* other, int64_t count) {
    Vec sums[4] = {};
    int64_t at = 0;
    for (; at + 4 * LANES <= count; at += 4 * LANES) {
#pragma GCC unroll 4
        for (int wide = 0; wide < 4; ++wide) {
            sums[wide] += load(one + at + wide * LANES) * load(other + at + wide * LANES);
        }
    }
    float sum = sum_of((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (; at < count; ++at) sum += one[at] * other[at];
    return sum;
}

constexpr float LOG_SCALE_FACTOR = 3;  // a gain is exp(3 l)

/// Gradients of l: 3 times the sum of each number behind the gain times its own gradient.
inline void log_gradients(const Call& call, const Sizes& sizes, const Gradients& to) {
    for (int64_t row = 0; row < call.width; ++row) {
        const int64_t at = row * sizes.gathered, place = row * call.width;
        const float first = inner(to.first + at, call.first + at, sizes.gathered);
        const float middle = inner(to.middle + place, call.middle + place, call.width);
        to.first_log[row] = LOG_SCALE_FACTOR * (first + to.first_bias[row] * call.first_bias[row]);
        to.middle_log[row] = LOG_SCALE_FACTOR * (middle + to.middle_bias[row] * call.middle_bias[row]);
    }
    const int64_t taps = sizes.columns / call.channels_out, each = taps * call.width;
    for (int64_t channel = 0; channel < call.channels_out; ++channel) {
        float sum = inner(to.last + channel * each, call.last + channel * each, each);
        sum += to.last_bias[channel] * call.last_bias[channel];
        if (call.border) sum += inner(to.border + channel * taps, call.border + channel * taps, taps);
        to.last_log[channel] = LOG_SCALE_FACTOR * sum;
    }
}

}  // namespace secondread
