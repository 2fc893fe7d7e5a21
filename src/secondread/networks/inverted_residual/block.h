// An inverted residual block: the expanded map stays in the cache, a few lines of a group of channels at a time.
#pragma once

#include <omp.h>

#include "depthwise.h"

namespace secondread {

constexpr int64_t POSITIONS = 256;  // of which unfinished sums are kept

/// Zeros along an axis by which stride s gives ceil(length / s) values: the larger half lies behind.
struct Axis {
    int64_t length, kernel, stride;
    int64_t out() const { return divide_up(length, stride); }
    int64_t needed() const { return std::max((out() - 1) * stride + kernel, length); }
    int64_t before() const { return (needed() - length) / 2; }
};

/// As `packed.py` writes it. Channels: `in` to `width` by a dense convolution with ReLU6 (none: width = in), filtered
/// by channel with ReLU6, to `out` by a product, and x on top where there is a shortcut. Weights of products are
/// `[groups][kernel][kernel · in][vectors]`, that by channel `[vectors][kernel²][LANES]`; biases are whole vectors.
struct Block {
    int64_t in, width, out, expand_kernel, expand_stride, kernel, stride, shortcut;
    const float *expand, *expand_bias, *depthwise, *depthwise_bias, *project, *project_bias;

    int64_t taps() const { return expand_kernel * in; }
    int64_t steps() const { return expand_kernel * taps(); }
    /// Of products that follow those of a group of expanded channels.
    Ahead weights_after(const Groups& groups, int64_t number) const {
        const int64_t next = number + 1;
        if (next == groups.count) return {project, WIDEST * LANES * std::min(width, AT_ONCE)};
        if (expand == nullptr) return {project, 0};
        return {expand + groups[next].first * steps() * LANES, groups[next].wide * steps() * LANES};
    }
};

/// A block on maps of one size: x `[rows][columns][in]`, which becomes `[down][across][width]`.
struct Sized {
    const Block& block;
    Axis rows, columns, down, across;

    Sized(const Block& block, int64_t rows, int64_t columns)
        : block(block), rows{rows, block.expand_kernel, block.expand_stride},
          columns{columns, block.expand_kernel, block.expand_stride},
          down{this->rows.out(), block.kernel, block.stride}, across{this->columns.out(), block.kernel, block.stride} {}
    /// Of x with the zeros that its convolution asks for.
    bool is_padded() const { return block.expand_kernel > 1; }
    int64_t row() const { return columns.needed() * block.in; }
    int64_t image() const { return rows.needed() * row(); }
    int64_t line() const { return across.needed() * LANES; }
    /// Numbers in the lines of a group, and a line of zeros.
    int64_t ring() const { return (WIDEST * block.kernel + 1) * line(); }
    /// Numbers in the map between convolution by channel and projection, of so many rows.
    int64_t between(int64_t rows) const { return vectors_of(block.width) * rows * across.out() * LANES; }
};

/// A row of the expanded map, of rows of x `row` from one another, to lines of the group's vectors, `apart` from one
/// another.
template <int Wide>
inline void expand_row(
    const Block& block, Group group, const float* x, int64_t row, int64_t columns, float* to, int64_t apart
) {
    const float* weight = block.expand + group.first * block.steps() * LANES;
    const int64_t step = block.expand_stride * block.in, taps = block.taps();
    for_each_halved<ROWS_OF<Wide>>(columns, [&](int64_t column, auto constant) {
        constexpr int Rows = decltype(constant)::value;
        Sums<Rows, Wide> sums;
        begin_sums<Rows, Wide>(block.expand_bias + group.first * LANES, sums);
        for (int64_t at = 0; at < block.expand_kernel; ++at) {
            const float* with = weight + at * taps * Wide * LANES;
            accumulate<Rows, Wide>(x + at * row + column * step, step, 1, with, Wide * LANES, taps, sums);
        }
#pragma GCC unroll 32
        for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 8
            for (int wide = 0; wide < Wide; ++wide) {
                store(to + wide * apart + (column + row) * LANES, cut_off(sums[row][wide]));
            }
        }
    });
}

/// The same without expansion.
inline void copy_row(const Block& block, Group group, const float* x, int64_t columns, float* to, int64_t apart) {
    for (int64_t wide = 0; wide < group.wide; ++wide, to += apart) {
        const int64_t first = (group.first + wide) * LANES, known = block.in - first;
        const float* from = x + first;
        if (known >= LANES) {
            for (int64_t at = 0; at < columns; ++at) store(to + at * LANES, load(from + at * block.in));
        } else {
            for (int64_t at = 0; at < columns; ++at) store(to + at * LANES, load_some(from + at * block.in, known));
        }
    }
}

/// Zeros in place of what is no channel, in vectors of which so many are: there, 0 · ∞ was no number.
inline void clear_behind(int64_t known, int64_t columns, float* vectors) {
    for (int64_t at = 0; at < columns && known < LANES; ++at) {
        for (int64_t lane = known; lane < LANES; ++lane) vectors[at * LANES + lane] = 0;
    }
}

/// Rows `begin` to `end` of a group's map by channel, of an image of x, to `[vectors][.., LANES]`,
/// vectors `apart` from one another. The ring has zeros beside its lines.
inline void expand_and_convolve(
    const Sized& sized, const Groups& groups, int64_t number, const float* x, int64_t begin, int64_t end, float* ring, float* to,
    int64_t apart
) {
    const Block& block = sized.block;
    const Group group = groups[number];
    const Ahead ahead = block.weights_after(groups, number);
    const int64_t kernel = block.kernel, line = sized.line(), rows = sized.down.length;
    const int64_t columns = sized.across.length, across = sized.across.out();
    const float* zeros = ring + WIDEST * kernel * line;
    int64_t next = std::max<int64_t>(0, begin * block.stride - sized.down.before());
    for (int64_t row = begin; row < end; ++row) {
        const int64_t first = row * block.stride - sized.down.before();
        for (; next < std::min(rows, first + kernel); ++next) {
            float* place = ring + next % kernel * line + sized.across.before() * LANES;
            const float* from = x + next * block.expand_stride * sized.row();
            ahead.fetch(next, rows);
            if (block.expand == nullptr) {
                copy_row(block, group, from, columns, place, kernel * line);
            } else {
                with_constant<1, WIDEST>(group.wide, [&](auto wide) {
                    expand_row<decltype(wide)::value>(block, group, from, sized.row(), columns, place, kernel * line);
                });
            }
        }
        for (int64_t wide = 0; wide < group.wide; ++wide) {
            const float* lines[5];
            for (int64_t at = 0; at < kernel; ++at) {
                const int64_t source = first + at;
                const bool known = source >= 0 && source < rows;
                lines[at] = known ? ring + (wide * kernel + source % kernel) * line : zeros;
            }
            const int64_t vector = group.first + wide;
            float* made = to + vector * apart + (row - begin) * across * LANES;
            convolve_line(
                kernel, block.stride, lines, block.depthwise + vector * kernel * kernel * LANES,
                block.depthwise_bias + vector * LANES, across, made
            );
            clear_behind(block.width - vector * LANES, across, made);
        }
    }
}

/// A group of outputs at some positions of the map between `[vectors][apart / LANES][LANES]`: y `[positions][out]`.
template <int Wide>
inline void project_some(
    const Block& block, Group group, const float* between, int64_t apart, int64_t positions, const float* x,
    float* partial, float* y
) {
    const int64_t vectors = vectors_of(block.width), parts = divide_up(vectors * LANES, AT_ONCE);
    const int64_t first = group.first * LANES, own = block.out - first;
    const float* weight = block.project + group.first * vectors * LANES * LANES;
    for (int64_t part = 0; part < parts; ++part) {
        const int64_t begin = vectors * part / parts, end = vectors * (part + 1) / parts;
        const int64_t count = (end - begin) * LANES * Wide * LANES;
        const Ahead ahead{weight + end * LANES * Wide * LANES, count};
        for_each_halved<ROWS_OF<Wide>>(positions, [&](int64_t position, auto constant) {
            constexpr int Rows = decltype(constant)::value;
            Sums<Rows, Wide> sums;
            float* known = partial + position * Wide * LANES;
            ahead.fetch(position / Rows, positions / Rows);
            if (part) {
                load_sums<Rows, Wide>(known, Wide * LANES, sums);
            } else {
                begin_sums<Rows, Wide>(block.project_bias + first, sums);
            }
            for (int64_t vector = begin; vector < end; ++vector) {
                const float* from = between + vector * apart + position * LANES;
                const float* with = weight + vector * LANES * Wide * LANES;
                accumulate<Rows, Wide>(from, LANES, 1, with, Wide * LANES, LANES, sums);
            }
            if (part + 1 < parts) return store_sums<Rows, Wide>(sums, known, Wide * LANES);
#pragma GCC unroll 32
            for (int row = 0; row < Rows; ++row) {
                const int64_t place = (position + row) * block.out + first;
#pragma GCC unroll 8
                for (int wide = 0; wide < Wide; ++wide) {
                    const int64_t at = place + wide * LANES, some = own - wide * LANES;
                    Vec value = sums[row][wide];
                    if (block.shortcut) value += load_some(x + at, some);
                    store_some(y + at, value, some);
                }
            }
        });
    }
}

inline void project(
    const Block& block, Group group, const float* between, int64_t apart, int64_t positions, const float* x,
    float* partial, float* y
) {
    with_constant<1, WIDEST>(group.wide, [&](auto wide) {
        project_some<decltype(wide)::value>(block, group, between, apart, positions, x, partial, y);
    });
}

constexpr int64_t PARTIAL = POSITIONS * WIDEST * LANES;
constexpr int64_t CLOSE = 1 << 18;  // numbers of the map between of a strip

/// How the work on a block's maps is shared: strips of rows, each by one thread, or an image by all of them.
struct Shares {
    int64_t strips, rows;
    bool together;

    Shares(const Sized& sized, int64_t images, int64_t threads) : together(false) {
        const int64_t out = sized.down.out(), halo = sized.block.kernel - sized.block.stride;
        strips = std::min(divide_up(out, 4), divide_up(sized.between(out), CLOSE));
        if (images * strips < threads) {
            const int64_t wanted = divide_up(threads, images);
            together = sized.down.length < 8 * halo * wanted;
            strips = together ? 1 : wanted;
        }
        rows = divide_up(out, strips);
        strips = divide_up(out, rows);
    }
    /// Numbers that a thread needs.
    int64_t memory(const Sized& sized) const {
        return divide_up(sized.ring() + PARTIAL + sized.between(rows), 16) * 16;
    }
};

/// Images `[images][rows][columns][in]` whose numbers lie apart as a caller has them, of which (x - mean) / deviation of
/// each channel is meant, where these are given.
struct Images {
    const float* x;
    int64_t image, channel, row, column;
    const float *mean, *deviation;
};

/// A row of images `[columns][in]`.
inline void take_row(const Images& from, const float* x, int64_t columns, int64_t in, float* to) {
    constexpr int64_t SOME = 64;
    for (int64_t first = 0; first < columns; first += SOME) {
        const int64_t count = std::min(SOME, columns - first);
        for (int64_t channel = 0; channel < in; ++channel) {
            const float* start = x + channel * from.channel + first * from.column;
            float own[SOME];
            for (int64_t at = 0; at < count; ++at) own[at] = start[at * from.column];
            if (from.mean != nullptr) {
                const float mean = from.mean[channel], deviation = from.deviation[channel];
                for (int64_t at = 0; at < count; ++at) own[at] = (own[at] - mean) / deviation;
            }
            float* end = to + first * in + channel;
            for (int64_t at = 0; at < count; ++at) end[at * in] = own[at];
        }
    }
}

/// Images with zeros around each.
inline void pad(const Sized& sized, int64_t images, const Images& from, float* to) {
    const int64_t in = sized.block.in, above = sized.rows.before(), all = sized.rows.needed();
#pragma omp for schedule(static)
    for (int64_t number = 0; number < images * all; ++number) {
        const int64_t row = number % all - above;
        float* line = to + number * sized.row();
        std::memset(line, 0, sized.row() * sizeof(float));
        if (row < 0 || row >= sized.rows.length) continue;
        const float* x = from.x + number / all * from.image + row * from.row;
        take_row(from, x, sized.columns.length, in, line + sized.columns.before() * in);
    }
}

/// One block on x `[images][rows][columns][in]`, by each of the threads at once, which each have `memory`, `each`
/// numbers from one another. Images have their zeros around them where the block asks for some.
inline void run_block(
    const Sized& sized, const Shares& shares, int64_t images, const float* x, float* memory, int64_t each, float* y
) {
    const Block& block = sized.block;
    const int64_t rows = sized.down.out(), columns = sized.across.out();
    const int64_t from = sized.image(), to = rows * columns * block.out;
    const Groups groups(block.width), outs(block.out);
    float *ring = memory + omp_get_thread_num() * each, *partial = ring + sized.ring();
    std::memset(ring, 0, sized.ring() * sizeof(float));
    if (!shares.together) {
        float* between = partial + PARTIAL;
        const int64_t apart = shares.rows * columns * LANES;
#pragma omp for schedule(static)
        for (int64_t number = 0; number < images * shares.strips; ++number) {
            const int64_t image = number / shares.strips, begin = number % shares.strips * shares.rows;
            const int64_t end = std::min(rows, begin + shares.rows), positions = (end - begin) * columns;
            for (int64_t at = 0; at < groups.count; ++at) {
                expand_and_convolve(sized, groups, at, x + image * from, begin, end, ring, between, apart);
            }
            for (int64_t first = 0; first < positions; first += POSITIONS) {
                const int64_t some = std::min(POSITIONS, positions - first);
                const int64_t place = image * to + (begin * columns + first) * block.out;
                for (int64_t at = 0; at < outs.count; ++at) {
                    const float* start = between + first * LANES;
                    project(block, outs[at], start, apart, some, x + place, partial, y + place);
                }
            }
        }
        return;
    }
    float* between = memory + sized.ring() + PARTIAL;
    const int64_t positions = rows * columns, apart = positions * LANES, cuts = divide_up(positions, POSITIONS);
    for (int64_t image = 0; image < images; ++image) {
#pragma omp for schedule(static)
        for (int64_t at = 0; at < groups.count; ++at) {
            expand_and_convolve(sized, groups, at, x + image * from, 0, rows, ring, between, apart);
        }
#pragma omp for schedule(static)
        for (int64_t number = 0; number < cuts * outs.count; ++number) {
            const int64_t first = number / outs.count * POSITIONS;
            const int64_t some = std::min(POSITIONS, positions - first);
            const int64_t place = image * to + first * block.out;
            const float* start = between + first * LANES;
            project(block, outs[number % outs.count], start, apart, some, x + place, partial, y + place);
        }
    }
}

}  // namespace secondread
