// SPDX-License-Identifier: BSD-3-Clause
//
// NEON: aarch64, and armv7 with half as many registers.
#include "sc_internal.h"

#if defined(__ARM_NEON)
#include <arm_neon.h>
#include <string.h>

#define NAME(x) x##_neon
#define TARGET
#define LANES 8 // a pair of registers
#define TILE_V 1
#if defined(__aarch64__)
#define TILE_P 8
#define EACH_P(M) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8)
#else
#define TILE_P 5
#define EACH_P(M) M(1) M(2) M(3) M(4) M(5)
#endif
#define UNIT 4
#define PAIR 1
#define WIDTH 8
#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#if !defined(__aarch64__)
// What armv7 lacks.
INLINE int32x4_t vmlal_high_s16(int32x4_t acc, int16x8_t a, int16x8_t b) {
  return vmlal_s16(acc, vget_high_s16(a), vget_high_s16(b));
}
#define vmlal_high_lane_s16(acc, a, b, lane) vmlal_lane_s16(acc, vget_high_s16(a), b, lane)
INLINE int32_t vaddvq_s32(int32x4_t a) {
  const int32x2_t pairs = vpadd_s32(vget_low_s32(a), vget_high_s32(a));
  return vget_lane_s32(vpadd_s32(pairs, pairs), 0);
}
#endif

// ---- Requantisation ----

typedef struct scale {
  int32x4_t right; // the shift, negative: vrshlq rounds without an intermediate that could overflow
  int32x4_t leaky, lo, hi;
} scale;

INLINE scale make_scale(const sc_requant *q, int32_t c) {
  return (scale){.right = vnegq_s32(vld1q_s32(q->shift + c)),
                 .leaky = vdupq_n_s32(q->leaky),
                 .lo = vdupq_n_s32(q->lo),
                 .hi = vdupq_n_s32(q->hi)};
}

INLINE int16x4_t requantise(scale s, int32x4_t acc) {
  const int32x4_t right = vsubq_s32(s.right, vandq_s32(vshrq_n_s32(acc, 31), s.leaky));
  return vmovn_s32(vminq_s32(vmaxq_s32(vrshlq_s32(acc, right), s.lo), s.hi));
}

// Requantises and stores eight channels, of which `channels` exist.
INLINE void finish8(scale lo, scale hi, int32x4_t acc_lo, int32x4_t acc_hi, int16_t *out, int32_t channels) {
  const int16x8_t r = vcombine_s16(requantise(lo, acc_lo), requantise(hi, acc_hi));
  if (channels >= 8) {
    vst1q_s16(out, r);
  } else {
    int16_t part[8];
    vst1q_s16(part, r);
    memcpy(out, part, (size_t)channels * sizeof *out);
  }
}

// Requantises `pixels` times `width` accumulators of the channels from `first` on, of which `channels` exist.
static void finish(int leaky, const sc_requant *q, int32_t first, int32_t channels, const int32_t *acc,
                   int32_t width, int16_t *out, ptrdiff_t out_step, int pixels) {
  (void)leaky;
  for (int32_t c = 0; c < channels; c += 8) {
    const scale lo = make_scale(q, first + c), hi = make_scale(q, first + c + 4);
    for (int x = 0; x < pixels; x++) {
      const int32_t *a = acc + x * width + c;
      finish8(lo, hi, vld1q_s32(a), vld1q_s32(a + 4), out + x * out_step + c, channels - c);
    }
  }
}

// ---- Wide form ----

// Adds `rows` rows, `steps` times UNIT elements after `from`, for P pixels and eight channels. The
// accumulators come from init (init_step 0: the biases) and go to acc, eight for each pixel. Returns the
// weights that follow.
typedef const int16_t *block_fn(const int16_t *w, const int16_t *const *in, int32_t rows, int32_t steps,
                                ptrdiff_t from, ptrdiff_t in_step, const int32_t *init, ptrdiff_t init_step,
                                int32_t *acc);

INLINE const int16_t *block(const int P, const int16_t *w, const int16_t *const *in, int32_t rows,
                            int32_t steps, ptrdiff_t from, ptrdiff_t in_step, const int32_t *init,
                            ptrdiff_t init_step, int32_t *acc) {
  int32x4_t lo[TILE_P], hi[TILE_P];
  UNROLL for (int p = 0; p < P; p++) {
    lo[p] = vld1q_s32(init + p * init_step);
    hi[p] = vld1q_s32(init + p * init_step + 4);
  }
  for (int32_t r = 0; r < rows; r++) {
    const int16_t *at = in[r] + from;
    for (int32_t n = 0; n < steps; n++, at += UNIT, w += 8 * UNIT) {
      int16x4_t x[TILE_P];
      UNROLL for (int p = 0; p < P; p++) { x[p] = vld1_s16(at + p * in_step); }
#define LANE(e)                                                                                              \
  {                                                                                                          \
    const int16x8_t k = vld1q_s16(w + 8 * e);                                                                \
    UNROLL for (int p = 0; p < P; p++) {                                                                     \
      lo[p] = vmlal_lane_s16(lo[p], vget_low_s16(k), x[p], e);                                               \
      hi[p] = vmlal_high_lane_s16(hi[p], k, x[p], e);                                                        \
    }                                                                                                        \
  }
      LANE(0)
      LANE(1)
      LANE(2)
      LANE(3)
#undef LANE
    }
  }
  UNROLL for (int p = 0; p < P; p++) {
    vst1q_s32(acc + 8 * p, lo[p]);
    vst1q_s32(acc + 8 * p + 4, hi[p]);
  }
  return w;
}

#define BLOCK(P)                                                                                             \
  static const int16_t *block_##P(const int16_t *w, const int16_t *const *in, int32_t rows, int32_t steps,   \
                                  ptrdiff_t from, ptrdiff_t in_step, const int32_t *init,                    \
                                  ptrdiff_t init_step, int32_t *acc) {                                       \
    return block(P, w, in, rows, steps, from, in_step, init, init_step, acc);                                \
  }
EACH_P(BLOCK)
#undef BLOCK
#define BLOCK(P) [P - 1] = block_##P,
static block_fn *const blocks[TILE_V][TILE_P] = {{EACH_P(BLOCK)}};
#undef BLOCK

// ---- Narrow form ----

INLINE void narrow(const int C, const sc_conv *conv, const int16_t *const *rows, ptrdiff_t in_step,
                   int16_t *out, ptrdiff_t out_step, ptrdiff_t pixels) {
#if defined(__aarch64__)
  enum { P = 4 };
#else
  enum { P = 2 };
#endif
  for (ptrdiff_t x = 0; x < pixels; x += P) {
    const ptrdiff_t last = pixels - 1 - x; // a short block repeats its last pixel
    int32x4_t a[4][P];
    ptrdiff_t at[P];
    UNROLL for (int p = 0; p < P; p++) {
      at[p] = (x + (p < last ? p : last)) * in_step;
      UNROLL for (int c = 0; c < C; c++) { a[c][p] = vdupq_n_s32(0); }
    }
    const int16_t *w = conv->weights;
    for (int32_t r = 0; r < conv->rows; r++) {
      const int16_t *in = rows[r];
      for (int32_t e = 0; e < conv->run; e += WIDTH) {
        int16x8_t b[P];
        UNROLL for (int p = 0; p < P; p++) { b[p] = vld1q_s16(in + at[p] + e); }
        UNROLL for (int c = 0; c < C; c++, w += WIDTH) {
          const int16x8_t k = vld1q_s16(w);
          UNROLL for (int p = 0; p < P; p++) {
            a[c][p] = vmlal_s16(a[c][p], vget_low_s16(b[p]), vget_low_s16(k));
            a[c][p] = vmlal_high_s16(a[c][p], b[p], k);
          }
        }
      }
    }
    UNROLL for (int c = 0; c < C; c++) {
      UNROLL for (int p = 0; p < P; p++) {
        if (p <= last) {
          const int32_t acc = vaddvq_s32(a[c][p]) + conv->requant.bias[c];
          out[(x + p) * out_step + c] = sc_requantise(&conv->requant, c, acc);
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

enum {
  TAPS = SC_DEPTHWISE_SIDE * SC_DEPTHWISE_SIDE,
#if defined(__aarch64__)
  DEPTHWISE_P = 8,
#else
  DEPTHWISE_P = 4,
#endif
};

// P pixels of eight channels, whose accumulators stay in registers over all taps.
INLINE void depthwise(const int P, const sc_depthwise *conv, int32_t taps, const int16_t *const *at,
                      int32_t c, const scale s[2], ptrdiff_t from, ptrdiff_t in_step, int16_t *out,
                      ptrdiff_t out_step) {
  const ptrdiff_t stride = sc_round_up(conv->channels, SC_LANES);
  const int16_t *w = conv->weights + c;
  int32x4_t lo[DEPTHWISE_P], hi[DEPTHWISE_P];
  UNROLL for (int p = 0; p < P; p++) {
    lo[p] = vld1q_s32(conv->requant.bias + c);
    hi[p] = vld1q_s32(conv->requant.bias + c + 4);
  }
  for (int32_t t = 0; t < taps; t++, w += stride) {
    const int16x8_t k = vld1q_s16(w);
    UNROLL for (int p = 0; p < P; p++) {
      const int16x8_t a = vld1q_s16(at[t] + from + p * in_step);
      lo[p] = vmlal_s16(lo[p], vget_low_s16(a), vget_low_s16(k));
      hi[p] = vmlal_high_s16(hi[p], a, k);
    }
  }
  UNROLL for (int p = 0; p < P; p++) {
    finish8(s[0], s[1], lo[p], hi[p], out + p * out_step, conv->channels - c);
  }
}

void sc_depthwise_neon(const sc_depthwise *conv, const int16_t *const *rows, ptrdiff_t in_step, int16_t *out,
                       ptrdiff_t out_step, size_t pixels) {
  const int32_t channels = conv->channels, taps = conv->kh * conv->kw;
  for (int32_t c = 0; c < channels; c += 8) {
    const int16_t *at[TAPS];
    for (int32_t r = 0, t = 0; r < conv->kh; r++) {
      for (int32_t e = 0; e < conv->kw; e++, t++) {
        at[t] = rows[r] + (ptrdiff_t)e * channels + c;
      }
    }
    const scale s[2] = {make_scale(&conv->requant, c), make_scale(&conv->requant, c + 4)};
    ptrdiff_t x = 0;
    for (; x + DEPTHWISE_P <= (ptrdiff_t)pixels; x += DEPTHWISE_P) {
      depthwise(DEPTHWISE_P, conv, taps, at, c, s, x * in_step, in_step, out + x * out_step + c, out_step);
    }
    for (; x < (ptrdiff_t)pixels; x++) {
      depthwise(1, conv, taps, at, c, s, x * in_step, in_step, out + x * out_step + c, out_step);
    }
  }
}

void sc_gain_neon(const sc_gain *layer, const int16_t *in, int16_t *out, size_t pixels) {
  const int32_t channels = layer->channels;
  for (int32_t c = 0; c < channels; c += 8) {
    const scale lo = make_scale(&layer->requant, c), hi = make_scale(&layer->requant, c + 4);
    const int32x4_t bias_lo = vld1q_s32(layer->requant.bias + c),
                    bias_hi = vld1q_s32(layer->requant.bias + c + 4);
    const int16x8_t g = vld1q_s16(layer->gain + c);
    for (ptrdiff_t at = c; at < (ptrdiff_t)pixels * channels; at += channels) {
      const int16x8_t v = vld1q_s16(in + at);
      finish8(lo, hi, vmlal_s16(bias_lo, vget_low_s16(v), vget_low_s16(g)), vmlal_high_s16(bias_hi, v, g),
              out + at, channels - c);
    }
  }
}

void sc_add_neon(const int16_t *a, const int16_t *b, int16_t *out, size_t count, int32_t shift_a,
                 int32_t shift_b, int32_t lo, int32_t hi) {
  const int32x4_t by_a = vdupq_n_s32(-shift_a), by_b = vdupq_n_s32(-shift_b);
  const int32x4_t low = vdupq_n_s32(lo), high = vdupq_n_s32(hi);
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const int32x4_t s =
        vaddq_s32(vrshlq_s32(vmovl_s16(vld1_s16(a + i)), by_a), vrshlq_s32(vmovl_s16(vld1_s16(b + i)), by_b));
    vst1_s16(out + i, vmovn_s32(vminq_s32(vmaxq_s32(s, low), high)));
  }
  sc_add_c(a + i, b + i, out + i, count - i, shift_a, shift_b, lo, hi);
}

// ---- Peak ----

uint64_t sc_peak_neon(uint64_t iterations) {
  int16x8_t x = vdupq_n_s16((int16_t)iterations);
  int32x4_t a[12];
  UNROLL for (int i = 0; i < 12; i++) { a[i] = vdupq_n_s32(0); }
  for (uint64_t n = 0; n < iterations; n++) {
    UNROLL for (int i = 0; i < 12; i++) {
      a[i] = vmlal_high_s16(a[i], x, x);
      SC_OPAQUE(a[i]);
    }
  }
  UNROLL for (int i = 1; i < 12; i++) { a[0] = vaddq_s32(a[0], a[i]); }
  volatile int32_t out = vaddvq_s32(a[0]);
  (void)out;
  return iterations * 12 * 4;
}
#endif
