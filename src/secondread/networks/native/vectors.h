// Vectors of the form that is being built, by the compilers' own vector types: one source for every processor.
//
// A form is four macros, set by `forms.py`:
//
//   LANES  32-bit numbers in a vector: 4 (NEON), 8 (AVX2), 16 (AVX-512)
//   WIDE   vectors side by side in the tile of sums that stays in registers
//   ROWS   rows of that tile, an even number
//   HALF   1 = operands are rounded to bfloat16, and a lane holds two of them, neighbours along the contraction
//
// Sums are float32 in every form. Where the processor has no instruction for pairs of bfloat16, shifts and two
// float32 products do the same.
#pragma once

#include "arena.h"

#if defined(__AVX512BF16__) && HALF && LANES == 16
#include <immintrin.h>
#elif defined(__ARM_FEATURE_BF16) && HALF && LANES == 4
#include <arm_neon.h>
#endif

namespace secondread {

typedef float Vec __attribute__((vector_size(4 * LANES)));
typedef uint32_t Bits __attribute__((vector_size(4 * LANES)));
typedef int32_t Whole __attribute__((vector_size(4 * LANES)));
typedef int16_t Halves __attribute__((vector_size(4 * LANES)));
typedef uint16_t Shorts __attribute__((vector_size(2 * LANES)));
typedef uint8_t Bytes __attribute__((vector_size(LANES)));
typedef float Loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t LooseShorts __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef uint8_t LooseBytes __attribute__((vector_size(LANES), aligned(1), may_alias));

constexpr int64_t SPAN = LANES * WIDE;  // positions, or columns, of a tile
constexpr int64_t LENGTH = HALF ? SPAN / 2 : SPAN;  // lanes of a row of SPAN numbers in steps of its own
inline int64_t steps_of(int64_t count) { return HALF ? (count + 1) / 2 : count; }
inline int64_t padded(int64_t count) { return HALF ? (count + 1) / 2 * 2 : count; }

inline Vec load(const float* from) { return *(const Loose*)from; }
inline void store(float* to, Vec value) { *(Loose*)to = value; }

inline Vec all(float value) {
#if LANES == 4
    return Vec{value, value, value, value};
#elif LANES == 8
    return Vec{value, value, value, value, value, value, value, value};
#else
    return Vec{value, value, value, value, value, value, value, value,
               value, value, value, value, value, value, value, value};
#endif
}

inline Bits kept(Bits value, Whole mask) { return value & (Bits)mask; }
inline Vec kept(Vec value, Whole mask) { return (Vec)kept((Bits)value, mask); }

/// max(x, 0); what is not a number stays that.
inline Vec rectified(Vec value) { return kept(value, ~(Whole)(value < Vec{})); }

inline float sum_of(Vec value) {
    float sum = 0;
    for (int lane = 0; lane < LANES; ++lane) sum += value[lane];
    return sum;
}

#if HALF
/// The upper halves of float32 numbers rounded to bfloat16, ties to even.
inline Bits rounded(Vec value) {
    const Bits bits = (Bits)value, carried = bits + 0x7fff + (bits >> 16 & 1);
    const Bits strange = (Bits)(Whole)(value != value);
    return ((carried & ~strange) | ((bits | 0x400000) & strange)) & 0xffff0000;
}

/// Two rows as lanes of pairs.
inline Vec paired(Vec even, Vec odd) {
#if defined(__AVX512BF16__) && LANES == 16
    const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)even));
    const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)odd));
    return (Vec)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
#else
    return (Vec)(rounded(even) >> 16 | rounded(odd));
#endif
}

/// Adds the products of both numbers of each pair.
inline Vec dot(Vec sum, Vec one, Vec other) {
#if defined(__AVX512BF16__) && LANES == 16
    return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)one, (__m512bh)other);
#elif defined(__ARM_FEATURE_BF16) && LANES == 4
    return (Vec)vbfdotq_f32((float32x4_t)sum, (bfloat16x8_t)one, (bfloat16x8_t)other);
#else
    const Bits upper = Bits{} + 0xffff0000;
    sum += (Vec)((Bits)one << 16) * (Vec)((Bits)other << 16);
    return sum + (Vec)((Bits)one & upper) * (Vec)((Bits)other & upper);
#endif
}

/// A lane of ones.
inline float unit() {
    const uint32_t pair = 0x3f803f80;
    float found;
    std::memcpy(&found, &pair, sizeof(found));
    return found;
}
#else
inline Vec dot(Vec sum, Vec one, Vec other) { return sum + one * other; }
inline float unit() { return 1; }
#endif

typedef float Four __attribute__((vector_size(16)));
typedef float LooseFour __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t FourWhole __attribute__((vector_size(16)));

#if defined(__clang__)
#define SHUFFLED(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define SHUFFLED(a, b, i, j, k, l) __builtin_shuffle(a, b, FourWhole{i, j, k, l})
#endif

/// The transpose of 4 × 4 lanes.
inline void turn_four(const float* from, int64_t apart, float* to, int64_t to_apart) {
    const Four a = *(const LooseFour*)from, b = *(const LooseFour*)(from + apart);
    const Four c = *(const LooseFour*)(from + 2 * apart), d = *(const LooseFour*)(from + 3 * apart);
    const Four ab = SHUFFLED(a, b, 0, 4, 1, 5), cd = SHUFFLED(c, d, 0, 4, 1, 5);
    const Four ab_too = SHUFFLED(a, b, 2, 6, 3, 7), cd_too = SHUFFLED(c, d, 2, 6, 3, 7);
    *(LooseFour*)to = SHUFFLED(ab, cd, 0, 1, 4, 5);
    *(LooseFour*)(to + to_apart) = SHUFFLED(ab, cd, 2, 3, 6, 7);
    *(LooseFour*)(to + 2 * to_apart) = SHUFFLED(ab_too, cd_too, 0, 1, 4, 5);
    *(LooseFour*)(to + 3 * to_apart) = SHUFFLED(ab_too, cd_too, 2, 3, 6, 7);
}

/// The transpose of any matrix of lanes.
inline void turn(
    const float* from, int64_t rows, int64_t columns, int64_t apart, float* to, int64_t to_apart
) {
    for (int64_t row = 0; row < rows; row += 4) {
        for (int64_t column = 0; column < columns; column += 4) {
            const float* start = from + row * apart + column;
            float* end = to + column * to_apart + row;
            if (row + 4 <= rows && column + 4 <= columns) {
                turn_four(start, apart, end, to_apart);
                continue;
            }
            for (int64_t r = 0; r < std::min<int64_t>(4, rows - row); ++r) {
                for (int64_t c = 0; c < std::min<int64_t>(4, columns - column); ++c) {
                    end[c * to_apart + r] = start[r * apart + c];
                }
            }
        }
    }
}

}  // namespace secondread
