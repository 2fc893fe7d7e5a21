// Exponential functions of vectors.
#pragma once

#include "vectors.h"

namespace secondread {

/// exp(x), within 2e-7 of it; what is not a number stays that.
inline Vec exp_of(Vec x) {
    const Vec least = all(-87), most = all(88), turn = all(12582912);  // 1.5 · 2^23: its last bit counts ones
    x = x < least ? least : x;
    x = x > most ? most : x;
    const Vec turned = x * all(1.44269504f) + turn, whole = turned - turn;
    const Vec rest = x - whole * all(0.693359375f) + whole * all(2.12194440e-4f);
    Vec sum = all(1.9875691500e-4f);
    for (float each : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f}) {
        sum = sum * rest + all(each);
    }
    const Bits power = ((Bits)turned - 0x4b400000 + 127) << 23;
    return (sum * rest * rest + rest + all(1)) * (Vec)power;
}

inline Vec tanh_of(Vec x) { return all(1) - all(2) / (exp_of(x + x) + all(1)); }

}  // namespace secondread
