// SPDX-License-Identifier: BSD-3-Clause
#include "sc_layout.h"
#include "sc_rdoq.h"

static inline int32_t clamp(int32_t v, int32_t lo, int32_t hi) { return v < lo ? lo : v > hi ? hi : v; }

void sc_hard_swish(const int16_t *in, int16_t *out, size_t count, int32_t q, int32_t shift, int32_t lo,
                   int32_t hi) {
  const int32_t three = 3 << q;
  const int64_t half = INT64_C(1) << (shift - 1);
  for (size_t i = 0; i < count; i++) {
    const int32_t t = clamp(in[i] + three, 0, 2 * three);
    const int64_t v = ((int64_t)(in[i] * t) * 10923 + half) >> shift;
    out[i] = (int16_t)(v < lo ? lo : v > hi ? hi : v);
  }
}

void sc_hard_swish_gradient(const int16_t *values, const int16_t *gradient, int16_t *out, int32_t channels,
                            int32_t q, const int32_t *factor, size_t pixels) {
  const int32_t three = 3 << q;
  for (size_t x = 0; x < pixels; x++)
    for (int32_t c = 0; c < channels; c++, values++, gradient++, out++) {
      const int32_t v = *values;
      // (2 v + 3) / 6 between -3 and 3
      const int32_t slope = v <= -three ? 0 : v >= three ? 256 : (2 * v + three) * 128 / three;
      const int64_t add = ((int64_t)*gradient * slope * factor[c] + (1 << 23)) >> 24;
      const int64_t sum = *out + add, limit = SC_GRADIENT_LIMIT;
      *out = (int16_t)(sum < -limit ? -limit : sum > limit ? limit : sum);
    }
}
