// What a call is about, the values of its layers on a block of positions, and how they are made.
#pragma once

#include "../parts.h"
#include "product.h"

namespace secondread {

/// The network as it is learned, all float32 and row-major: first `[width, channels_in (+ 1 for a border), 3, …]`,
/// middle `[width, width]`, last `[channels_out, 3, …, width]`, border `[channels_out, 3, …]` or null; a bias and
/// a gain per row. x is `[channels_in, N, *S]`.
struct Call {
    int64_t rank, size[3], images, channels_in, channels_out, width, threads;
    const float *x, *first, *first_bias, *first_gain, *middle, *middle_bias, *middle_gain, *last, *last_bias,
        *last_gain, *border;
};

constexpr int UNIT = HALF ? 2 : 1;  // rows that become lanes together

/// Rows of the matrices that a call works with.
struct Sizes {
    int64_t inputs, gathered, columns, width;  // of x's neighbourhoods; with those of the border; of last

    Sizes(const Call& call, const Grid& grid) {
        inputs = call.channels_in * grid.taps;
        gathered = inputs + (call.border ? grid.taps : 0);
        columns = call.channels_out * grid.taps;
        width = call.width;
    }
};

/// Values of a block of positions in groups of SPAN: lanes whose contraction is over rows, `[groups][steps][SPAN]`,
/// and lanes whose contraction is over positions, `[groups][rows][LENGTH]`. In float32 both are the same numbers.
struct Values {
    int64_t count;  // rows, an even number where HALF
    float *lanes, *rows;

    Values(int64_t wanted, int64_t groups, bool with_rows, Arena& arena) : count(padded(wanted)) {
        lanes = arena.take<float>(groups * steps_of(count) * SPAN);
        rows = !HALF ? lanes : with_rows ? arena.take<float>(groups * count * LENGTH) : nullptr;
    }
    /// Without the first groups.
    Values from(int64_t group_at) const {
        Values found = *this;
        found.lanes = group(group_at);
        if (rows) found.rows = rows_of(group_at, 0);
        return found;
    }
    float* group(int64_t at) const { return lanes + at * steps_of(count) * SPAN; }
    float* rows_of(int64_t group, int64_t row) const { return rows + (group * count + row) * LENGTH; }

    /// Rounds Rows rows from `row` on of a group to lanes; with Masked, zero where `where` is not positive.
    template <bool Masked, int Rows>
    void put(int64_t at, int64_t row, const Sums<Rows>& values, const float* where) const {
        float* to = group(at);
#if HALF
#pragma GCC unroll 8
        for (int pair = 0; pair < Rows; pair += 2) {
            const int64_t place = (row + pair) / 2 * SPAN;
#pragma GCC unroll 4
            for (int wide = 0; wide < WIDE; ++wide) {
                const int64_t lane = place + wide * LANES;
                Bits found = (Bits)paired(values[pair][wide], values[pair + 1][wide]);
                if (Masked) found &= (Bits)(Halves)((Halves)load(where + lane) > 0);
                store(to + lane, (Vec)found);
                if (!rows) continue;
                uint16_t* even = (uint16_t*)rows_of(at, row + pair) + wide * LANES;
                uint16_t* odd = (uint16_t*)rows_of(at, row + pair + 1) + wide * LANES;
                *(LooseShorts*)even = __builtin_convertvector(found & 0xffff, Shorts);
                *(LooseShorts*)odd = __builtin_convertvector(found >> 16, Shorts);
            }
        }
#else
#pragma GCC unroll 16
        for (int own = 0; own < Rows; ++own) {
#pragma GCC unroll 4
            for (int wide = 0; wide < WIDE; ++wide) {
                const int64_t lane = (row + own) * SPAN + wide * LANES;
                Vec found = values[own][wide];
                if (Masked) found = kept(found, (Whole)(load(where + lane) > Vec{}));
                store(to + lane, found);
            }
        }
#endif
    }
};

/// to = max((left right + bias) * gain, 0).
inline void hidden_layer(
    const Left& left, const Values& right, const float* bias, const float* gain, int64_t groups,
    float* partial, const Values& to
) {
    product<UNIT>(left, right.lanes, groups, partial, [&](int64_t group, int64_t row, auto& sums) {
        constexpr int Rows = std::extent<std::remove_reference_t<decltype(sums)>, 0>::value;
#pragma GCC unroll 16
        for (int own = 0; own < Rows; ++own) {
            const Vec shift = all(bias[row + own]), factor = all(gain[row + own]);
#pragma GCC unroll 4
            for (int wide = 0; wide < WIDE; ++wide) {
                sums[own][wide] = rectified((sums[own][wide] + shift) * factor);
            }
        }
        to.put<false, Rows>(group, row, sums, nullptr);
    });
}

/// to = left right * gain where the layer's own values are positive, else 0: what comes back through a layer.
inline void layer_back(
    const Left& left, const Values& right, const float* gain, const Values& own_values, int64_t groups,
    float* partial, const Values& to
) {
    product<UNIT>(left, right.lanes, groups, partial, [&](int64_t group, int64_t row, auto& sums) {
        constexpr int Rows = std::extent<std::remove_reference_t<decltype(sums)>, 0>::value;
#pragma GCC unroll 16
        for (int own = 0; own < Rows; ++own) {
            const Vec factor = all(gain[row + own]);
#pragma GCC unroll 4
            for (int wide = 0; wide < WIDE; ++wide) sums[own][wide] *= factor;
        }
        to.put<true, Rows>(group, row, sums, own_values.group(group));
    });
}

/// A float32 matrix whose element (row, column) lies at row * row_apart + column * column_apart, as a left operand.
/// Where pairs have to be made, or `copied` says so, in memory of its own; there is then an even number of rows.
inline Left left_of(
    const float* matrix, int64_t rows, int64_t columns, int64_t row_apart, int64_t column_apart, bool copied,
    Arena& arena
) {
    if (!HALF && !copied) return {matrix, rows, columns, row_apart, column_apart};
    const int64_t steps = steps_of(columns), all_rows = padded(rows);
    float* to = arena.take<float>(all_rows * steps);
    const Left made = {to, all_rows, steps, steps, 1};
#if HALF
    if (all_rows > rows) std::memset(to + rows * steps, 0, steps * sizeof(float));
    const bool along = column_apart == 1;
    // rows, or columns, that lie in memory next to each other go together
    alignas(64) float even[LANES], odd[LANES];
    if (along) {
        alignas(64) float pairs[2 * LANES], turned[2 * LANES];
        for (int64_t row = 0; row < rows; ++row) {
            const float* from = matrix + row * row_apart;
            for (int64_t step = 0; step < steps; step += LANES) {
                const int64_t count = std::min<int64_t>(2 * LANES, columns - 2 * step);
                std::memset(pairs, 0, sizeof(pairs));
                std::memcpy(pairs, from + 2 * step, count * sizeof(float));
                for (int lane = 0; lane < LANES; ++lane) even[lane] = pairs[2 * lane], odd[lane] = pairs[2 * lane + 1];
                store(turned, paired(load(even), load(odd)));
                std::memcpy(to + row * steps + step, turned, std::min<int64_t>(LANES, steps - step) * sizeof(float));
            }
        }
        return made;
    }
    alignas(64) float found[LANES];
    for (int64_t step = 0; step < steps; ++step) {
        const float* from = matrix + 2 * step * column_apart;
        for (int64_t row = 0; row < rows; row += LANES) {
            const int64_t count = std::min<int64_t>(LANES, rows - row);
            std::memset(even, 0, sizeof(even)), std::memset(odd, 0, sizeof(odd));
            std::memcpy(even, from + row, count * sizeof(float));
            if (2 * step + 1 < columns) std::memcpy(odd, from + column_apart + row, count * sizeof(float));
            store(found, paired(load(even), load(odd)));
            for (int64_t lane = 0; lane < count; ++lane) to[(row + lane) * steps + step] = found[lane];
        }
    }
#else
    turn(matrix, columns, rows, column_apart, to, steps);
#endif
    return made;
}

}  // namespace secondread
