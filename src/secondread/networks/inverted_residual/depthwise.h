// Convolutions by channel on lines of one vector of channels.
#pragma once

#include "groups.h"

namespace secondread {

/// min(max(x, 0), 6); what is not a number stays that.
inline Vec cut_off(Vec value) {
    const Vec none = Vec{}, most = all(6);
    const Vec above = value < none ? none : value;
    return above > most ? most : above;
}

constexpr int ACROSS = 8;  // columns whose sums stay in registers

/// One row of outputs `[columns][LANES]` of Kernel lines `[..][LANES]`, with weight `[Kernel²][LANES]`.
template <int Kernel, int Stride>
inline void convolve_line(
    const float* const* lines, const float* weight, const float* bias, int64_t columns, float* to
) {
    for_each_halved<ACROSS>(columns, [&](int64_t column, auto constant) {
        constexpr int Columns = decltype(constant)::value;
        Vec sums[Columns];
#pragma GCC unroll 16
        for (int at = 0; at < Columns; ++at) sums[at] = load(bias);
#pragma GCC unroll 8
        for (int down = 0; down < Kernel; ++down) {
            const float* line = lines[down] + column * Stride * LANES;
#pragma GCC unroll 8
            for (int across = 0; across < Kernel; ++across) {
                const Vec one = load(weight + (down * Kernel + across) * LANES);
#pragma GCC unroll 16
                for (int at = 0; at < Columns; ++at) {
                    sums[at] += one * load(line + (at * Stride + across) * LANES);
                }
            }
        }
#pragma GCC unroll 16
        for (int at = 0; at < Columns; ++at) store(to + (column + at) * LANES, cut_off(sums[at]));
    });
}

/// The same of a kernel and stride that are known later: 3 or 5, 1 or 2.
inline void convolve_line(
    int64_t kernel, int64_t stride, const float* const* lines, const float* weight, const float* bias,
    int64_t columns, float* to
) {
    if (kernel == 3 && stride == 1) return convolve_line<3, 1>(lines, weight, bias, columns, to);
    if (kernel == 3) return convolve_line<3, 2>(lines, weight, bias, columns, to);
    if (stride == 1) return convolve_line<5, 1>(lines, weight, bias, columns, to);
    convolve_line<5, 2>(lines, weight, bias, columns, to);
}

}  // namespace secondread
