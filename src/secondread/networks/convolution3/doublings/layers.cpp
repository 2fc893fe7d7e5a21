// Decoders of frozen networks: the functions that Python calls.

#include "run.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

/// Lanes of a vector, and the most vectors of a group, by which Python orders weights.
EXPORTED int64_t secondread_lanes() { return LANES; }
EXPORTED int64_t secondread_widest() { return secondread::WIDEST; }

/// Numbers of the spread kernels of a convolution 3×3.
EXPORTED int64_t secondread_spread_length(int64_t ins, int64_t outs) {
    return secondread::spread_length({0, ins, outs, 0, 0, 0, 1});
}

EXPORTED void secondread_spread(int64_t ins, int64_t outs, const float* kernels, float* to) {
    secondread::spread_frozen({0, ins, outs, 0, 0, 0, 1}, kernels, to);
}

/// 0, or 1 where memory ran out.
EXPORTED int secondread_layers(
    const secondread::Layer* layers, int64_t count, int64_t images, int64_t rows, int64_t columns, int64_t end_rows,
    int64_t end_columns, int64_t threads, const float* x, float* y
) {
    try {
        secondread::run_layers(layers, count, images, rows, columns, end_rows, end_columns, threads, x, y);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}
