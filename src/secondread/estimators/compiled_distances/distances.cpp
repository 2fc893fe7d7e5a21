// |W x| at each position, W a lower triangle of its own at each; the functions that Python calls.

#include <omp.h>

#include <cmath>

#include "vectors.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace secondread {

constexpr int64_t PART = 4096;  // positions at a time: longest stretches of memory, of which the sums stay in the cache

/// Planes `[dimensions][dimensions][positions]`, of which only the triangle is read; x `[dimensions][positions]`;
/// found `[positions]`.
struct Call {
    int64_t dimensions, positions, threads;
    const float *planes, *x;
    float* found;
};

/// sums += plane * x.
inline void add_products(const float* plane, const float* x, int64_t count, float* sums) {
    int64_t at = 0;
    for (; at + LANES <= count; at += LANES) store(sums + at, load(sums + at) + load(plane + at) * load(x + at));
    for (; at < count; ++at) sums[at] += plane[at] * x[at];
}

inline void run(const Call& call) {
    const int64_t d = call.dimensions, positions = call.positions;
    Arena& arena = Arena::own();
    arena.restart();
    float* rows = arena.take_zeros<float>(d * positions);
#pragma omp parallel num_threads(call.threads)
    for (int64_t begin = 0; begin < positions; begin += PART) {
        const int64_t count = std::min(PART, positions - begin);
#pragma omp for schedule(dynamic, 1)
        for (int64_t row = 0; row < d; ++row) {
            for (int64_t column = 0; column <= row; ++column) {
                const float* plane = call.planes + (row * d + column) * positions + begin;
                add_products(plane, call.x + column * positions + begin, count, rows + row * positions + begin);
            }
        }
    }
    std::memset(call.found, 0, positions * sizeof(float));
    for (int64_t row = 0; row < d; ++row) {  // in their order, whatever thread made which
        const float* own = rows + row * positions;
        add_products(own, own, positions, call.found);
    }
    for (int64_t at = 0; at < positions; ++at) call.found[at] = std::sqrt(call.found[at]);
}

}  // namespace secondread

/// Size in bytes of a call's description, by which both sides see that they agree on it.
EXPORTED int64_t secondread_call_size() { return sizeof(secondread::Call); }

/// 0, or 1 where memory ran out.
EXPORTED int secondread_distances(const secondread::Call* call) {
    try {
        secondread::run(*call);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}
