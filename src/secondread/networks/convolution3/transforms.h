// Winograd's transforms of F(4×4, 3×3) along one axis: 4 outputs from 6 inputs by 6 products, at the points
// 0, 1, -1, 2, -2 and infinity.
#pragma once

#include <algorithm>

#include "vectors.h"

namespace secondread {

constexpr int64_t OUT = 4, IN = 6, PLACES = IN * IN;

/// B^T d
inline void to_products(const Vec* d, int64_t apart, Vec* v, int64_t v_apart) {
    const Vec d0 = d[0], d1 = d[apart], d2 = d[2 * apart];
    const Vec d3 = d[3 * apart], d4 = d[4 * apart], d5 = d[5 * apart];
    const Vec a = d4 - 4 * d2, b = d3 - 4 * d1, c = d4 - d2, e = 2 * (d3 - d1);
    v[0] = 4 * d0 - 5 * d2 + d4;
    v[v_apart] = a + b;
    v[2 * v_apart] = a - b;
    v[3 * v_apart] = c + e;
    v[4 * v_apart] = c - e;
    v[5 * v_apart] = 4 * d1 - 5 * d3 + d5;
}

/// A^T m
inline void to_outputs(const Vec* m, int64_t apart, Vec* y, int64_t y_apart) {
    const Vec m0 = m[0], m1 = m[apart], m2 = m[2 * apart];
    const Vec m3 = m[3 * apart], m4 = m[4 * apart], m5 = m[5 * apart];
    const Vec a = m1 + m2, b = m1 - m2, c = m3 + m4, e = m3 - m4;
    y[0] = m0 + a + c;
    y[y_apart] = b + 2 * e;
    y[2 * y_apart] = a + 4 * c;
    y[3 * y_apart] = b + 8 * e + m5;
}

/// A y, for gradients
inline void from_outputs(const Vec* y, int64_t apart, Vec* m, int64_t m_apart) {
    const Vec y0 = y[0], y1 = y[apart], y2 = y[2 * apart], y3 = y[3 * apart];
    const Vec a = y0 + y2, b = y1 + y3, c = y0 + 4 * y2, e = 2 * y1 + 8 * y3;
    m[0] = y0;
    m[m_apart] = a + b;
    m[2 * m_apart] = a - b;
    m[3 * m_apart] = c + e;
    m[4 * m_apart] = c - e;
    m[5 * m_apart] = y3;
}

/// G g
inline void of_kernel(const float* g, int64_t apart, float* u, int64_t u_apart) {
    const float g0 = g[0], g1 = g[apart], g2 = g[2 * apart];
    const float a = (g0 + g2) / 6, b = g1 / 6, c = g0 / 24 + g2 / 6, e = g1 / 12;
    u[0] = g0 / 4;
    u[u_apart] = -a - b;
    u[2 * u_apart] = b - a;
    u[3 * u_apart] = c + e;
    u[4 * u_apart] = c - e;
    u[5 * u_apart] = g2;
}

/// G^T u
inline void to_kernel(const float* u, int64_t apart, float* g, int64_t g_apart) {
    const float u0 = u[0], u1 = u[apart], u2 = u[2 * apart];
    const float u3 = u[3 * apart], u4 = u[4 * apart], u5 = u[5 * apart];
    g[0] = u0 / 4 - (u1 + u2) / 6 + (u3 + u4) / 24;
    g[g_apart] = (u2 - u1) / 6 + (u3 - u4) / 12;
    g[2 * g_apart] = (u3 + u4 - u1 - u2) / 6 + u5;
}

}  // namespace secondread
