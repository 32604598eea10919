// SPDX-License-Identifier: BSD-3-Clause
//
// The specification of every operation. Plain loops: correct first, fast never.
#include <string.h>

#include "sc_internal.h"

size_t sc_conv_packed_size_c(int32_t rows, int32_t run, int32_t out_channels) {
  size_t bytes = (size_t)rows * (size_t)run * (size_t)out_channels * sizeof(int16_t);
  return (bytes + 63) / 64 * 64;
}

void sc_conv_pack_c(int16_t *packed, const int16_t *weights, int32_t rows, int32_t run,
                    int32_t out_channels) {
  memset(packed, 0, sc_conv_packed_size_c(rows, run, out_channels));
  memcpy(packed, weights, (size_t)rows * (size_t)run * (size_t)out_channels * sizeof(int16_t));
}

void sc_conv_c(const sc_conv *conv, const int16_t *const *rows, ptrdiff_t in_step, int16_t *out,
               ptrdiff_t out_step, size_t pixels) {
  for (size_t x = 0; x < pixels; x++) {
    const int16_t *w = conv->weights;
    for (int32_t o = 0; o < conv->out_channels; o++) {
      int32_t acc = conv->requant.bias[o];
      for (int32_t r = 0; r < conv->rows; r++) {
        const int16_t *in = rows[r] + (ptrdiff_t)x * in_step;
        for (int32_t e = 0; e < conv->run; e++) {
          acc += w[e] * in[e];
        }
        w += conv->run;
      }
      out[(ptrdiff_t)x * out_step + o] = sc_requantise(&conv->requant, o, acc);
    }
  }
}

void sc_depthwise_c(const sc_depthwise *conv, const int16_t *const *rows, ptrdiff_t in_step, int16_t *out,
                    ptrdiff_t out_step, size_t pixels) {
  const int32_t channels = conv->channels;
  const ptrdiff_t tap = (channels + SC_LANES - 1) / SC_LANES * SC_LANES;
  for (size_t x = 0; x < pixels; x++) {
    for (int32_t c = 0; c < channels; c++) {
      int32_t acc = conv->requant.bias[c];
      for (int32_t r = 0; r < conv->kh; r++) {
        for (int32_t t = 0; t < conv->kw; t++) {
          acc += conv->weights[(r * conv->kw + t) * tap + c] *
                 rows[r][(ptrdiff_t)x * in_step + (ptrdiff_t)t * channels + c];
        }
      }
      out[(ptrdiff_t)x * out_step + c] = sc_requantise(&conv->requant, c, acc);
    }
  }
}

void sc_gain_c(const sc_gain *gain, const int16_t *in, int16_t *out, size_t pixels) {
  for (size_t x = 0; x < pixels; x++) {
    for (int32_t c = 0; c < gain->channels; c++) {
      int32_t acc = gain->requant.bias[c] + gain->gain[c] * *in++;
      *out++ = sc_requantise(&gain->requant, c, acc);
    }
  }
}

static int32_t round_shift(int32_t v, int32_t s) { return s ? (v + (INT32_C(1) << (s - 1))) >> s : v; }

void sc_add_c(const int16_t *a, const int16_t *b, int16_t *out, size_t count, int32_t shift_a,
              int32_t shift_b, int32_t lo, int32_t hi) {
  for (size_t i = 0; i < count; i++) {
    out[i] = (int16_t)sc_clamp(round_shift(a[i], shift_a) + round_shift(b[i], shift_b), lo, hi);
  }
}

uint64_t sc_peak_c(uint64_t iterations) {
  volatile int16_t seed = 3;
  int16_t a = seed, w[4] = {seed, seed, seed, seed};
  uint32_t acc[4] = {0};
  for (uint64_t i = 0; i < iterations; i++) {
    for (int j = 0; j < 4; j++) {
      acc[j] += (uint32_t)(w[j] * a);
#if defined(__GNUC__)
      __asm__ volatile("" : "+r"(acc[j]), "+r"(a));
#endif
    }
  }
  volatile uint32_t sink = acc[0] + acc[1] + acc[2] + acc[3];
  (void)sink;
  return iterations * 4;
}
