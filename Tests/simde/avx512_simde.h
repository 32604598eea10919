// SPDX-License-Identifier: BSD-3-Clause
//
// AVX-512 for processors without it: SIMDe, and in plain C the lane-by-lane operations that its packaged
// releases lack.
#ifndef AVX512_SIMDE_H
#define AVX512_SIMDE_H
#include <simde/x86/avx512.h>

#include <string.h>

typedef union avx512_lanes {
  simde__m512i v;
  int32_t s32[16];
  int16_t s16[32];
} avx512_lanes;

#define AVX512_LANEWISE(name, expression)                                                                    \
  static inline simde__m512i sc_mm512_##name(simde__m512i a, simde__m512i b) {                               \
    avx512_lanes x = {.v = a}, y = {.v = b}, r;                                                              \
    for (int i = 0; i < 16; i++)                                                                             \
      r.s32[i] = expression;                                                                                 \
    return r.v;                                                                                              \
  }
AVX512_LANEWISE(srav_epi32, x.s32[i] >> ((uint32_t)y.s32[i] > 31 ? 31 : y.s32[i]))
AVX512_LANEWISE(sllv_epi32, (uint32_t)y.s32[i] > 31 ? 0 : (int32_t)((uint32_t)x.s32[i] << y.s32[i]))
AVX512_LANEWISE(madd_epi16, (int32_t)((uint32_t)(x.s16[2 * i] * y.s16[2 * i]) +
                                      (uint32_t)(x.s16[2 * i + 1] * y.s16[2 * i + 1])))

static inline simde__m512i sc_mm512_srai_epi32(simde__m512i a, unsigned by) {
  return sc_mm512_srav_epi32(a, simde_mm512_set1_epi32((int32_t)by));
}
static inline simde__m512i sc_mm512_sra_epi32(simde__m512i a, __m128i by) {
  return sc_mm512_srav_epi32(a, simde_mm512_set1_epi32(_mm_cvtsi128_si32(by)));
}
static inline simde__m512i sc_mm512_cvtepi16_epi32(__m256i a) {
  int16_t in[16];
  avx512_lanes r;
  memcpy(in, &a, sizeof in);
  for (int i = 0; i < 16; i++)
    r.s32[i] = in[i];
  return r.v;
}
static inline __m256i sc_mm512_cvtepi32_epi16(simde__m512i a) {
  avx512_lanes x = {.v = a};
  int16_t out[16];
  for (int i = 0; i < 16; i++)
    out[i] = (int16_t)x.s32[i];
  __m256i r;
  memcpy(&r, out, sizeof r);
  return r;
}
static inline simde__m512i sc_mm512_dpwssd_epi32(simde__m512i acc, simde__m512i a, simde__m512i b) {
  return simde_mm512_add_epi32(acc, sc_mm512_madd_epi16(a, b));
}

#define sc_mm512_add_epi32 simde_mm512_add_epi32
#define sc_mm512_sub_epi32 simde_mm512_sub_epi32
#define sc_mm512_min_epi32 simde_mm512_min_epi32
#define sc_mm512_max_epi32 simde_mm512_max_epi32
#define sc_mm512_and_si512 simde_mm512_and_si512
#define sc_mm512_set1_epi32 simde_mm512_set1_epi32
#define sc_mm512_set1_epi16 simde_mm512_set1_epi16
#define sc_mm512_set_epi64 simde_mm512_set_epi64
#define sc_mm512_permutexvar_epi64 simde_mm512_permutexvar_epi64
#define sc_mm512_min_epi16 simde_mm512_min_epi16
#define sc_mm512_max_epi16 simde_mm512_max_epi16
#define sc_mm512_setzero_si512 simde_mm512_setzero_si512
#define sc_mm512_load_si512 simde_mm512_load_si512
#define sc_mm512_loadu_si512 simde_mm512_loadu_si512
#define sc_mm512_storeu_si512 simde_mm512_storeu_si512
#define sc_mm512_packs_epi32 simde_mm512_packs_epi32
#define sc_mm512_unpacklo_epi16 simde_mm512_unpacklo_epi16
#define sc_mm512_unpackhi_epi16 simde_mm512_unpackhi_epi16
#define sc_mm512_unpacklo_epi32 simde_mm512_unpacklo_epi32
#define sc_mm512_unpackhi_epi32 simde_mm512_unpackhi_epi32
#define sc_mm512_unpacklo_epi64 simde_mm512_unpacklo_epi64
#define sc_mm512_unpackhi_epi64 simde_mm512_unpackhi_epi64
#define sc_mm512_shuffle_i32x4 simde_mm512_shuffle_i32x4
#define sc_mm512_castsi512_si256 simde_mm512_castsi512_si256
#define sc_mm512_extracti64x4_epi64 simde_mm512_extracti64x4_epi64
#endif
