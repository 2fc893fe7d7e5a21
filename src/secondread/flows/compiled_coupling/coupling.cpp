// Couplings of a flow on small maps, one after another: a network of two convolutions, the affine change of the
// second half of the channels, and a scale, an offset and a permutation of all of them.

#include <omp.h>

#include "exponential.h"
#include "groups.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace secondread {

/// A convolution of an odd kernel with a border of zeros: weight `[groups][kernel][kernel · in][vectors]`.
struct Convolution {
    int64_t in, out, kernel;
    const float *weight, *bias;

    int64_t width() const { return vectors_of(out) * LANES; }
};

/// As `packed.py` writes it: what comes out at channel c is offset[c] + scale[c] u[from[c]].
struct Coupling {
    int64_t channels, first;
    Convolution hidden, coefficients;
    const float *scale, *offset;
    const int64_t* from;
    float clamp, log_scale;
};

struct Map {
    int64_t rows, columns;
    int64_t positions() const { return rows * columns; }
    int64_t padded(int64_t kernel) const { return (rows + kernel - 1) * (columns + kernel - 1); }
};

/// A map `[positions][..]` whose positions lie `apart`, `in` numbers of each, with a border of zeros; by all threads.
inline void pad(const Map& map, const float* x, int64_t apart, int64_t in, int64_t kernel, float* to) {
    const int64_t border = kernel / 2, columns = map.columns + kernel - 1;
#pragma omp for schedule(static)
    for (int64_t row = 0; row < map.rows + kernel - 1; ++row) {
        float* line = to + row * columns * in;
        std::memset(line, 0, columns * in * sizeof(float));
        if (row < border || row >= map.rows + border) continue;
        for (int64_t column = 0; column < map.columns; ++column) {
            const float* from = x + ((row - border) * map.columns + column) * apart;
            std::memcpy(line + (column + border) * in, from, in * sizeof(float));
        }
    }
}

/// A group of a convolution's outputs, of x with its border and positions `apart`: to `[positions][width]`.
template <int Wide>
inline void convolve_group(
    const Convolution& convolution, Group group, const Map& map, const float* x, int64_t apart, bool relu, float* to
) {
    const int64_t kernel = convolution.kernel, taps = kernel * convolution.in, width = convolution.width();
    const int64_t first = group.first * LANES, pieces = divide_up(taps, AT_ONCE), parts = kernel * pieces;
    const float* weight = convolution.weight + first * kernel * taps;
    for (int64_t part = 0; part < parts; ++part) {
        const int64_t down = part / pieces, piece = part % pieces;
        const int64_t begin = taps * piece / pieces, end = taps * (piece + 1) / pieces;
        const float* with = weight + (down * taps + begin) * Wide * LANES;
        const Ahead ahead{weight + (down * taps + end) * Wide * LANES, (end - begin) * Wide * LANES};
        for (int64_t row = 0; row < map.rows; ++row) {
            const float* line = x + (row + down) * (map.columns + kernel - 1) * apart + begin;
            ahead.fetch(row, map.rows);
            for_each_halved<ROWS_OF<Wide>>(map.columns, [&](int64_t column, auto constant) {
                constexpr int Rows = decltype(constant)::value;
                Sums<Rows, Wide> sums;
                float* place = to + (row * map.columns + column) * width + first;
                if (part) {
                    load_sums<Rows, Wide>(place, width, sums);
                } else {
                    begin_sums<Rows, Wide>(convolution.bias + first, sums);
                }
                accumulate<Rows, Wide>(line + column * apart, apart, 1, with, Wide * LANES, end - begin, sums);
                if (relu && part + 1 == parts) {
#pragma GCC unroll 32
                    for (int at = 0; at < Rows; ++at) {
#pragma GCC unroll 8
                        for (int wide = 0; wide < Wide; ++wide) sums[at][wide] = rectified(sums[at][wide]);
                    }
                }
                store_sums<Rows, Wide>(sums, place, width);
            });
        }
    }
}

/// A convolution by all threads; `padded` has room for x with a border.
inline void convolve(
    const Convolution& convolution, const Map& map, const float* x, int64_t apart, bool relu, float* padded, float* to
) {
    if (convolution.kernel > 1) {
        pad(map, x, apart, convolution.in, convolution.kernel, padded);
        x = padded, apart = convolution.in;
    }
    const Groups groups(convolution.out);
#pragma omp for schedule(static)
    for (int64_t number = 0; number < groups.count; ++number) {
        const Group group = groups[number];
        with_constant<1, WIDEST>(group.wide, [&](auto wide) {
            convolve_group<decltype(wide)::value>(convolution, group, map, x, apart, relu, to);
        });
    }
}

/// What the coefficients h make of x at one position; u has room for whole vectors. The log-determinant.
inline float change(const Coupling& coupling, const float* x, const float* h, float* u, float* y) {
    const int64_t second = coupling.channels - coupling.first;
    const Vec tenth = all(0.1f), clamp = all(coupling.clamp);
    std::memcpy(u, x, coupling.first * sizeof(float));
    Vec sum = {};
    for (int64_t at = 0; at < second; at += LANES) {
        const int64_t count = second - at;
        const Vec log_slope = clamp * tanh_of(tenth * load_some(h + at, count));
        const Vec shift = tenth * load_some(h + second + at, count);
        store(u + coupling.first + at, load_some(x + coupling.first + at, count) * exp_of(log_slope) + shift);
        sum += log_slope;
    }
    for (int64_t at = 0; at < coupling.channels; ++at) {
        y[at] = coupling.offset[at] + u[coupling.from[at]] * coupling.scale[at];
    }
    return sum_of(sum) + coupling.log_scale;
}

/// x `[images][positions][channels]` to y, and the sum of log-determinants `[images][positions]`.
inline void run(
    const Coupling* couplings, int64_t count, int64_t images, const Map& map, int64_t threads, const float* x,
    float* y, float* log_determinant
) {
    const int64_t positions = map.positions(), channels = couplings[0].channels;
    int64_t padded = 0, hidden = 0, coefficients = 0;
    for (int64_t at = 0; at < count; ++at) {
        for (const Convolution* each : {&couplings[at].hidden, &couplings[at].coefficients}) {
            padded = std::max(padded, map.padded(each->kernel) * each->in);
        }
        hidden = std::max(hidden, positions * couplings[at].hidden.width());
        coefficients = std::max(coefficients, positions * couplings[at].coefficients.width());
    }
    Arena& arena = Arena::own();
    arena.restart();
    const int64_t each = divide_up(channels + 2 * LANES, 16) * 16;
    float *border = arena.take<float>(padded), *between = arena.take<float>(hidden);
    float *h = arena.take<float>(coefficients), *own = arena.take<float>(threads * each);
    float* states[] = {arena.take<float>(positions * channels), arena.take<float>(positions * channels)};
    std::memset(log_determinant, 0, images * positions * sizeof(float));
#pragma omp parallel num_threads(threads)
    for (int64_t image = 0; image < images; ++image) {
        const float* from = x + image * positions * channels;
        for (int64_t at = 0; at < count; ++at) {
            const Coupling& coupling = couplings[at];
            float* to = at + 1 < count ? states[at % 2] : y + image * positions * channels;
            convolve(coupling.hidden, map, from, channels, true, border, between);
            convolve(coupling.coefficients, map, between, coupling.hidden.width(), false, border, h);
            float* u = own + omp_get_thread_num() * each;
#pragma omp for schedule(static)
            for (int64_t place = 0; place < positions; ++place) {
                log_determinant[image * positions + place] += change(
                    coupling, from + place * channels, h + place * coupling.coefficients.width(), u,
                    to + place * channels
                );
            }
            from = to;
        }
    }
}

}  // namespace secondread

/// Lanes of a vector, and the most vectors of a group, by which Python orders weights.
EXPORTED int64_t secondread_lanes() { return LANES; }
EXPORTED int64_t secondread_widest() { return secondread::WIDEST; }

/// 0, or 1 where memory ran out.
EXPORTED int secondread_couplings(
    const secondread::Coupling* couplings, int64_t count, int64_t images, int64_t rows, int64_t columns,
    int64_t threads, const float* x, float* y, float* log_determinant
) {
    try {
        secondread::run(couplings, count, images, {rows, columns}, threads, x, y, log_determinant);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}
