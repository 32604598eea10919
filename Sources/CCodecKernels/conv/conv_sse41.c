// SPDX-License-Identifier: BSD-3-Clause
#include "sc_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define NAME(x) x##_sse41
#define TARGET __attribute__((target("sse4.1")))
#define V(x) _mm_##x
#define VS(x) _mm_##x##_si128
#define LANES 4
#define VARIABLE_SHIFT 0
#define TILE_V 4
#define TILE_P 3
#define EACH_P(M, N) M(1, N) M(2, N) M(3, N)
#define EACH_BLOCK(M) EACH_P(M, 1) EACH_P(M, 2) EACH_P(M, 3) EACH_P(M, 4)
#define NARROW_ACC 9

typedef __m128i vec;
#define FN static inline __attribute__((always_inline)) TARGET

FN vec v_pair(const int16_t *p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return _mm_set1_epi32(pair);
}

FN vec v_mac(vec acc, vec a, vec b) { return _mm_add_epi32(acc, _mm_madd_epi16(a, b)); }

FN __m128i v_sum4(vec a, vec b, vec c, vec d) {
  const vec ab = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
  const vec cd = _mm_add_epi32(_mm_unpacklo_epi32(c, d), _mm_unpackhi_epi32(c, d));
  return _mm_add_epi32(_mm_unpacklo_epi64(ab, cd), _mm_unpackhi_epi64(ab, cd));
}

#include "conv_x86.h"
#endif
