// SPDX-License-Identifier: BSD-3-Clause
#include "sc_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define NAME(x) x##_sse41
#define TARGET __attribute__((target("sse4.1")))
typedef union halves {
  __attribute__((vector_size(32))) int32_t whole;
  __m128i half[2];
} halves;
static inline __attribute__((always_inline, target("sse4.1"))) halves dot(halves sum, halves a, halves b) {
  for (int i = 0; i < 2; i++)
    sum.half[i] = _mm_add_epi32(sum.half[i], _mm_madd_epi16(a.half[i], b.half[i]));
  return sum;
}
#define HALVES(v) ((halves){.whole = (i32x8)(v)})
#define DOT(sum, a, b) dot(HALVES(sum), HALVES(a), HALVES(b)).whole
#include "filter_vectors.h"
#endif
