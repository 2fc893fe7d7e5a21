// Linear interpolation of a channels-last map to a size, and tanh.
#pragma once

#include "transposed.h"

namespace secondread {

/// The two positions that one between them lies beside, and how much each counts.
struct Between {
    int64_t first, second;
    float own, other;
};

/// Of `length` positions along an axis of `known`, whose cells are spread alike and begin at the same edge.
inline void find_between(int64_t known, int64_t length, Between* to) {
    const float step = static_cast<float>(known) / static_cast<float>(length);
    for (int64_t at = 0; at < length; ++at) {
        const float place = std::max(0.0f, (at + 0.5f) * step - 0.5f);
        const int64_t first = std::min(static_cast<int64_t>(place), known - 1);
        const float other = std::min(place - first, 1.0f);
        to[at] = {first, std::min(first + 1, known - 1), 1 - other, other};
    }
}

/// Numbers of memory that a thread needs.
inline int64_t interpolation_line(int64_t columns, int64_t channels) {
    return divide_up(columns * channels, 16) * 16 + 16;
}

/// Images x `[images][rows][columns][channels]` to tanh of what lies between, y `[images][down][across][channels]`; by
/// each of the threads at once, which each have `memory`, `each` numbers from one another.
inline void interpolate(
    const Between* downs, const Between* acrosses, int64_t images, int64_t rows, int64_t columns, int64_t channels,
    int64_t down, int64_t across, const float* x, float* memory, int64_t each, float* y
) {
    const int64_t length = columns * channels;
    float* line = memory + omp_get_thread_num() * each;
#pragma omp for schedule(static)
    for (int64_t number = 0; number < images * down; ++number) {
        const Between row = downs[number % down];
        const float* image = x + number / down * rows * length;
        const float *above = image + row.first * length, *below = image + row.second * length;
        for (int64_t at = 0; at < length; at += LANES) {
            const int64_t count = length - at;
            const Vec first = load_some(above + at, count), second = load_some(below + at, count);
            store_some(line + at, all(row.own) * first + all(row.other) * second, count);
        }
        float* to = y + number * across * channels;
        if (channels == 1) {
            for (int64_t at = 0; at < across; ++at) {
                to[at] = acrosses[at].own * line[acrosses[at].first] + acrosses[at].other * line[acrosses[at].second];
            }
        } else {
            for (int64_t at = 0; at < across; ++at) {
                const Between& column = acrosses[at];
                const float *left = line + column.first * channels, *right = line + column.second * channels;
                for (int64_t channel = 0; channel < channels; ++channel) {
                    to[at * channels + channel] = column.own * left[channel] + column.other * right[channel];
                }
            }
        }
        take_tanh(to, across * channels);
    }
}

}  // namespace secondread
