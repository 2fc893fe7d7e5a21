// In place of vcvtne2ps2bf16, of which Bochs 3.0 makes the upper half wrong (it indexes that operand past its
// end): each half converted by itself.
#pragma once

#include <immintrin.h>

static inline __m512bh two_conversions(__m512 high, __m512 low) {
    const __m512i lower = _mm512_castsi256_si512((__m256i)_mm512_cvtneps_pbh(low));
    return (__m512bh)_mm512_inserti64x4(lower, (__m256i)_mm512_cvtneps_pbh(high), 1);
}
#define _mm512_cvtne2ps_pbh two_conversions
