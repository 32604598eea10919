// SPDX-License-Identifier: BSD-3-Clause
#include "sc_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,bmi,bmi2")))
#define DOT(sum, a, b) (i32x8) _mm256_add_epi32((__m256i)(sum), _mm256_madd_epi16((__m256i)(a), (__m256i)(b)))
#include "filter_vectors.h"
#endif
