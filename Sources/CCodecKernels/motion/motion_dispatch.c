// SPDX-License-Identifier: BSD-3-Clause
//
// Which functions a variant has. Those that it does not have are the next weaker variant's.
#include "motion_internal.h"

#define TABLE(text, best, suffix)                                                                            \
  {                                                                                                          \
    .name = text, .luma = sc_motion_luma_##best, .chroma = sc_motion_chroma_##suffix,                        \
    .sad16 = sc_motion_sad16_##best, .sad8 = sc_motion_sad8_##suffix,                                        \
    .sad8_row = sc_motion_sad8_row_##suffix, .squares = sc_motion_squares_##best                             \
  }

static const sc_motion_kernels plain = TABLE("c", c, c);
#if defined(__x86_64__)
static const sc_motion_kernels sse41 = TABLE("sse41", sse41, sse41);
static const sc_motion_kernels avx2 = TABLE("avx2", avx2, sse41);
#elif defined(__aarch64__)
static const sc_motion_kernels neon = TABLE("neon", neon, neon);
#endif

const sc_motion_kernels *sc_motion_kernels_get(sc_cpu cpu) {
  if (!sc_kernels_get(cpu))
    return NULL;
#if defined(__x86_64__)
  return cpu >= SC_CPU_AVX2 ? &avx2 : cpu == SC_CPU_SSE41 ? &sse41 : &plain;
#elif defined(__aarch64__)
  return cpu == SC_CPU_NEON ? &neon : &plain;
#else
  return &plain;
#endif
}
