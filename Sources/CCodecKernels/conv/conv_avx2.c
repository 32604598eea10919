// SPDX-License-Identifier: BSD-3-Clause
#include "sc_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2")))
#define V(x) _mm256_##x
#define VS(x) _mm256_##x##_si256
#define LANES 8
#define VARIABLE_SHIFT 1
#define TILE_V 2
#define TILE_P 6
#define EACH_P(M, N) M(1, N) M(2, N) M(3, N) M(4, N) M(5, N) M(6, N)
#define EACH_BLOCK(M) EACH_P(M, 1) EACH_P(M, 2)
#define NARROW_ACC 9

typedef __m256i vec;
#define FN static inline __attribute__((always_inline)) TARGET

FN vec v_pair(const int16_t *p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return _mm256_set1_epi32(pair);
}

FN vec v_mac(vec acc, vec a, vec b) { return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b)); }

FN __m128i v_sum4(vec a, vec b, vec c, vec d) {
  const vec ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
  const vec cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
  const vec s = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
  return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

FN void v_store16(int16_t *p, vec v) {
  _mm_storeu_si128((void *)p, _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
}

FN vec v_pack(vec a, vec b) { return _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8); }

FN vec v_widen(const int16_t *p) { return _mm256_cvtepi16_epi32(_mm_loadu_si128((const void *)p)); }

FN void v_interleave(vec *lo, vec *hi) {
  const vec first = *lo, second = *hi;
  *lo = _mm256_permute2x128_si256(first, second, 0x20);
  *hi = _mm256_permute2x128_si256(first, second, 0x31);
}

#include "conv_x86.h"
#endif
