// Exponential functions of vectors, and a logarithm.
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

/// log(x) of x from 1 to the largest number, within 1e-7 of it.
inline Vec log_of(Vec x) {
    const Bits bits = (Bits)x, shifted = bits - 0x3f3504f3;  // of the root of one half
    const Whole power = (Whole)shifted >> 23;
    const Vec whole = __builtin_convertvector(power, Vec);
    const Vec rest = (Vec)(bits - ((Bits)power << 23)) - all(1), square = rest * rest;
    Vec sum = all(7.0376836292e-2f);
    for (float each : {-1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f, -1.6668057665e-1f,
                       2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f}) {
        sum = sum * rest + all(each);
    }
    const Vec small = sum * rest * square + whole * all(-2.12194440e-4f) - all(0.5f) * square;
    return rest + small + whole * all(0.693359375f);
}

/// sign(x) log(1 + |x|), within 2e-7 of it; what is not a number stays that.
inline Vec compressed(Vec x) {
    const Bits sign = (Bits)x & 0x80000000;
    const Vec size = (Vec)((Bits)x & 0x7fffffff), next = size + all(1);
    const Vec found = log_of(next) + (size - (next - all(1))) / next + (size - size);
    const Vec most = all(3.4028234664e38f);
    return (Vec)((Bits)(size > most ? size : found) | sign);
}

}  // namespace secondread
