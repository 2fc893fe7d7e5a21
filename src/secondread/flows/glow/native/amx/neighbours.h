// Neighbourhoods: a map's positions in the order of memory, gathered to rows of a matrix and added back.
//
// Whether a tap's neighbour lies inside the map is a bit of a mask over 16 or 32 positions (`Grid`).
#pragma once

#include "../parts.h"
#include "tiles.h"

namespace secondread {

/// Bits of the first `count` of 32.
inline uint32_t first_bits(int64_t count) { return count >= 32 ? ~0u : count <= 0 ? 0u : (1u << count) - 1; }

/// Per tap, which of the 32 positions from `at` on have a neighbour inside. Those past the end have none.
inline void inside_masks(const Grid& grid, int64_t at, uint32_t* inside) {
    const __m256i touched = _mm256_loadu_si256((const __m256i*)(grid.touched + at % grid.per_image));
    const uint32_t exist = first_bits(grid.positions - at);
    for (int64_t tap = 0; tap < grid.taps; ++tap) {
        inside[tap] = exist & ~_mm256_test_epi8_mask(touched, _mm256_set1_epi8(grid.faces[tap]));
    }
}

/// Rows of row tiles over positions, `apart` bytes from tile to tile.
inline uint8_t* row_of(uint8_t* rows, int64_t apart, int64_t row) {
    return rows + row / 16 * apart + row % 16 * 64;
}

/// The neighbourhoods of 32 positions as bf16 rows (channel, tap); with `border` the rows of the channel that
/// is 1 beyond the edge, with `ones` a row of ones.
inline void gather(
    const float* planes, int64_t channels, const Grid& grid, int64_t at, bool border, bool ones,
    uint8_t* rows, int64_t apart
) {
    uint32_t inside[27];
    inside_masks(grid, at, inside);
    int64_t row = 0;
    for (int64_t channel = 0; channel < channels; ++channel) {
        const float* plane = planes + channel * grid.positions + at;
        for (int64_t tap = 0; tap < grid.taps; ++tap, ++row) {
            const float* from = plane + grid.offset[tap];
            const __m512 low = _mm512_maskz_loadu_ps(inside[tap], from);
            const __m512 high = _mm512_maskz_loadu_ps(inside[tap] >> 16, from + 16);
            store(row_of(rows, apart, row), rounded(low, high));
        }
    }
    const __m512i one = _mm512_set1_epi16(0x3f80);
    for (int64_t tap = 0; border && tap < grid.taps; ++tap, ++row) {
        store(row_of(rows, apart, row), _mm512_maskz_mov_epi16(~inside[tap], one));
    }
    if (ones) store(row_of(rows, apart, row), one);
}

/// Gathered rows of 32 positions as their two pair tiles' columns `[2][steps]`.
inline void rows_to_pairs(uint8_t* rows, int64_t apart, int64_t steps, uint8_t* pairs) {
    for (int64_t row = 0; row < steps * 32; row += 2) {
        const uint8_t* from = row_of(rows, apart, row);
        to_pairs(load(from), load(from + 64), pairs + row * 32, pairs + steps * TILE + row * 32);
    }
}

/// Adds rows (channel, tap) of float32 columns of the `count` positions from `at` on to their neighbours.
///
/// Along the innermost axis, three taps are summed before they meet memory. The two ends, whose neighbours on
/// that axis lie outside these positions, follow one by one.
inline void scatter(
    const float* columns, int64_t apart, int64_t channels, const Grid& grid, int64_t at, int64_t count,
    const Target& target
) {
    constexpr int64_t MOST = 32;
    uint16_t same[9 * MOST], next[9 * MOST], before[9 * MOST];
    const int64_t vectors = divide_up(count, 16), groups = grid.taps / 3;
    for (int64_t vector = 0; vector < vectors; ++vector) {
        const int64_t start = vector * 16;
        const __m128i touched =
            _mm_loadu_si128((const __m128i*)(grid.touched + (at + start) % grid.per_image));
        const uint32_t not_last =
            ~_mm_test_epi8_mask(touched, _mm_set1_epi8(LAST)) & first_bits(count - 1 - start);
        const uint32_t not_first =
            ~_mm_test_epi8_mask(touched, _mm_set1_epi8(FIRST)) & (start ? ~0u : ~1u);
        for (int64_t group = 0; group < groups; ++group) {
            const uint8_t faces = grid.faces[group * 3 + 1];
            const uint32_t inside =
                ~_mm_test_epi8_mask(touched, _mm_set1_epi8(faces)) & first_bits(count - start) & 0xffff;
            same[group * MOST + vector] = inside;
            next[group * MOST + vector] = inside & not_last;
            before[group * MOST + vector] = inside & not_first;
        }
    }
    const int64_t end = at + count - 1;
    for (int64_t channel = 0; channel < channels; ++channel) {
        float* plane = target.planes + channel * target.stride - target.origin;
        for (int64_t group = 0; group < groups; ++group) {
            const float* taps = columns + (channel * grid.taps + group * 3) * apart;
            float* to = plane + at + grid.offset[group * 3 + 1];
            for (int64_t vector = 0; vector < vectors; ++vector) {
                const uint16_t inside = same[group * MOST + vector];
                const float* from = taps + vector * 16;
                __m512 sum = _mm512_maskz_loadu_ps(next[group * MOST + vector], from + 1);
                sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(inside, from + apart));
                sum = _mm512_add_ps(
                    sum, _mm512_maskz_loadu_ps(before[group * MOST + vector], from + 2 * apart - 1)
                );
                if (inside == 0xffff) {
                    _mm512_storeu_ps(to + vector * 16, _mm512_add_ps(sum, _mm512_loadu_ps(to + vector * 16)));
                } else if (inside) {
                    sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(inside, to + vector * 16));
                    _mm512_mask_storeu_ps(to + vector * 16, inside, sum);
                }
            }
            if (grid.has(at, group * 3)) to[-1] += taps[0];
            if (grid.has(end, group * 3 + 2)) to[count] += taps[2 * apart + count - 1];
        }
    }
}

}  // namespace secondread
