// SPDX-License-Identifier: BSD-3-Clause
#include "sc_internal.h"

#if defined(__ARM_NEON)
#include <arm_neon.h>
#define NAME(x) x##_neon
#define TARGET
typedef union halves {
  __attribute__((vector_size(32))) int32_t whole;
  int32x4_t sum[2];
  int16x4_t quarter[4];
} halves;
// Which products meet in a sum does not matter.
static inline __attribute__((always_inline)) halves dot(halves sum, halves a, halves b) {
  for (int i = 0; i < 4; i++)
    sum.sum[i / 2] = vmlal_s16(sum.sum[i / 2], a.quarter[i], b.quarter[i]);
  return sum;
}
#define HALVES(v) ((halves){.whole = (i32x8)(v)})
#define DOT(sum, a, b) dot(HALVES(sum), HALVES(a), HALVES(b)).whole
#include "filter_vectors.h"
#endif
