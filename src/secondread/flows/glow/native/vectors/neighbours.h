// Neighbourhoods gathered to rows, and rows added back to the neighbours.
#pragma once

#include "layers.h"

namespace secondread {

/// Per lane of SPAN positions from `at` on: the faces that each touches, and whether it exists.
struct Stretch {
    Whole faces[WIDE], exists[WIDE];

    Stretch(const Grid& grid, int64_t at) {
        for (int wide = 0; wide < WIDE; ++wide) {
            const int64_t start = at + wide * LANES;
            faces[wide] = Whole{};
            if (start < grid.positions) {
                const Bytes touched = *(const LooseBytes*)(grid.touched + start % grid.per_image);
                faces[wide] = __builtin_convertvector(touched, Whole);
            }
            Whole count{};
            for (int lane = 0; lane < LANES; ++lane) count[lane] = lane;
            exists[wide] = (Whole)(count < static_cast<int32_t>(std::min<int64_t>(LANES, std::max<int64_t>(0, grid.positions - start))));
        }
    }
    Whole inside(int wide, uint8_t needed) const {
        return (Whole)((faces[wide] & static_cast<int32_t>(needed)) == 0) & exists[wide];
    }
};

/// LANES numbers from `from` on, of which those outside [begin, end) are 0.
inline Vec load_within(const float* from, const float* begin, const float* end) {
    if (from >= begin && from + LANES <= end) return load(from);
    alignas(64) float found[LANES] = {};
    for (int lane = 0; lane < LANES; ++lane) {
        if (from + lane >= begin && from + lane < end) found[lane] = from[lane];
    }
    return load(found);
}

inline void add_within(float* to, Vec value, const float* begin, const float* end) {
    if (to >= begin && to + LANES <= end) return store(to, load(to) + value);
    for (int lane = 0; lane < LANES; ++lane) {
        if (to + lane >= begin && to + lane < end) to[lane] += value[lane];
    }
}

/// The neighbourhoods of a group's positions, from `at` on, as rows (channel, tap); with `border` also those of a
/// channel that is 1 beyond the edge. Channel c is multiplied by gain[c] where there is a gain.
inline void gather(
    const float* planes, int64_t channels, const float* gain, const Grid& grid, int64_t at, bool border,
    const Values& to, int64_t group
) {
    const Stretch stretch(grid, at);
    Whole inside[27][WIDE];
    for (int64_t tap = 0; tap < grid.taps; ++tap) {
        for (int wide = 0; wide < WIDE; ++wide) inside[tap][wide] = stretch.inside(wide, grid.faces[tap]);
    }
    const float* end = planes + channels * grid.positions;
    Sums<UNIT> pair;
    int64_t row = 0;
    const auto next = [&](auto value_of) {
        for (int wide = 0; wide < WIDE; ++wide) pair[row % UNIT][wide] = value_of(wide);
        if (++row % UNIT == 0) to.put<false, UNIT>(group, row - UNIT, pair, nullptr);
    };
    for (int64_t channel = 0; channel < channels; ++channel) {
        const float* plane = planes + channel * grid.positions + at;
        const Vec factor = all(gain ? gain[channel] : 1);
        for (int64_t tap = 0; tap < grid.taps; ++tap) {
            const float* from = plane + grid.offset[tap];
            next([&](int wide) {
                return kept(load_within(from + wide * LANES, planes, end), inside[tap][wide]) * factor;
            });
        }
    }
    for (int64_t tap = 0; border && tap < grid.taps; ++tap) {
        next([&](int wide) { return kept(all(1), ~inside[tap][wide] & stretch.exists[wide]); });
    }
    if (row % UNIT) next([&](int) { return Vec{}; });
}

/// Adds one channel's rows (tap) of the columns of `count` positions from `at` on to their neighbours.
///
/// Along the innermost axis three taps are summed before they meet memory. The two ends, whose neighbours on that
/// axis lie outside these positions, follow one by one. Columns have room for a vector on either side.
inline void scatter(
    const float* columns, int64_t apart, const Grid& grid, const Stretch* stretches, int64_t at, int64_t count,
    float* plane, const float* begin, const float* end
) {
    for (int64_t three = 0; three < grid.taps; three += 3) {
        const float* taps = columns + three * apart;
        float* to = plane + at + grid.offset[three + 1];
        const uint8_t faces = grid.faces[three + 1];
        for (int64_t start = 0; start < count; start += LANES) {
            const Stretch& stretch = stretches[start / SPAN];
            const int wide = start % SPAN / LANES;
            const Whole inside = stretch.inside(wide, faces);
            Whole not_last = stretch.inside(wide, faces | LAST), not_first = stretch.inside(wide, faces | FIRST);
            if (start + LANES >= count) not_last[count - 1 - start] = 0;
            if (start == 0) not_first[0] = 0;
            Vec sum = kept(load(taps + start + 1), not_last);
            sum += kept(load(taps + apart + start), inside);
            sum += kept(load(taps + 2 * apart + start - 1), not_first);
            add_within(to + start, sum, begin, end);
        }
        if (grid.has(at, three)) to[-1] += taps[0];
        if (grid.has(at + count - 1, three + 2)) to[count] += taps[2 * apart + count - 1];
    }
}

}  // namespace secondread
