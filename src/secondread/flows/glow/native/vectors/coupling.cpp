// A Glow coupling's network in vectors of any length: the functions that Python calls.

#include "backward.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

/// Size in bytes of a call's description, by which both sides see that they agree on it.
EXPORTED int64_t secondread_call_size() { return sizeof(secondread::Call); }

/// 0, or 1 where memory ran out.
EXPORTED int secondread_forward(const secondread::Call* call, float* out) {
    try {
        secondread::forward(*call, out);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}

EXPORTED int secondread_backward(
    const secondread::Call* call, const float* gradient, const secondread::Gradients* gradients
) {
    try {
        secondread::backward(*call, gradient, *gradients);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}
