// Matrix products whose sums stay in registers: weights on the left, values of a block of positions on the right.
#pragma once

#include <algorithm>
#include <type_traits>

#include "vectors.h"

namespace secondread {

/// Sums of rows by Wide vectors; WIDE of them are SPAN.
template <int Rows, int Wide = WIDE>
using Sums = Vec[Rows][Wide];

/// Adds left `[Rows][steps]` times right `[steps][Wide vectors]`, whose steps lie `right_apart` from one another.
template <int Rows, int Wide = WIDE>
inline void accumulate(
    const float* left, int64_t row_apart, int64_t step_apart, const float* right, int64_t right_apart,
    int64_t steps, Sums<Rows, Wide>& sums
) {
    for (int64_t step = 0; step < steps; ++step, left += step_apart, right += right_apart) {
        Vec with[Wide];
#pragma GCC unroll 8
        for (int wide = 0; wide < Wide; ++wide) with[wide] = load(right + wide * LANES);
#pragma GCC unroll 32
        for (int row = 0; row < Rows; ++row) {
            const Vec one = all(left[row * row_apart]);
#pragma GCC unroll 8
            for (int wide = 0; wide < Wide; ++wide) sums[row][wide] = dot(sums[row][wide], one, with[wide]);
        }
    }
}

template <int Rows>
inline void clear(Sums<Rows>& sums) {
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 8
        for (int wide = 0; wide < WIDE; ++wide) sums[row][wide] = Vec{};
    }
}

template <int Rows, int Wide = WIDE>
inline void load_sums(const float* from, int64_t apart, Sums<Rows, Wide>& sums) {
#pragma GCC unroll 32
    for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 8
        for (int wide = 0; wide < Wide; ++wide) sums[row][wide] = load(from + row * apart + wide * LANES);
    }
}

template <int Rows, int Wide = WIDE>
inline void store_sums(const Sums<Rows, Wide>& sums, float* to, int64_t apart) {
#pragma GCC unroll 32
    for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 8
        for (int wide = 0; wide < Wide; ++wide) store(to + row * apart + wide * LANES, sums[row][wide]);
    }
}

/// Calls `work` with the constant that `rows` is, at most Rows.
template <int Unit, int Rows = ROWS, class Work>
inline void with_constant(int64_t rows, const Work& work) {
    if constexpr (Rows > 0) {
        if (rows == Rows) return work(std::integral_constant<int, Rows>{});
        with_constant<Unit, Rows - Unit>(rows, work);
    }
}

/// Calls `work(first row, constant count)` for panels of rows of nearly equal size, multiples of Unit and at most
/// Most.
template <int Unit, int Most = ROWS, class Work>
inline void for_each_panel(int64_t rows, const Work& work) {
    const int64_t units = rows / Unit, panels = divide_up(rows, Most);
    for (int64_t panel = 0; panel < panels; ++panel) {
        const int64_t begin = units * panel / panels * Unit, end = units * (panel + 1) / panels * Unit;
        with_constant<Unit, Most>(end - begin, [&](auto count) { work(begin, count); });
    }
}

/// The left operand: lane (row, step) lies at row * row_apart + step * step_apart.
struct Left {
    const float* lanes;
    int64_t rows, steps, row_apart, step_apart;

    Left part(int64_t row, int64_t count) const {
        return {lanes + row * row_apart, count, steps, row_apart, step_apart};
    }
};

constexpr int64_t CHUNK = 128;  // steps of a product after which it begins anew, so that operands stay close

/// left times right `[groups][steps][SPAN]`; `keep(group, row, sums)` takes every tile of sums. `partial` has
/// room for `[groups][rows][SPAN]` where there are more than CHUNK steps. Tiles
/// have a multiple of Unit rows, as `left` has.
template <int Unit, class Keep>
inline void product(const Left& left, const float* right, int64_t groups, float* partial, const Keep& keep) {
    for (int64_t begin = 0; begin < left.steps; begin += CHUNK) {
        const int64_t end = std::min(left.steps, begin + CHUNK);
        for_each_panel<Unit>(left.rows, [&](int64_t row, auto constant) {
            constexpr int Rows = decltype(constant)::value;
            const float* panel = left.lanes + row * left.row_apart + begin * left.step_apart;
            for (int64_t group = 0; group < groups; ++group) {
                float* known = partial + (group * left.rows + row) * SPAN;
                Sums<Rows> sums;
                if (begin) {
                    load_sums<Rows>(known, SPAN, sums);
                } else {
                    clear<Rows>(sums);
                }
                const float* from = right + (group * left.steps + begin) * SPAN;
                accumulate<Rows>(panel, left.row_apart, left.step_apart, from, SPAN, end - begin, sums);
                if (end < left.steps) {
                    store_sums<Rows>(sums, known, SPAN);
                } else {
                    keep(group, row, sums);
                }
            }
        });
    }
}

}  // namespace secondread
