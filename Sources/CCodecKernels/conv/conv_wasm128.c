// SPDX-License-Identifier: BSD-3-Clause
//
// WebAssembly's SIMD128. It has no lane-wise shifts: a shift to the right by s is a product with 2^(31 - s) in 64 bits.
#include "sc_internal.h"

#if defined(__wasm_simd128__)
#include <string.h>
#include <wasm_simd128.h>

#define NAME(x) x##_wasm128
#define TARGET
#define LANES 4
#define TILE_V 2
#define TILE_P 5
#define EACH_P(M, N) M(1, N) M(2, N) M(3, N) M(4, N) M(5, N)
#define EACH_BLOCK(M) EACH_P(M, 1) EACH_P(M, 2)
#define UNIT 2
#define PAIR 2
#define WIDTH 8
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

INLINE v128_t v_mac(v128_t acc, v128_t a, v128_t b) {
  return wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(a, b));
}

INLINE v128_t v_low(v128_t a, v128_t b) { return wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }

INLINE v128_t v_high(v128_t a, v128_t b) { return wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }

// ---- Requantisation ----

typedef struct scale {
  v128_t half, factor; // 2^(s - 1) and 2^(31 - s)
  v128_t lo, hi;
  uint32_t leaky;
} scale;

INLINE scale make_scale(const sc_requant *q, int32_t c) {
  const int32_t *s = q->shift + c;
  const int32_t one = 1;
  return (scale){
      .half = wasm_i32x4_make(one << (s[0] - 1), one << (s[1] - 1), one << (s[2] - 1), one << (s[3] - 1)),
      .factor =
          wasm_i32x4_make(one << (31 - s[0]), one << (31 - s[1]), one << (31 - s[2]), one << (31 - s[3])),
      .lo = wasm_i32x4_splat(q->lo),
      .hi = wasm_i32x4_splat(q->hi),
      .leaky = (uint32_t)q->leaky};
}

INLINE v128_t requantise(const int leaky, scale s, v128_t acc) {
  if (leaky) {
    const v128_t negative = wasm_i32x4_shr(acc, 31);
    s.half = wasm_v128_bitselect(wasm_i32x4_shl(s.half, s.leaky), s.half, negative);
    s.factor = wasm_v128_bitselect(wasm_u32x4_shr(s.factor, s.leaky), s.factor, negative);
  }
  const v128_t v = wasm_i32x4_add(acc, s.half);
  // Of the products the bits from 31 on, of which there are at most 31 and a sign.
  const v128_t a = wasm_u64x2_shr(wasm_i64x2_extmul_low_i32x4(v, s.factor), 31);
  const v128_t b = wasm_u64x2_shr(wasm_i64x2_extmul_high_i32x4(v, s.factor), 31);
  return wasm_i32x4_min(wasm_i32x4_max(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), s.lo), s.hi);
}

// Requantises and stores eight channels, of which `channels` exist.
INLINE void finish8(const int leaky, const scale s[2], v128_t lo, v128_t hi, int16_t *out, int32_t channels) {
  const v128_t r = wasm_i16x8_narrow_i32x4(requantise(leaky, s[0], lo), requantise(leaky, s[1], hi));
  if (channels >= 8) {
    wasm_v128_store(out, r);
  } else {
    int16_t part[8];
    wasm_v128_store(part, r);
    memcpy(out, part, (size_t)channels * sizeof *out);
  }
}

// Requantises `pixels` times `width` accumulators of the channels from `first` on, of which `channels` exist.
INLINE void finish(const int leaky, const sc_requant *q, int32_t first, int32_t channels, const int32_t *acc,
                   int32_t width, int16_t *out, ptrdiff_t out_step, int pixels) {
  for (int32_t c = 0; c < channels; c += 8) {
    const scale s[2] = {make_scale(q, first + c), make_scale(q, first + c + 4)};
    for (int x = 0; x < pixels; x++) {
      const int32_t *a = acc + x * width + c;
      const v128_t lo = wasm_v128_load(a);
      const v128_t hi = channels - c > 4 ? wasm_v128_load(a + 4) : lo; // there may be no more
      finish8(leaky, s, lo, hi, out + x * out_step + c, channels - c);
    }
  }
}

// ---- Wide form ----

// Adds `rows` rows, `pairs` pairs of elements after `from`, for P pixels and v vectors of channels. The
// accumulators come from init (init_step 0: the biases) and go to acc, v * LANES for each pixel. Returns the
// weights that follow.
typedef const int16_t *block_fn(const int16_t *w, const int16_t *const *in, int32_t rows, int32_t pairs,
                                ptrdiff_t from, ptrdiff_t in_step, const int32_t *init, ptrdiff_t init_step,
                                int32_t *acc);

INLINE const int16_t *block(const int P, const int v, const int16_t *w, const int16_t *const *in,
                            int32_t rows, int32_t pairs, ptrdiff_t from, ptrdiff_t in_step,
                            const int32_t *init, ptrdiff_t init_step, int32_t *acc) {
  v128_t a[TILE_P][TILE_V];
  UNROLL for (int p = 0; p < P; p++) {
    UNROLL for (int i = 0; i < v; i++) { a[p][i] = wasm_v128_load(init + p * init_step + i * LANES); }
  }
  for (int32_t r = 0; r < rows; r++) {
    const int16_t *at[TILE_P];
    UNROLL for (int p = 0; p < P; p++) { at[p] = in[r] + from + p * in_step; }
    for (int32_t n = 0; n < pairs; n++) {
      v128_t x[TILE_P];
      UNROLL for (int p = 0; p < P; p++) {
        x[p] = wasm_v128_load32_splat(at[p]);
        at[p] += 2;
      }
      UNROLL for (int i = 0; i < v; i++) {
        const v128_t k = wasm_v128_load(w + i * 2 * LANES);
        UNROLL for (int p = 0; p < P; p++) { a[p][i] = v_mac(a[p][i], x[p], k); }
      }
      w += v * LANES * 2;
    }
  }
  UNROLL for (int p = 0; p < P; p++) {
    UNROLL for (int i = 0; i < v; i++) { wasm_v128_store(acc + (p * v + i) * LANES, a[p][i]); }
  }
  return w;
}

#define BLOCK(P, N)                                                                                          \
  static const int16_t *block_##N##_##P(const int16_t *w, const int16_t *const *in, int32_t rows,            \
                                        int32_t pairs, ptrdiff_t from, ptrdiff_t in_step,                    \
                                        const int32_t *init, ptrdiff_t init_step, int32_t *acc) {            \
    return block(P, N, w, in, rows, pairs, from, in_step, init, init_step, acc);                             \
  }
EACH_BLOCK(BLOCK)
#undef BLOCK
#define BLOCK(P, N) [N - 1][P - 1] = block_##N##_##P,
static block_fn *const blocks[TILE_V][TILE_P] = {EACH_BLOCK(BLOCK)};
#undef BLOCK

// ---- Narrow form ----

INLINE v128_t sum4(v128_t a, v128_t b, v128_t c, v128_t d) {
  const v128_t ab =
      wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), wasm_i32x4_shuffle(a, b, 2, 6, 3, 7));
  const v128_t cd =
      wasm_i32x4_add(wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), wasm_i32x4_shuffle(c, d, 2, 6, 3, 7));
  return wasm_i32x4_add(wasm_i64x2_shuffle(ab, cd, 0, 2), wasm_i64x2_shuffle(ab, cd, 1, 3));
}

INLINE void narrow(const int C, const sc_conv *conv, const int16_t *const *rows, ptrdiff_t in_step,
                   int16_t *out, ptrdiff_t out_step, ptrdiff_t pixels) {
  enum { P = 2 };
  for (ptrdiff_t x = 0; x < pixels; x += P) {
    const ptrdiff_t last = pixels - 1 - x; // a short block repeats its last pixel
    v128_t a[4][P];
    ptrdiff_t at[P];
    UNROLL for (int p = 0; p < P; p++) {
      at[p] = (x + (p < last ? p : last)) * in_step;
      UNROLL for (int c = 0; c < 4; c++) { a[c][p] = wasm_i32x4_const_splat(0); }
    }
    const int16_t *w = conv->weights;
    for (int32_t r = 0; r < conv->rows; r++) {
      const int16_t *in = rows[r];
      for (int32_t e = 0; e < conv->run; e += WIDTH) {
        v128_t b[P];
        UNROLL for (int p = 0; p < P; p++) { b[p] = wasm_v128_load(in + at[p] + e); }
        UNROLL for (int c = 0; c < C; c++, w += WIDTH) {
          const v128_t k = wasm_v128_load(w);
          UNROLL for (int p = 0; p < P; p++) { a[c][p] = v_mac(a[c][p], b[p], k); }
        }
      }
    }
    UNROLL for (int p = 0; p < P; p++) {
      int32_t acc[4];
      wasm_v128_store(acc, sum4(a[0][p], a[1][p], a[2][p], a[3][p]));
      UNROLL for (int c = 0; c < C; c++) {
        if (p <= last) {
          out[(x + p) * out_step + c] = sc_requantise(&conv->requant, c, acc[c] + conv->requant.bias[c]);
        }
      }
    }
  }
}

#define NARROW_FUNCTION(N)                                                                                   \
  static void narrow_##N(const sc_conv *conv, const int16_t *const *rows, ptrdiff_t in_step, int16_t *out,   \
                         ptrdiff_t out_step, ptrdiff_t pixels) {                                             \
    narrow(N, conv, rows, in_step, out, out_step, pixels);                                                   \
  }
NARROW_FUNCTION(1)
NARROW_FUNCTION(2)
NARROW_FUNCTION(3)
NARROW_FUNCTION(4)
#undef NARROW_FUNCTION

#include "conv_tiles.h"

// ---- Depthwise, gain, add ----

enum { TAPS = SC_DEPTHWISE_SIDE * SC_DEPTHWISE_SIDE, DEPTHWISE_P = 4 };

// P pixels of eight channels, whose accumulators stay in registers over all taps: two taps at a time, whose inputs
// interleave into the pairs that one multiply-add takes.
INLINE void depthwise_tile(const int P, const int leaky, int32_t taps, const int16_t *const *at,
                           const v128_t *w, const int32_t *bias, const scale s[2], ptrdiff_t from,
                           ptrdiff_t in_step, int16_t *out, ptrdiff_t out_step, int32_t channels) {
  v128_t lo[DEPTHWISE_P], hi[DEPTHWISE_P];
  UNROLL for (int p = 0; p < P; p++) {
    lo[p] = wasm_v128_load(bias);
    hi[p] = wasm_v128_load(bias + 4);
  }
  for (int32_t t = 0; t < taps; t += 2) {
    UNROLL for (int p = 0; p < P; p++) {
      const v128_t a = wasm_v128_load(at[t] + from + p * in_step);
      const v128_t b = wasm_v128_load(at[t + 1] + from + p * in_step);
      lo[p] = v_mac(lo[p], v_low(a, b), w[t]);
      hi[p] = v_mac(hi[p], v_high(a, b), w[t + 1]);
    }
  }
  UNROLL for (int p = 0; p < P; p++) { finish8(leaky, s, lo[p], hi[p], out + p * out_step, channels); }
}

INLINE void depthwise(const int leaky, const sc_depthwise *conv, const int16_t *const *rows,
                      ptrdiff_t in_step, int16_t *out, ptrdiff_t out_step, ptrdiff_t pixels) {
  const int32_t channels = conv->channels, taps = conv->kh * conv->kw;
  const ptrdiff_t stride = sc_round_up(channels, SC_LANES);
  for (int32_t c = 0; c < channels; c += 8) {
    const int16_t *at[TAPS + 1];
    v128_t w[TAPS + 1];
    for (int32_t r = 0, t = 0; r < conv->kh; r++) {
      for (int32_t e = 0; e < conv->kw; e++, t++) {
        at[t] = rows[r] + (ptrdiff_t)e * channels + c;
      }
    }
    at[taps] = at[taps - 1]; // read only where the number is odd, and weighs nothing
    for (int32_t t = 0; t < taps; t += 2) {
      const int16_t *k = conv->weights + t * stride + c;
      const v128_t a = wasm_v128_load(k);
      const v128_t b = t + 1 < taps ? wasm_v128_load(k + stride) : wasm_i32x4_const_splat(0);
      w[t] = v_low(a, b);
      w[t + 1] = v_high(a, b);
    }
    const scale s[2] = {make_scale(&conv->requant, c), make_scale(&conv->requant, c + 4)};
    const int32_t *bias = conv->requant.bias + c;
    ptrdiff_t x = 0;
    for (; x + DEPTHWISE_P <= pixels; x += DEPTHWISE_P) {
      depthwise_tile(DEPTHWISE_P, leaky, taps, at, w, bias, s, x * in_step, in_step, out + x * out_step + c,
                     out_step, channels - c);
    }
    for (; x < pixels; x++) {
      depthwise_tile(1, leaky, taps, at, w, bias, s, x * in_step, in_step, out + x * out_step + c, out_step,
                     channels - c);
    }
  }
}

void sc_depthwise_wasm128(const sc_depthwise *conv, const int16_t *const *rows, ptrdiff_t in_step,
                          int16_t *out, ptrdiff_t out_step, size_t pixels) {
  if (conv->requant.leaky) {
    depthwise(1, conv, rows, in_step, out, out_step, (ptrdiff_t)pixels);
  } else {
    depthwise(0, conv, rows, in_step, out, out_step, (ptrdiff_t)pixels);
  }
}

void sc_gain_wasm128(const sc_gain *layer, const int16_t *in, int16_t *out, size_t pixels) {
  const int32_t channels = layer->channels;
  for (int32_t c = 0; c < channels; c += 8) {
    const scale s[2] = {make_scale(&layer->requant, c), make_scale(&layer->requant, c + 4)};
    const v128_t bias_lo = wasm_v128_load(layer->requant.bias + c),
                 bias_hi = wasm_v128_load(layer->requant.bias + c + 4);
    const v128_t g = wasm_v128_load(layer->gain + c);
    for (ptrdiff_t at = c; at < (ptrdiff_t)pixels * channels; at += channels) {
      const v128_t v = wasm_v128_load(in + at);
      finish8(1, s, wasm_i32x4_add(bias_lo, wasm_i32x4_extmul_low_i16x8(v, g)),
              wasm_i32x4_add(bias_hi, wasm_i32x4_extmul_high_i16x8(v, g)), out + at, channels - c);
    }
  }
}

void sc_add_wasm128(const int16_t *a, const int16_t *b, int16_t *out, size_t count, int32_t shift_a,
                    int32_t shift_b, int32_t lo, int32_t hi) {
  const v128_t half_a = wasm_i32x4_splat(shift_a ? INT32_C(1) << (shift_a - 1) : 0);
  const v128_t half_b = wasm_i32x4_splat(shift_b ? INT32_C(1) << (shift_b - 1) : 0);
  const v128_t low = wasm_i32x4_splat(lo), high = wasm_i32x4_splat(hi);
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const v128_t x = wasm_i32x4_add(wasm_i32x4_load16x4(a + i), half_a);
    const v128_t y = wasm_i32x4_add(wasm_i32x4_load16x4(b + i), half_b);
    const v128_t s =
        wasm_i32x4_add(wasm_i32x4_shr(x, (uint32_t)shift_a), wasm_i32x4_shr(y, (uint32_t)shift_b));
    const v128_t r = wasm_i32x4_min(wasm_i32x4_max(s, low), high);
    wasm_v128_store64_lane(out + i, wasm_i16x8_narrow_i32x4(r, r), 0);
  }
  sc_add_c(a + i, b + i, out + i, count - i, shift_a, shift_b, lo, hi);
}

// ---- Peak ----

uint64_t sc_peak_wasm128(uint64_t iterations) {
  v128_t x = wasm_i32x4_splat((int32_t)iterations), a[8];
  UNROLL for (int i = 0; i < 8; i++) { a[i] = wasm_i32x4_const_splat(0); }
  for (uint64_t n = 0; n < iterations; n++) {
    UNROLL for (int i = 0; i < 8; i++) {
      a[i] = v_mac(a[i], x, x);
      SC_OPAQUE(a[i]);
      SC_OPAQUE(x); // or one product would serve all
    }
  }
  UNROLL for (int i = 1; i < 8; i++) { a[0] = wasm_i32x4_add(a[0], a[i]); }
  volatile int32_t out = wasm_i32x4_extract_lane(a[0], 0);
  (void)out;
  return iterations * 8 * 8;
}
#endif
