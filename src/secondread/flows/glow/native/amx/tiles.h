// AMX tiles: permission, configuration, products, and the layouts in which operands lie in memory.
//
//   row tile    16 rows of 32 bf16 along the contraction: left operand
//   pair tile   16 rows of 16 columns of 2 bf16; row r holds the contraction's indices 2r and 2r + 1: right
//               operand
//   sum tile    16 rows of 16 float32: result
//
// Every tile is one stretch of 1024 bytes. Positions travel in groups of 32: the two pair tiles of a group
// hold its first and its last 16 positions.
#pragma once

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../grid.h"

namespace secondread {

constexpr int64_t TILE = 1024;

/// Asks the kernel once per process for the tile registers; false where it refuses.
inline bool tiles_permitted() {
    constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
    static const bool granted = syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
    return granted;
}

/// Eight tiles of 16 rows of 64 bytes, for as long as this lives in a thread.
class TileScope {
  public:
    TileScope() {
        alignas(64) uint8_t config[64] = {1};
        for (int tile = 0; tile < 8; ++tile) {
            config[16 + 2 * tile] = 64;
            config[48 + tile] = 16;
        }
        asm volatile("" ::"r"(config) : "memory");  // the intrinsic says of 8 bytes only that it reads them
        _tile_loadconfig(config);
    }
    ~TileScope() { _tile_release(); }
    TileScope(const TileScope&) = delete;
    TileScope& operator=(const TileScope&) = delete;
};

/// What the compiler has still in registers is in memory: it does not know that tile loads read memory.
inline void settle() { asm volatile("" ::: "memory"); }

/// Adds row tiles (one or two, `apart` bytes from each other) times pair tiles (one or two) to sums 0 to 3.
template <int Rows, int Columns>
inline void multiply(
    const uint8_t* rows, int64_t apart, const uint8_t* pairs, const uint8_t* pairs_too, int64_t steps
) {
    for (int64_t at = 0; at < steps * TILE; at += TILE) {
        _tile_loadd(6, pairs + at, 64);
        _tile_loadd(4, rows + at, 64);
        _tile_dpbf16ps(0, 4, 6);
        if (Columns == 2) {
            _tile_loadd(7, pairs_too + at, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (Rows == 2) {
            _tile_loadd(5, rows + apart + at, 64);
            _tile_dpbf16ps(2, 5, 6);
            if (Columns == 2) _tile_dpbf16ps(3, 5, 7);
        }
    }
}

inline __m512i load(const void* from) { return _mm512_load_si512(from); }
inline void store(void* to, __m512i value) { _mm512_store_si512(to, value); }

/// Two rows of float32 of 16 positions each as one row of 32 bf16.
inline __m512i rounded(__m512 low, __m512 high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

/// Rows 2r and 2r + 1 of a group's 32 positions as a row of each of its two pair tiles.
inline void to_pairs(__m512i even, __m512i odd, uint8_t* first, uint8_t* second) {
    const __m512i low = _mm512_unpacklo_epi16(even, odd), high = _mm512_unpackhi_epi16(even, odd);
    store(first, _mm512_permutex2var_epi64(low, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), high));
    store(second, _mm512_permutex2var_epi64(low, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), high));
}

/// A 16 × 16 matrix of 4 bytes each, transposed: a row tile over positions becomes a pair tile over positions.
inline void transpose(const uint8_t* from, uint8_t* to) {
    __m512i joined[16], mixed[16];
    for (int part = 0; part < 4; ++part) {
        for (int row = 0; row < 4; ++row) {
            const uint8_t* start = from + row * 64 + part * 16;
            const auto four = [start](int at) { return _mm_load_si128((const __m128i*)(start + at)); };
            __m512i value = _mm512_castsi128_si512(four(0));
            value = _mm512_inserti32x4(value, four(256), 1);
            value = _mm512_inserti32x4(value, four(512), 2);
            joined[part * 4 + row] = _mm512_inserti32x4(value, four(768), 3);
        }
    }
    for (int part = 0; part < 16; part += 4) {
        mixed[0] = _mm512_unpacklo_epi32(joined[part], joined[part + 1]);
        mixed[1] = _mm512_unpackhi_epi32(joined[part], joined[part + 1]);
        mixed[2] = _mm512_unpacklo_epi32(joined[part + 2], joined[part + 3]);
        mixed[3] = _mm512_unpackhi_epi32(joined[part + 2], joined[part + 3]);
        store(to + part * 64, _mm512_unpacklo_epi64(mixed[0], mixed[2]));
        store(to + part * 64 + 64, _mm512_unpackhi_epi64(mixed[0], mixed[2]));
        store(to + part * 64 + 128, _mm512_unpacklo_epi64(mixed[1], mixed[3]));
        store(to + part * 64 + 192, _mm512_unpackhi_epi64(mixed[1], mixed[3]));
    }
}

/// A row-major bf16 matrix as row tiles `[row tiles][steps]`, zero beyond its end.
inline void pack_rows(const uint16_t* matrix, int64_t rows, int64_t columns, uint8_t* to) {
    const int64_t steps = divide_up(columns, 32);
    for (int64_t row = 0; row < divide_up(rows, 16) * 16; ++row) {
        for (int64_t step = 0; step < steps; ++step) {
            const int64_t count = row < rows ? columns - step * 32 : 0;
            const __mmask32 present = count >= 32 ? ~0u : (1u << count) - 1;
            store(
                to + (row / 16 * steps + step) * TILE + row % 16 * 64,
                _mm512_maskz_loadu_epi16(present, matrix + row * columns + step * 32)
            );
        }
    }
}

/// The transpose of the first `used` columns of a row-major bf16 matrix as row tiles `[row tiles][steps]`.
inline void pack_transposed(
    const uint16_t* matrix, int64_t rows, int64_t columns, int64_t used, uint8_t* to
) {
    const int64_t steps = divide_up(rows, 32);
    alignas(64) uint8_t pairs[TILE];
    for (int64_t tile = 0; tile < divide_up(used, 16); ++tile) {
        const int64_t count = used - tile * 16;
        const __mmask16 present = count >= 16 ? 0xffff : (1u << count) - 1;
        for (int64_t step = 0; step < steps; ++step) {
            for (int64_t pair = 0; pair < 16; ++pair) {
                const int64_t row = step * 32 + pair * 2;
                const uint16_t* from = matrix + row * columns + tile * 16;
                const __m256i even = _mm256_maskz_loadu_epi16(row < rows ? present : 0, from);
                const __m256i odd = _mm256_maskz_loadu_epi16(row + 1 < rows ? present : 0, from + columns);
                const __m512i low = _mm512_cvtepu16_epi32(even), high = _mm512_cvtepu16_epi32(odd);
                store(pairs + pair * 64, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
            }
            transpose(pairs, to + (tile * steps + step) * TILE);
        }
    }
}

}  // namespace secondread
