// Channels in groups of vectors: the columns of products, whose sums stay in registers.
#pragma once

#include <algorithm>

#include "product.h"

namespace secondread {

constexpr int WIDEST = LANES == 4 ? 4 : 3;  // vectors of a group
constexpr int SUMS = LANES == 8 ? 12 : 24;  // vectors of sums, of 16 and of 32 registers
constexpr int64_t AT_ONCE = 192;  // steps of a product, whose weights then stay close

template <int Wide>
constexpr int ROWS_OF = SUMS / Wide;

/// Vectors that hold so many channels.
inline int64_t vectors_of(int64_t channels) { return divide_up(channels, LANES); }

/// A group of channels: its first vector, and how many.
struct Group {
    int64_t first, wide;
};

/// How so many channels are cut into groups of nearly equal width.
struct Groups {
    int64_t vectors, count;

    explicit Groups(int64_t channels) : vectors(vectors_of(channels)), count(divide_up(vectors, WIDEST)) {}
    Group operator[](int64_t number) const {
        const int64_t first = vectors * number / count;
        return {first, vectors * (number + 1) / count - first};
    }
};

/// Calls `work(first row, constant count)` for panels of Most rows, and of halves of that for what is left.
template <int Most, class Work>
inline void for_each_halved(int64_t rows, const Work& work, int64_t first = 0) {
    for (; first + Most <= rows; first += Most) work(first, std::integral_constant<int, Most>{});
    if constexpr (Most > 1) {
        if (first < rows) for_each_halved<Most / 2>(rows, work, first);
    }
}

/// Sums that begin with a bias `[Wide vectors]`.
template <int Rows, int Wide>
inline void begin_sums(const float* bias, Sums<Rows, Wide>& sums) {
#pragma GCC unroll 32
    for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 8
        for (int wide = 0; wide < Wide; ++wide) sums[row][wide] = load(bias + wide * LANES);
    }
}

/// Numbers that are fetched from memory while others are worked on: weights, each of which an image needs once.
struct Ahead {
    const float* from;
    int64_t count;

    /// One of so many parts.
    void fetch(int64_t part, int64_t parts) const {
        const float* end = from + count * (part + 1) / parts;
        for (const float* at = from + count * part / parts; at < end; at += 16) __builtin_prefetch(at, 0, 2);
    }
};

/// The first `count` lanes.
inline void store_some(float* to, Vec value, int64_t count) {
    if (count >= LANES) return store(to, value);
    float lanes[LANES];
    store(lanes, value);
    std::memcpy(to, lanes, std::max<int64_t>(0, count) * sizeof(float));
}

inline Vec load_some(const float* from, int64_t count) {
    if (count >= LANES) return load(from);
    float lanes[LANES] = {};
    std::memcpy(lanes, from, std::max<int64_t>(0, count) * sizeof(float));
    return load(lanes);
}

}  // namespace secondread
