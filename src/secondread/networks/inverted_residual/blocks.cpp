// Inverted residual blocks: the functions that Python calls.

#include "run.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

/// Lanes of a vector, and the most vectors of a group, by which Python orders weights.
EXPORTED int64_t secondread_lanes() { return LANES; }
EXPORTED int64_t secondread_widest() { return secondread::WIDEST; }

/// 0, or 1 where memory ran out.
EXPORTED int secondread_blocks(
    const secondread::Block* blocks, int64_t count, int64_t images, int64_t rows, int64_t columns, int64_t threads,
    const secondread::Images* x, float* y
) {
    try {
        secondread::run_blocks(blocks, count, images, rows, columns, threads, *x, y);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}
