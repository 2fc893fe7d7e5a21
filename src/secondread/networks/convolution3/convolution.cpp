// Convolutions of width 3 by Winograd's products: the functions that Python calls.

#include "convolution.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

/// Size in bytes of a call's description, by which both sides see that they agree on it.
EXPORTED int64_t secondread_call_size() { return sizeof(secondread::Call); }

/// 0, or 1 where memory ran out.
EXPORTED int secondread_convolve(
    const secondread::Call* call, const float* x, const float* kernels, const float* bias, int turned, float* y
) {
    try {
        secondread::convolve(*call, x, kernels, bias, turned, y);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}

EXPORTED int secondread_gradient_of_kernels(
    const secondread::Call* call, const float* x, const float* gradient, float* kernels
) {
    try {
        secondread::gradient_of_kernels(*call, x, gradient, kernels);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}
