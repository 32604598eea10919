// SPDX-License-Identifier: BSD-3-Clause
//
// AVX-512BW, and with SC_VNNI (conv_avx512vnni.c) its successor. SC_SIMDE builds both for any processor, for
// tests.
#include "sc_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(SC_SIMDE)
#include "avx512_simde.h"
#define V(x) sc_mm512_##x
#define VS(x) sc_mm512_##x##_si512
#define TARGET
typedef simde__m512i vec;
#else
#define V(x) _mm512_##x
#define VS(x) _mm512_##x##_si512
typedef __m512i vec;
#endif

#if defined(SC_VNNI)
#define NAME(x) x##_avx512vnni
#if !defined(TARGET)
#define TARGET __attribute__((target("avx512bw,avx512vnni")))
#endif
#else
#define NAME(x) x##_avx512
#if !defined(TARGET)
#define TARGET __attribute__((target("avx512bw")))
#endif
#endif

#define LANES 16
#define VARIABLE_SHIFT 1
#define TILE_V 2
#define TILE_P 12
#define EACH_P(M, N)                                                                                         \
  M(1, N) M(2, N) M(3, N) M(4, N) M(5, N) M(6, N) M(7, N) M(8, N) M(9, N) M(10, N) M(11, N) M(12, N)
#define EACH_BLOCK(M) EACH_P(M, 1) EACH_P(M, 2)
#define NARROW_ACC 16

#define FN static inline __attribute__((always_inline)) TARGET

FN vec v_pair(const int16_t *p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return V(set1_epi32)(pair);
}

FN vec v_mac(vec acc, vec a, vec b) {
#if defined(SC_VNNI) && defined(SC_SIMDE)
  return V(dpwssd_epi32)(acc, a, b);
#elif defined(SC_VNNI)
  // Clang makes two instructions of the intrinsic where it believes that to be shorter.
  __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
#else
  return V(add_epi32)(acc, V(madd_epi16)(a, b));
#endif
}

FN __m128i v_sum4(vec a, vec b, vec c, vec d) {
  const vec ab = V(add_epi32)(V(unpacklo_epi32)(a, b), V(unpackhi_epi32)(a, b));
  const vec cd = V(add_epi32)(V(unpacklo_epi32)(c, d), V(unpackhi_epi32)(c, d));
  const vec s = V(add_epi32)(V(unpacklo_epi64)(ab, cd), V(unpackhi_epi64)(ab, cd));
  const __m256i half = _mm256_add_epi32(V(castsi512_si256)(s), V(extracti64x4_epi64)(s, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

FN void v_store16(int16_t *p, vec v) { _mm256_storeu_si256((void *)p, V(cvtepi32_epi16)(v)); }

FN vec v_pack(vec a, vec b) {
  return V(permutexvar_epi64)(V(set_epi64)(7, 5, 3, 1, 6, 4, 2, 0), V(packs_epi32)(a, b));
}

FN vec v_widen(const int16_t *p) { return V(cvtepi16_epi32)(_mm256_loadu_si256((const void *)p)); }

FN void v_interleave(vec *lo, vec *hi) {
  const vec first = *lo, second = *hi;
  *lo = V(shuffle_i32x4)(first, second, 0x88);
  *hi = V(shuffle_i32x4)(first, second, 0xDD);
}

#include "conv_x86.h"
#endif
