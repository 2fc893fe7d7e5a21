// Frozen convolutions of width 3 by Winograd's products: the functions that Python calls.

#include "frozen.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

/// Size in bytes of a call's description, by which both sides see that they agree on it.
EXPORTED int64_t secondread_call_size() { return sizeof(secondread::FrozenCall); }

/// Numbers of spread kernels.
EXPORTED int64_t secondread_spread_length(const secondread::FrozenCall* call) {
    return secondread::spread_length(*call);
}

EXPORTED void secondread_spread(const secondread::FrozenCall* call, const float* kernels, float* to) {
    secondread::spread_frozen(*call, kernels, to);
}

/// 0, or 1 where memory ran out.
EXPORTED int secondread_convolve(
    const secondread::FrozenCall* call, const float* x, const float* spread, const float* bias,
    const float* add, float* y
) {
    try {
        secondread::convolve_frozen(*call, x, spread, bias, add, y);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}
