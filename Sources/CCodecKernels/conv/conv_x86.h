// SPDX-License-Identifier: BSD-3-Clause
//
// The x86 kernels, written once. A variant's file defines, before including this one:
//
// clang-format off
//   NAME(x), TARGET         x with the variant's suffix; the function attribute that switches the instructions on
//   vec, LANES              a vector of int32 and how many it holds (it holds twice as many int16)
//   V(x), VS(x)             the intrinsic x of this vector length; those whose names end in the register's size
//   VARIABLE_SHIFT          1 where lanes can be shifted by different counts; 0 leaves requantisation to plain C
//   TILE_V, TILE_P          vectors of channels and pixels of the largest register block
//   EACH_BLOCK(M)           M(P, v) for every block up to that
//   NARROW_ACC              accumulators of the narrow form's block
//   v_pair(p)               two int16 from memory in every 32-bit lane
//   v_mac(acc, a, b)        acc + a.lo * b.lo + a.hi * b.hi in every 32-bit lane
//   v_sum4(a, b, c, d)      the sums over all lanes of four vectors, as one __m128i
//   v_store16(p, v)         stores LANES int32 that fit 16 bits as int16
//   v_pack(a, b)            2 * LANES int32 saturated to int16, in order
//   v_widen(p)              LANES int16 from memory, as int32
//   v_interleave(&lo, &hi)  (first half, second half) of 2 * LANES int32 to the lanes where unpacklo_epi16 and
//                           unpackhi_epi16 put the elements of 2 * LANES int16; packs_epi32 undoes it
// clang-format on
#include <string.h>

#include "sc_internal.h"

#define INLINE static inline __attribute__((always_inline)) TARGET
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#define UNIT 2
#define PAIR 2
#define WIDTH (2 * LANES)

// ---- Requantisation ----

#if VARIABLE_SHIFT
typedef struct scale {
  vec shift, half, leaky, lo, hi;
} scale;

INLINE vec half_of(vec shift) {
  const vec one = V(set1_epi32)(1);
  return V(sllv_epi32)(one, V(sub_epi32)(shift, one));
}

INLINE scale make_scale(const sc_requant *q, vec shift) {
  return (scale){.shift = shift,
                 .half = half_of(shift),
                 .leaky = V(set1_epi32)(q->leaky),
                 .lo = V(set1_epi32)(q->lo),
                 .hi = V(set1_epi32)(q->hi)};
}

INLINE vec shifted(const int leaky, scale s, vec acc) {
  if (leaky) {
    s.shift = V(add_epi32)(s.shift, VS(and)(V(srai_epi32)(acc, 31), s.leaky));
    s.half = half_of(s.shift);
  }
  return V(srav_epi32)(V(add_epi32)(acc, s.half), s.shift);
}

INLINE vec requantise(const int leaky, scale s, vec acc) {
  return V(min_epi32)(V(max_epi32)(shifted(leaky, s, acc), s.lo), s.hi);
}
#endif

// Requantises `pixels` times `width` accumulators of the channels from `first` on, of which `channels` exist.
INLINE void finish(const int leaky, const sc_requant *q, int32_t first, int32_t channels, const int32_t *acc,
                   int32_t width, int16_t *out, ptrdiff_t out_step, int pixels) {
#if VARIABLE_SHIFT
  int32_t c = 0;
  for (; c + 2 * LANES <= channels; c += 2 * LANES) {
    // Two vectors become one of int16, which saturates as the bounds would, before these are applied.
    const scale s0 = make_scale(q, VS(loadu)((const void *)(q->shift + first + c)));
    const scale s1 = make_scale(q, VS(loadu)((const void *)(q->shift + first + c + LANES)));
    const vec lo = V(set1_epi16)((short)q->lo), hi = V(set1_epi16)((short)q->hi);
    for (int x = 0; x < pixels; x++) {
      const int32_t *a = acc + x * width + c;
      const vec r = v_pack(shifted(leaky, s0, VS(loadu)((const void *)a)),
                           shifted(leaky, s1, VS(loadu)((const void *)(a + LANES))));
      VS(storeu)((void *)(out + x * out_step + c), V(min_epi16)(V(max_epi16)(r, lo), hi));
    }
  }
  for (; c < channels; c += LANES) {
    const scale s = make_scale(q, VS(loadu)((const void *)(q->shift + first + c)));
    for (int x = 0; x < pixels; x++) {
      const vec r = requantise(leaky, s, VS(loadu)((const void *)(acc + x * width + c)));
      int16_t *to = out + x * out_step + c;
      if (channels - c >= LANES) {
        v_store16(to, r);
      } else {
        int16_t part[LANES];
        v_store16(part, r);
        memcpy(to, part, (size_t)(channels - c) * sizeof *out);
      }
    }
  }
#else
  (void)leaky;
  for (int x = 0; x < pixels; x++) {
    for (int32_t c = 0; c < channels; c++) {
      out[x * out_step + c] = sc_requantise(q, first + c, acc[x * width + c]);
    }
  }
#endif
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
  vec a[TILE_P][TILE_V], b[TILE_V];
  UNROLL for (int p = 0; p < P; p++) {
    UNROLL for (int i = 0; i < v; i++) {
      a[p][i] = VS(loadu)((const void *)(init + p * init_step + i * LANES));
    }
  }
  for (int32_t r = 0; r < rows; r++) {
    // A pointer for every three pixels: base, base + step and base + 2 * step are addressing modes.
    const int16_t *at[(TILE_P + 2) / 3];
    UNROLL for (int p = 0; p < P; p += 3) { at[p / 3] = in[r] + from + p * in_step; }
    for (int32_t n = 0; n < pairs; n++) {
      UNROLL for (int i = 0; i < v; i++) { b[i] = VS(load)((const void *)(w + i * 2 * LANES)); }
      UNROLL for (int p = 0; p < P; p++) {
        const vec x = v_pair(at[p / 3] + p % 3 * in_step);
        UNROLL for (int i = 0; i < v; i++) { a[p][i] = v_mac(a[p][i], x, b[i]); }
      }
      UNROLL for (int p = 0; p < P; p += 3) {
        at[p / 3] += 2;
        SC_OPAQUE_POINTER(at[p / 3]); // or the compiler derives them from each other, in a chain of additions
      }
      w += v * LANES * 2;
    }
  }
  UNROLL for (int p = 0; p < P; p++) {
    UNROLL for (int i = 0; i < v; i++) { VS(storeu)((void *)(acc + (p * v + i) * LANES), a[p][i]); }
  }
  return w;
}

// Functions, not inlined: the registers of the loop are all spoken for.
#define BLOCK(P, N)                                                                                          \
  TARGET static const int16_t *block_##N##_##P(const int16_t *w, const int16_t *const *in, int32_t rows,     \
                                               int32_t pairs, ptrdiff_t from, ptrdiff_t in_step,             \
                                               const int32_t *init, ptrdiff_t init_step, int32_t *acc) {     \
    return block(P, N, w, in, rows, pairs, from, in_step, init, init_step, acc);                             \
  }
EACH_BLOCK(BLOCK)
#undef BLOCK
#define BLOCK(P, N) [N - 1][P - 1] = block_##N##_##P,
static block_fn *const blocks[TILE_V][TILE_P] = {EACH_BLOCK(BLOCK)};
#undef BLOCK

// ---- Narrow form ----

INLINE void narrow(const int C, const int P, const sc_conv *conv, const int16_t *const *rows,
                   ptrdiff_t in_step, int16_t *out, ptrdiff_t out_step, ptrdiff_t pixels) {
  const sc_requant *q = &conv->requant;
  for (ptrdiff_t x = 0; x < pixels; x += P) {
    const ptrdiff_t last = pixels - 1 - x; // a short block repeats its last pixel
    vec a[4][4], b[4];
    ptrdiff_t at[4];
    UNROLL for (int p = 0; p < 4; p++) {
      at[p] = (x + (p < last ? p : last)) * in_step;
      UNROLL for (int c = 0; c < 4; c++) { a[c][p] = VS(setzero)(); }
    }
    const int16_t *w = conv->weights;
    for (int32_t r = 0; r < conv->rows; r++) {
      const int16_t *in = rows[r];
      for (int32_t e = 0; e < conv->run; e += 2 * LANES) {
        UNROLL for (int p = 0; p < P; p++) { b[p] = VS(loadu)((const void *)(in + at[p] + e)); }
        UNROLL for (int c = 0; c < C; c++, w += 2 * LANES) {
          const vec k = VS(load)((const void *)w);
          UNROLL for (int p = 0; p < P; p++) { a[c][p] = v_mac(a[c][p], b[p], k); }
        }
      }
    }
    UNROLL for (int c = 0; c < C; c++) {
      __m128i s = _mm_add_epi32(v_sum4(a[c][0], a[c][1], a[c][2], a[c][3]), _mm_set1_epi32(q->bias[c]));
      const int32_t shift = q->shift[c], slope = shift + q->leaky;
      const __m128i negative = _mm_srai_epi32(s, 31);
      const __m128i plain = _mm_sra_epi32(_mm_add_epi32(s, _mm_set1_epi32(INT32_C(1) << (shift - 1))),
                                          _mm_cvtsi32_si128(shift));
      const __m128i leaky = _mm_sra_epi32(_mm_add_epi32(s, _mm_set1_epi32(INT32_C(1) << (slope - 1))),
                                          _mm_cvtsi32_si128(slope));
      s = _mm_blendv_epi8(plain, leaky, negative);
      s = _mm_min_epi32(_mm_max_epi32(s, _mm_set1_epi32(q->lo)), _mm_set1_epi32(q->hi));
      int32_t lane[4];
      _mm_storeu_si128((__m128i *)lane, s);
      UNROLL for (int p = 0; p < P; p++) {
        if (p <= last) {
          out[(x + p) * out_step + c] = (int16_t)lane[p];
        }
      }
    }
  }
}

#define NARROW_FUNCTION(N)                                                                                   \
  TARGET static void narrow_##N(const sc_conv *conv, const int16_t *const *rows, ptrdiff_t in_step,          \
                                int16_t *out, ptrdiff_t out_step, ptrdiff_t pixels) {                        \
    narrow(N, NARROW_ACC / N < 4 ? NARROW_ACC / N : 4, conv, rows, in_step, out, out_step, pixels);          \
  }
NARROW_FUNCTION(1)
NARROW_FUNCTION(2)
NARROW_FUNCTION(3)
NARROW_FUNCTION(4)
#undef NARROW_FUNCTION

#include "conv_tiles.h"

// ---- Depthwise, gain, add ----

#if VARIABLE_SHIFT
// Requantises and stores the sums of 2 * LANES channels, interleaved; `channels` of them exist.
INLINE void finish_pair(const int leaky, const scale s[2], vec lo, vec hi, int16_t *out, int32_t channels) {
  const vec r = V(packs_epi32)(requantise(leaky, s[0], lo), requantise(leaky, s[1], hi));
  if (channels >= 2 * LANES) {
    VS(storeu)((void *)out, r);
  } else {
    int16_t part[2 * LANES];
    VS(storeu)((void *)part, r);
    memcpy(out, part, (size_t)channels * sizeof *out);
  }
}

INLINE void load_interleaved(const int32_t *p, vec *lo, vec *hi) {
  *lo = VS(loadu)((const void *)p);
  *hi = VS(loadu)((const void *)(p + LANES));
  v_interleave(lo, hi);
}

INLINE void load_scales(const sc_requant *q, int32_t c, scale s[2]) {
  vec lo, hi;
  load_interleaved(q->shift + c, &lo, &hi);
  s[0] = make_scale(q, lo);
  s[1] = make_scale(q, hi);
}

enum { TAPS = SC_DEPTHWISE_SIDE * SC_DEPTHWISE_SIDE, DEPTHWISE_P = 4 };

// The taps of a depthwise kernel for 2 * LANES channels, in pairs: where the inputs of pixel 0 are, and the weights of
// both interleaved, as the inputs are before one multiply-add takes them. The second of an odd last pair weighs nothing.
typedef struct taps {
  const int16_t *at[TAPS + 1];
  vec w[TAPS + 1];
} taps;

INLINE void load_taps(taps *t, const int32_t count, const sc_depthwise *conv, const int16_t *const *rows,
                      int32_t c) {
  const ptrdiff_t stride = sc_round_up(conv->channels, SC_LANES);
  for (int32_t r = 0, i = 0; r < conv->kh; r++) {
    for (int32_t e = 0; e < conv->kw; e++, i++) {
      t->at[i] = rows[r] + (ptrdiff_t)e * conv->channels + c;
    }
  }
  t->at[count] = t->at[count - 1]; // read only where the count is odd
  for (int32_t i = 0; i < count; i += 2) {
    const int16_t *k = conv->weights + i * stride + c;
    const vec a = VS(loadu)((const void *)k);
    const vec b = i + 1 < count ? VS(loadu)((const void *)(k + stride)) : VS(setzero)();
    t->w[i] = V(unpacklo_epi16)(a, b);
    t->w[i + 1] = V(unpackhi_epi16)(a, b);
  }
}

// P pixels, whose accumulators stay in registers over all taps.
INLINE void depthwise_tile(const int P, const int leaky, const int32_t pairs, const taps *t,
                           const vec bias[2], const scale s[2], ptrdiff_t from, ptrdiff_t in_step,
                           int16_t *out, ptrdiff_t out_step, int32_t channels) {
  vec lo[DEPTHWISE_P], hi[DEPTHWISE_P];
  UNROLL for (int p = 0; p < P; p++) {
    lo[p] = bias[0];
    hi[p] = bias[1];
  }
  for (int32_t i = 0; i < 2 * pairs; i += 2) {
    const int16_t *first = t->at[i] + from, *second = t->at[i + 1] + from;
    UNROLL for (int p = 0; p < P; p++) {
      const vec a = VS(loadu)((const void *)(first + p * in_step));
      const vec b = VS(loadu)((const void *)(second + p * in_step));
      lo[p] = v_mac(lo[p], V(unpacklo_epi16)(a, b), t->w[i]);
      hi[p] = v_mac(hi[p], V(unpackhi_epi16)(a, b), t->w[i + 1]);
    }
  }
  UNROLL for (int p = 0; p < P; p++) { finish_pair(leaky, s, lo[p], hi[p], out + p * out_step, channels); }
}

// In tiles of P pixels. `count` taps, a constant where the compiler is to unroll the loop over them.
INLINE void depthwise(const int P, const int leaky, const int32_t count, const sc_depthwise *conv,
                      const int16_t *const *rows, ptrdiff_t in_step, int16_t *out, ptrdiff_t out_step,
                      size_t pixels) {
  const int32_t channels = conv->channels, pairs = (count + 1) / 2;
  for (int32_t c = 0; c < channels; c += 2 * LANES) {
    taps t;
    vec bias[2];
    scale s[2];
    load_taps(&t, count, conv, rows, c);
    load_interleaved(conv->requant.bias + c, &bias[0], &bias[1]);
    load_scales(&conv->requant, c, s);
    int16_t *to = out + c;
    size_t x = 0;
    for (; x + (size_t)P <= pixels; x += (size_t)P, to += P * out_step) {
      depthwise_tile(P, leaky, pairs, &t, bias, s, (ptrdiff_t)x * in_step, in_step, to, out_step,
                     channels - c);
    }
    for (; x < pixels; x++, to += out_step) {
      depthwise_tile(1, leaky, pairs, &t, bias, s, (ptrdiff_t)x * in_step, in_step, to, out_step,
                     channels - c);
    }
  }
}

TARGET void NAME(sc_depthwise)(const sc_depthwise *conv, const int16_t *const *rows, ptrdiff_t in_step,
                               int16_t *out, ptrdiff_t out_step, size_t pixels) {
  const int32_t count = conv->kh * conv->kw;
  if (conv->requant.leaky) {
    depthwise(DEPTHWISE_P, 1, count, conv, rows, in_step, out, out_step, pixels);
  } else if (count == 9) {
    // Their pointers and weights stay in registers, and the processor overlaps pixels by itself.
    depthwise(1, 0, 9, conv, rows, in_step, out, out_step, pixels);
  } else {
    depthwise(DEPTHWISE_P, 0, count, conv, rows, in_step, out, out_step, pixels);
  }
}

INLINE void gain(const int leaky, const sc_gain *layer, const int16_t *in, int16_t *out, size_t pixels) {
  const int32_t channels = layer->channels;
  const vec zero = VS(setzero)();
  for (int32_t c = 0; c < channels; c += 2 * LANES) {
    vec bias[2];
    scale s[2];
    const vec g = VS(loadu)((const void *)(layer->gain + c));
    const vec g_lo = V(unpacklo_epi16)(g, zero), g_hi = V(unpackhi_epi16)(g, zero);
    load_interleaved(layer->requant.bias + c, &bias[0], &bias[1]);
    load_scales(&layer->requant, c, s);
    for (size_t x = 0; x < pixels; x++) {
      const ptrdiff_t at = (ptrdiff_t)x * channels + c;
      const vec v = VS(loadu)((const void *)(in + at));
      finish_pair(leaky, s, v_mac(bias[0], V(unpacklo_epi16)(v, zero), g_lo),
                  v_mac(bias[1], V(unpackhi_epi16)(v, zero), g_hi), out + at, channels - c);
    }
  }
}

TARGET void NAME(sc_gain)(const sc_gain *layer, const int16_t *in, int16_t *out, size_t pixels) {
  if (layer->requant.leaky) {
    gain(1, layer, in, out, pixels);
  } else {
    gain(0, layer, in, out, pixels);
  }
}

TARGET void NAME(sc_add)(const int16_t *a, const int16_t *b, int16_t *out, size_t count, int32_t shift_a,
                         int32_t shift_b, int32_t lo, int32_t hi) {
  const vec half_a = V(set1_epi32)(shift_a ? INT32_C(1) << (shift_a - 1) : 0);
  const vec half_b = V(set1_epi32)(shift_b ? INT32_C(1) << (shift_b - 1) : 0);
  const vec low = V(set1_epi32)(lo), high = V(set1_epi32)(hi);
  const __m128i by_a = _mm_cvtsi32_si128(shift_a), by_b = _mm_cvtsi32_si128(shift_b);
  size_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    const vec s = V(add_epi32)(V(sra_epi32)(V(add_epi32)(v_widen(a + i), half_a), by_a),
                               V(sra_epi32)(V(add_epi32)(v_widen(b + i), half_b), by_b));
    v_store16(out + i, V(min_epi32)(V(max_epi32)(s, low), high));
  }
  sc_add_c(a + i, b + i, out + i, count - i, shift_a, shift_b, lo, hi);
}
#endif

// ---- Peak ----

TARGET uint64_t NAME(sc_peak)(uint64_t iterations) {
  vec x = V(set1_epi32)((int)iterations), a[12];
  UNROLL for (int i = 0; i < 12; i++) { a[i] = VS(setzero)(); }
  for (uint64_t n = 0; n < iterations; n++) {
    UNROLL for (int i = 0; i < 12; i++) {
      a[i] = v_mac(a[i], x, x);
      SC_OPAQUE(a[i]);
      SC_OPAQUE(x); // or one product would serve all
    }
  }
  UNROLL for (int i = 1; i < 12; i++) { a[0] = V(add_epi32)(a[0], a[i]); }
  int32_t sink[LANES];
  VS(storeu)((void *)sink, a[0]);
  volatile int32_t out = sink[0];
  (void)out;
  return iterations * 12 * 2 * LANES;
}
