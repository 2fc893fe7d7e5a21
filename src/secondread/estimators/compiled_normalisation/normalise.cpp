// Features compressed, standardised and projected; the functions that Python calls.

#include <omp.h>

#include "exponential.h"
#include "groups.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace secondread {

/// x `[images][positions][channels]` to y `[images][positions][outs]`. mean and scale `[positions][channels]`, those of
/// the positions `apart` from one another, 0 where all have the same; weight `[groups][channels][vectors]`.
struct Call {
    int64_t images, positions, channels, outs, compress, mean_apart, scale_apart, threads;
    const float *x, *mean, *scale, *weight;
    float* y;

    int64_t row() const { return vectors_of(channels) * LANES; }
};

constexpr int64_t SOME = 32;  // positions at a time

/// (g(x) - mean) / scale of a position.
inline void standardise(const Call& call, const float* x, int64_t position, float* to) {
    const float *mean = call.mean + position * call.mean_apart, *scale = call.scale + position * call.scale_apart;
    for (int64_t at = 0; at < call.channels; at += LANES) {
        const int64_t count = call.channels - at;
        const Vec value = load_some(x + at, count);
        const Vec own = call.compress ? compressed(value) : value;
        store_some(to + at, (own - load_some(mean + at, count)) / load_some(scale + at, count), count);
    }
}

template <int Wide>
inline void project(const Call& call, Group group, const float* rows, int64_t positions, float* y) {
    const float* weight = call.weight + group.first * LANES * call.channels;
    for_each_halved<ROWS_OF<Wide>>(positions, [&](int64_t position, auto constant) {
        constexpr int Rows = decltype(constant)::value;
        Sums<Rows, Wide> sums = {};
        accumulate<Rows, Wide>(
            rows + position * call.row(), call.row(), 1, weight, Wide * LANES, call.channels, sums
        );
#pragma GCC unroll 32
        for (int row = 0; row < Rows; ++row) {
            float* place = y + (position + row) * call.outs;
#pragma GCC unroll 8
            for (int wide = 0; wide < Wide; ++wide) {
                const int64_t first = (group.first + wide) * LANES;
                store_some(place + first, sums[row][wide], call.outs - first);
            }
        }
    });
}

inline void run(const Call& call) {
    const int64_t all = call.images * call.positions, blocks = divide_up(all, SOME);
    const Groups groups(call.outs);
    Arena& arena = Arena::own();
    arena.restart();
    float* memory = arena.take<float>(call.threads * SOME * call.row());
#pragma omp parallel for num_threads(call.threads) schedule(static)
    for (int64_t block = 0; block < blocks; ++block) {
        float* rows = memory + omp_get_thread_num() * SOME * call.row();
        const int64_t first = block * SOME, count = std::min(SOME, all - first);
        for (int64_t at = 0; at < count; ++at) {
            const float* x = call.x + (first + at) * call.channels;
            standardise(call, x, (first + at) % call.positions, rows + at * call.row());
        }
        for (int64_t at = 0; at < groups.count; ++at) {
            with_constant<1, WIDEST>(groups[at].wide, [&](auto wide) {
                project<decltype(wide)::value>(call, groups[at], rows, count, call.y + first * call.outs);
            });
        }
    }
}

}  // namespace secondread

/// Size in bytes of a call's description, by which both sides see that they agree on it.
EXPORTED int64_t secondread_call_size() { return sizeof(secondread::Call); }

/// Lanes of a vector, and the most vectors of a group, by which Python orders weights.
EXPORTED int64_t secondread_lanes() { return LANES; }
EXPORTED int64_t secondread_widest() { return secondread::WIDEST; }

/// 0, or 1 where memory ran out.
EXPORTED int secondread_normalise(const secondread::Call* call) {
    try {
        secondread::run(*call);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}
