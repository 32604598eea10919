// SPDX-License-Identifier: BSD-3-Clause
#if defined(__x86_64__)
#include <immintrin.h>

#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2")))
#define VARIABLE_SHIFT 1
#define LANES 8
#define TILE_V 2
#define TILE_P 6
#define EACH_V(M) M(1) M(2)
#define EACH_P(M) M(1) M(2) M(3) M(4) M(5) M(6)
#define HIDE(v) __asm__ volatile("" : "+x"(v))

typedef __m256i vec;
#define FN static inline __attribute__((always_inline)) TARGET

FN vec v_load(const void *p) { return _mm256_loadu_si256(p); }
FN void v_store(void *p, vec v) { _mm256_storeu_si256(p, v); }
FN vec v_zero(void) { return _mm256_setzero_si256(); }
FN vec v_set(int32_t v) { return _mm256_set1_epi32(v); }
FN vec v_pair(const int16_t *p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return _mm256_set1_epi32(pair);
}
FN vec v_mac(vec acc, vec a, vec b) { return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b)); }
FN __m128i v_sum4(vec a, vec b, vec c, vec d) {
  vec ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
  vec cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
  vec s = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
  return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}
FN vec v_requant(vec acc, vec shift, vec leaky, vec lo, vec hi) {
  vec s = _mm256_add_epi32(shift, _mm256_and_si256(_mm256_srai_epi32(acc, 31), leaky));
  vec half = _mm256_sllv_epi32(v_set(1), _mm256_sub_epi32(s, v_set(1)));
  acc = _mm256_srav_epi32(_mm256_add_epi32(acc, half), s);
  return _mm256_min_epi32(_mm256_max_epi32(acc, lo), hi);
}
FN void v_narrow(int16_t *out, vec v) {
  __m128i n = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storeu_si128((__m128i *)out, n);
}

#include "conv_x86.h"
#endif
