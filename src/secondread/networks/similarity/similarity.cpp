// Structural similarity of two pictures at every window: four weighted sums, down the rows and then across.

#include <omp.h>

#include "groups.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace secondread {

/// Of planes `[planes][rows][columns]`; weights of a window along each axis.
struct Call {
    int64_t planes, rows, columns, down, across, threads;
    const float *x, *y, *weights_down, *weights_across;
    float luminance, contrast;  // constants

    int64_t out_rows() const { return rows - down + 1; }
    int64_t out_columns() const { return columns - across + 1; }
};

constexpr int KINDS = 4;  // of x, y, x² + y², xy

/// Sums down the rows of a window, for all columns, to lines `apart` from one another.
inline void sum_down(const Call& call, const float* x, const float* y, float* lines, int64_t apart) {
    for (int64_t column = 0; column < call.columns; column += LANES) {
        const int64_t known = call.columns - column;
        Vec sums[KINDS] = {};
        for (int64_t at = 0; at < call.down; ++at) {
            const Vec weight = all(call.weights_down[at]);
            const Vec a = load_some(x + at * call.columns + column, known);
            const Vec b = load_some(y + at * call.columns + column, known);
            sums[0] += weight * a;
            sums[1] += weight * b;
            sums[2] += weight * (a * a + b * b);
            sums[3] += weight * (a * b);
        }
        for (int sum = 0; sum < KINDS; ++sum) store(lines + sum * apart + column, sums[sum]);
    }
}

/// (2 m_x m_y + c1)(2 v_xy + c2) / ((m_x² + m_y² + c1)(v_x + v_y + c2)).
inline Vec similarity(const Call& call, const Vec* sums) {
    const Vec c1 = all(call.luminance), c2 = all(call.contrast);
    const Vec means = sums[0] * sums[1], squares = sums[0] * sums[0] + sums[1] * sums[1];
    const Vec luminance = (means + means + c1) / (squares + c1), covariance = sums[3] - means;
    return luminance * ((covariance + covariance + c2) / (rectified(sums[2] - squares) + c2));
}

inline void run(const Call& call, float* to) {
    const int64_t apart = divide_up(call.columns + call.across, LANES) * LANES + LANES, each = KINDS * apart;
    const int64_t rows = call.out_rows(), columns = call.out_columns(), plane = call.rows * call.columns;
    Arena& arena = Arena::own();
    arena.restart();
    float* memory = arena.take_zeros<float>(call.threads * each);
#pragma omp parallel for num_threads(call.threads) schedule(static)
    for (int64_t number = 0; number < call.planes * rows; ++number) {
        float* lines = memory + omp_get_thread_num() * each;
        const int64_t start = number / rows * plane + number % rows * call.columns;
        sum_down(call, call.x + start, call.y + start, lines, apart);
        for (int64_t column = 0; column < columns; column += LANES) {
            Vec sums[KINDS] = {};
            for (int64_t at = 0; at < call.across; ++at) {
                const Vec weight = all(call.weights_across[at]);
                for (int sum = 0; sum < KINDS; ++sum) sums[sum] += weight * load(lines + sum * apart + column + at);
            }
            store_some(to + number * columns + column, similarity(call, sums), columns - column);
        }
    }
}

}  // namespace secondread

/// Size in bytes of a call's description, by which both sides see that they agree on it.
EXPORTED int64_t secondread_call_size() { return sizeof(secondread::Call); }

/// 0, or 1 where memory ran out.
EXPORTED int secondread_similarity(const secondread::Call* call, float* to) {
    try {
        secondread::run(*call, to);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}
