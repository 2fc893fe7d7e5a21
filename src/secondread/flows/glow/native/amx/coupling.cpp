// A Glow coupling's network on CPUs with AMX: the functions that Python calls.

#include "backward.h"
#include "forward.h"

extern "C" {

/// 0 where the tile registers may be used.
int secondread_permission() { return secondread::tiles_permitted() ? 0 : 1; }

/// Size in bytes of a call's description, by which both sides see that they agree on it.
int64_t secondread_call_size() { return sizeof(secondread::Call); }

/// 0, or 1 where memory ran out.
int secondread_forward(const secondread::Call* call, float* out) {
    try {
        secondread::forward(*call, out);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}

int secondread_backward(
    const secondread::Call* call, const float* gradient, const secondread::Gradients* gradients
) {
    try {
        secondread::backward(*call, gradient, *gradients);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    return 0;
}
}
