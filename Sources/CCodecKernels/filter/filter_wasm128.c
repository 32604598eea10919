// SPDX-License-Identifier: BSD-3-Clause
#include "sc_internal.h"

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define NAME(x) x##_wasm128
#define TARGET
typedef union halves {
  __attribute__((vector_size(32))) int32_t whole;
  v128_t half[2];
} halves;
static inline __attribute__((always_inline)) halves dot(halves sum, halves a, halves b) {
  for (int i = 0; i < 2; i++)
    sum.half[i] = wasm_i32x4_add(sum.half[i], wasm_i32x4_dot_i16x8(a.half[i], b.half[i]));
  return sum;
}
#define HALVES(v) ((halves){.whole = (i32x8)(v)})
#define DOT(sum, a, b) dot(HALVES(sum), HALVES(a), HALVES(b)).whole
#include "filter_vectors.h"
#endif
