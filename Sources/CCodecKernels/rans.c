// SPDX-License-Identifier: BSD-3-Clause
#include "sc_entropy.h"

#include <assert.h>
#include <string.h>

// Vectors wider than the registers pass between inlined functions only: no ABI is concerned.
#pragma GCC diagnostic ignored "-Wpsabi"

#define INLINE inline __attribute__((always_inline))
#define LOW (1u << 16)
#define SLOTS (1u << SC_RANS_BITS)
#define MARGIN SC_MAGNITUDE_MARGIN

// ---- Symbol search
// ---------------------------------------------------------------------------------------------------

// The symbol of a slot. The loop nearly never runs: its branch takes the comparison off the chain of dependent
// instructions from one state to the next.
static INLINE const sc_symbol *find_symbol(const sc_cdf *cdf, uint32_t slot) {
  const sc_symbol *s = cdf->symbol + cdf->start[slot >> SC_CDF_START_SHIFT];
  while (__builtin_expect(s->last < slot, 0))
    s++;
  return s;
}

// ---- Contexts
// --------------------------------------------------------------------------------------------------------

static inline ptrdiff_t padded_stride(const sc_plane *p) { return (ptrdiff_t)p->width + 2 * MARGIN; }

static inline ptrdiff_t padded_at(const sc_plane *p, int32_t y, int32_t x) {
  return (y + MARGIN) * padded_stride(p) + MARGIN + x;
}

static INLINE uint8_t magnitude_of(const sc_plane *p, int32_t kind, int32_t residual) {
  if (kind == SC_MAGNITUDE_THRESHOLD)
    return residual < p->low || residual >= p->high;
  const int32_t a = residual < 0 ? -residual : residual;
  return p->table[a < 63 ? a : 63];
}

// Fills the margins next to a plane for the channels after it.
#define FINISH(plane, p)                                                                                     \
  do {                                                                                                       \
    const ptrdiff_t s = padded_stride(p);                                                                    \
    for (int32_t y = 0; y < (p)->height; y++) {                                                              \
      (plane)[padded_at(p, y, -1)] = (plane)[padded_at(p, y, 0)];                                            \
      (plane)[padded_at(p, y, (p)->width)] = (plane)[padded_at(p, y, (p)->width - 1)];                       \
    }                                                                                                        \
    memcpy((plane) + padded_at(p, -1, -1), (plane) + padded_at(p, 0, -1),                                    \
           (size_t)(s - 2) * sizeof *(plane));                                                               \
    memcpy((plane) + padded_at(p, (p)->height, -1), (plane) + padded_at(p, (p)->height - 1, -1),             \
           (size_t)(s - 2) * sizeof *(plane));                                                               \
  } while (0)

// `magnitudes` and `samples` tell what was not written sample by sample.
static void finish_plane(const sc_plane *p, int magnitudes, int samples) {
  for (int32_t y = 0; y < p->height; y++) {
    const int16_t *v = p->values + (size_t)y * (size_t)p->width;
    if (p->magnitudes && magnitudes) {
      uint8_t *m = p->magnitudes + padded_at(p, y, 0);
      for (int32_t x = 0; x < p->width; x++)
        m[x] = magnitude_of(p, p->magnitude_kind, v[x]);
    }
    if (p->samples && samples)
      memcpy(p->samples + padded_at(p, y, 0), v, (size_t)p->width * sizeof *v);
  }
  if (p->magnitudes)
    FINISH(p->magnitudes, p);
  if (p->samples)
    FINISH(p->samples, p);
}

// ---- Sums over sources
// -------------------------------------------------------------------------------------------------------

void sc_context_base_c(uint16_t *base, int32_t width, int32_t height, const sc_context_source *sources,
                       int32_t count, const uint8_t *scales, int32_t scale_weight) {
  const ptrdiff_t s = (ptrdiff_t)width + 2 * MARGIN;
  for (int32_t y = 0; y < height; y++) {
    uint16_t *restrict out = base + (size_t)y * (size_t)width;
    const uint8_t *scale = scales ? scales + (size_t)y * (size_t)width : NULL;
    for (int32_t x = 0; x < width; x++)
      out[x] = scale ? (uint16_t)(scale_weight * scale[x]) : 0;
    for (int32_t i = 0; i < count; i++) {
      for (int k = 0; k < 9; k++) {
        const uint16_t w = sources[i].weight[k];
        if (!w)
          continue;
        const uint8_t *restrict m = sources[i].magnitudes + (y + MARGIN - 1 + k / 3) * s + MARGIN - 1 + k % 3;
        for (int32_t x = 0; x < width; x++)
          out[x] = (uint16_t)(out[x] + w * m[x]);
      }
    }
  }
}

#if defined(__x86_64__)
#include <immintrin.h>

// Pairs of weights at once: bytes of two planes side by side, times two weights, added up (vpmaddubsw: at most
// 2 · 127 · 127, no saturation).
static __attribute__((target("avx2"))) void context_base_avx2(uint16_t *base, int32_t width, int32_t height,
                                                              const sc_context_source *sources, int32_t count,
                                                              const uint8_t *scales, int32_t scale_weight) {
  const ptrdiff_t s = (ptrdiff_t)width + 2 * MARGIN;
  const uint8_t *plane[9 * SC_CONTEXT_SOURCES + 1];
  uint8_t weight[9 * SC_CONTEXT_SOURCES + 1];
  int32_t taps = 0;
  for (int32_t i = 0; i < count; i++) {
    for (int k = 0; k < 9; k++) {
      plane[taps] = sources[i].magnitudes + (MARGIN - 1 + k / 3) * s + MARGIN - 1 + k % 3;
      weight[taps] = sources[i].weight[k];
      taps += weight[taps] != 0;
    }
  }
  if (taps & 1) {
    plane[taps] = plane[taps - 1];
    weight[taps++] = 0;
  }
  for (int32_t y = 0; y < height; y++) {
    const ptrdiff_t row = y * s;
    uint16_t *out = base + (size_t)y * (size_t)width;
    const uint8_t *scale = scales ? scales + (size_t)y * (size_t)width : NULL;
    for (int32_t x = 0; x < width; x += 16) {
      // The last block overlaps the one before; planes narrower than a block are not for this function.
      const int32_t at = x + 16 <= width ? x : width - 16;
      __m256i sum = _mm256_setzero_si256();
      if (scale)
        sum = _mm256_mullo_epi16(_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(scale + at))),
                                 _mm256_set1_epi16((short)scale_weight));
      __m256i sum1 = _mm256_setzero_si256();
      for (int32_t i = 0; i < taps; i += 2) {
        const __m128i a = _mm_loadu_si128((const __m128i *)(plane[i] + row + at));
        const __m128i b = _mm_loadu_si128((const __m128i *)(plane[i + 1] + row + at));
        const __m128i w = _mm_set1_epi16((short)(weight[i] | weight[i + 1] << 8));
        const __m128i lo = _mm_maddubs_epi16(_mm_unpacklo_epi8(a, b), w);
        const __m128i hi = _mm_maddubs_epi16(_mm_unpackhi_epi8(a, b), w);
        sum1 = _mm256_add_epi16(sum1, _mm256_inserti128_si256(_mm256_castsi128_si256(lo), hi, 1));
      }
      _mm256_storeu_si256((__m256i *)(out + at), _mm256_add_epi16(sum, sum1));
    }
  }
}
#endif

void sc_context_base(uint16_t *base, int32_t width, int32_t height, const sc_context_source *sources,
                     int32_t count, const uint8_t *scales, int32_t scale_weight) {
  assert(count <= SC_CONTEXT_SOURCES);
#if defined(__x86_64__)
  if (width >= 16 && __builtin_cpu_supports("avx2")) {
    context_base_avx2(base, width, height, sources, count, scales, scale_weight);
    return;
  }
#endif
  sc_context_base_c(base, width, height, sources, count, scales, scale_weight);
}

static INLINE void mean_base(int32_t *base, int32_t width, int32_t height, const sc_mean_source *sources,
                             int32_t count) {
  const ptrdiff_t s = (ptrdiff_t)width + 2 * MARGIN;
  for (int32_t y = 0; y < height; y++) {
    int32_t *restrict out = base + (size_t)y * (size_t)width;
    memset(out, 0, (size_t)width * sizeof *out);
    for (int32_t i = 0; i < count; i++) {
      for (int k = 0; k < 9; k++) {
        const int32_t w = sources[i].weight[k];
        if (!w)
          continue;
        const int16_t *restrict v = sources[i].samples + (y + MARGIN - 1 + k / 3) * s + MARGIN - 1 + k % 3;
        for (int32_t x = 0; x < width; x++)
          out[x] += w * v[x];
      }
    }
  }
}

#if defined(__x86_64__)
static __attribute__((target("avx2"))) void mean_base_avx2(int32_t *base, int32_t width, int32_t height,
                                                           const sc_mean_source *sources, int32_t count) {
  mean_base(base, width, height, sources, count);
}
#endif

void sc_mean_base(int32_t *base, int32_t width, int32_t height, const sc_mean_source *sources,
                  int32_t count) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    mean_base_avx2(base, width, height, sources, count);
    return;
  }
#endif
  mean_base(base, width, height, sources, count);
}

// ---- Decoder
// ---------------------------------------------------------------------------------------------------------

static inline uint32_t load16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static inline uint32_t load32(const uint8_t *p) { return load16(p) | load16(p + 2) << 16; }

int sc_rans_decoder_init(sc_rans_decoder *d, const uint8_t *payload, size_t size) {
  if (size < 4 * SC_RANS_LANES || size % 2)
    return -1;
  for (int l = 0; l < SC_RANS_LANES; l++) {
    d->state[l] = load32(payload + 4 * l);
    if (d->state[l] < LOW)
      return -1;
  }
  d->next = payload + 4 * SC_RANS_LANES;
  d->end = payload + size;
  return 0;
}

int sc_rans_decoder_finish(const sc_rans_decoder *d) {
  uint32_t off = (uint32_t)(d->next != d->end);
  for (int l = 0; l < SC_RANS_LANES; l++)
    off |= d->state[l] ^ LOW;
  return off ? -1 : 0;
}

static INLINE uint32_t renormalise(uint32_t x, const uint8_t **next) {
  const uint32_t filled = x << 16 | load16(*next);
  const int low = x < LOW;
  *next += 2 * low;
  return low ? filled : x;
}

static inline uint32_t decode_bits(sc_rans_decoder *d, int lane, int bits) {
  const uint32_t x = d->state[lane], slot = x & (SLOTS - 1), f = SLOTS >> bits, value = slot / f;
  d->state[lane] = renormalise(f * (x >> SC_RANS_BITS) + slot - value * f, &d->next);
  return value;
}

// The value behind an escape symbol; one outside of int16 is returned as it is, for the caller to see.
static __attribute__((noinline)) int32_t decode_escape(sc_rans_decoder *d, int lane, const sc_cdf *cdf) {
  const int length = (int)decode_bits(d, lane, 5);
  if (length > 17)
    return INT32_MAX;
  uint32_t e = length > 0;
  for (int rest = length - 1; rest > 0;) {
    const int bits = rest < 15 ? rest : 15;
    e = e << bits | decode_bits(d, lane, bits);
    rest -= bits;
  }
  return e & 1 ? cdf->minimum - 1 - (int32_t)(e >> 1) : cdf->minimum + cdf->symbols - 1 + (int32_t)(e >> 1);
}

int sc_rans_decode_flag(sc_rans_decoder *d, int lane, uint32_t one) {
  const uint32_t x = d->state[lane], slot = x & (SLOTS - 1), zero = SLOTS - one;
  const int flag = slot >= zero;
  d->state[lane] =
      renormalise((flag ? one : zero) * (x >> SC_RANS_BITS) + slot - (flag ? zero : 0), &d->next);
  if (d->next > d->end) {
    d->next = d->end; // keeps later reads inside of the slack
    return -1;
  }
  return flag;
}

// ---- The walk over a plane
// -------------------------------------------------------------------------------------------------------
//
// Eight rows at a time, row l two columns behind row l − 1. In step t, row l is at column t − 2 l: seen from it, the
// sample to the left is row l of step t − 1, the one above row l − 1 of step t − 2, top left and top right row l − 1 of
// steps t − 3 and t − 1, the one above the one above row l − 2 of step t − 4. So with the eight rows side by side in a
// vector, the sums of a step are six products of vectors. The vectors of the last steps stay in registers.

typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef int16_t i16x8 __attribute__((vector_size(16)));
typedef int32_t i32x8 __attribute__((vector_size(32)));

#define ROWS 8

// What the last four steps gave: 1 is the last one.
typedef struct history {
  u16x8 m1, m2, m3, m4; // element l: row l
  u16x8 v1, v2, v3;     // element l: row l − 1
} history;

// Element l: row l − 1; `above` is the row before the group.
static INLINE u16x8 shifted1(u16x8 m, uint16_t above) {
  u16x8 r = __builtin_shufflevector(m, m, 0, 0, 1, 2, 3, 4, 5, 6);
  r[0] = above;
  return r;
}

// Element l: row l − 2.
static INLINE u16x8 shifted2(u16x8 m, uint16_t above2, uint16_t above1) {
  u16x8 r = __builtin_shufflevector(m, m, 0, 1, 0, 1, 2, 3, 4, 5);
  r[0] = above2;
  r[1] = above1;
  return r;
}

static INLINE void advance(history *h, u16x8 m, uint16_t above) {
  h->m4 = h->m3;
  h->m3 = h->m2;
  h->m2 = h->m1;
  h->m1 = m;
  h->v3 = h->v2;
  h->v2 = h->v1;
  h->v1 = shifted1(m, above);
}

static INLINE u16x8 splat(int32_t w) {
  const uint16_t v = (uint16_t)w;
  return (u16x8){v, v, v, v, v, v, v, v};
}

static INLINE i32x8 widened(u16x8 v) { return __builtin_convertvector((i16x8)v, i32x8); }

// Columns of the rows above the group, for the vectors of step t. The row before the first is row 0 moved right by two
// columns, the one before that by four: what step t itself gave.
typedef struct above {
  const uint8_t *m1, *m2; // row − 1, row − 2; NULL for the first group
  const int16_t *v1, *v2;
  int32_t last; // column
} above;

static INLINE int32_t at_most(int32_t x, int32_t last) { return x < last ? x : last; }

typedef struct coder {
  sc_rans_decoder d;
  sc_rans_encoder *e;
  int bad;
} coder;

static void push_value(sc_rans_encoder *e, int lane, const sc_cdf *cdf, int32_t value);

// The symbol of a sample; its value and magnitude are those of the residual, `escaped` for an escape.
static INLINE sc_symbol decode_symbol(coder *c, const sc_plane *p, const sc_cdf *cdf, int lane) {
  const uint32_t state = c->d.state[lane], slot = state & (SLOTS - 1);
  sc_symbol s = *find_symbol(cdf, slot);
  // Frequency · (state >> 15) + slot − first slot of the symbol.
  const uint32_t f = s.frequency;
  c->d.state[lane] = renormalise(f * (state >> SC_RANS_BITS) + slot + f - s.last - 1, &c->d.next);
  if (__builtin_expect(s.is_escape, 0)) {
    // A copy, so that the address of the decoder proper never escapes and its states stay in registers.
    sc_rans_decoder copy = c->d;
    const int32_t residual = decode_escape(&copy, lane, cdf);
    c->d = copy;
    c->bad |= residual != (int16_t)residual;
    s.value = (int16_t)residual;
    if (p->magnitude_kind == SC_MAGNITUDE_TABLE)
      s.magnitude = magnitude_of(p, SC_MAGNITUDE_TABLE, s.value);
  }
  return s;
}

// One sample. Everything up to `l` is a constant where this is inlined.
static INLINE void code_sample(coder *c, const sc_plane *p, int encode, int32_t kind, int contexts, int mean,
                               int l, size_t at, ptrdiff_t padded, uint32_t step, int32_t offset,
                               int32_t phase, u16x8 *m, u16x8 *v) {
  const sc_cdf *cdf = p->cdfs + (contexts ? (p->level_of[step] << (mean ? p->phase_bits : 0)) + phase : 0);
  int16_t value;
  uint8_t magnitude = 0;
  if (encode) {
    value = p->values[at];
    const int16_t residual = (int16_t)(value - offset); // modulo 2^16, as the decoder adds it
    push_value(c->e, l % SC_RANS_LANES, cdf, residual);
    if (contexts)
      magnitude = magnitude_of(p, kind, residual);
  } else {
    const sc_symbol s = decode_symbol(c, p, cdf, l % SC_RANS_LANES);
    value = (int16_t)(s.value + offset);
    magnitude = kind == SC_MAGNITUDE_THRESHOLD ? magnitude_of(p, kind, value) : s.magnitude;
    p->values[at] = value;
  }
  if (contexts) {
    p->magnitudes[padded] = magnitude;
    (*m)[l] = magnitude;
  }
  if (mean) {
    p->samples[padded] = value;
    (*v)[l] = (uint16_t)value;
  }
}

static INLINE int code_plane(coder *c, const sc_plane *plane, int encode, int32_t kind, int contexts,
                             int mean) {
  const sc_plane p = *plane;
  const int32_t width = p.width;
  const ptrdiff_t stride = padded_stride(&p);
  const u16x8 w0 = splat(p.weight[0]), w1 = splat(p.weight[1]), w2 = splat(p.weight[2]),
              w3 = splat(p.weight[3]), w4 = splat(p.weight[4]), w5 = splat(p.weight[5]);
  const int32_t half = mean ? 1 << (p.mean_shift - 1) : 0, phase_mask = (1 << p.phase_bits) - 1;
  for (int32_t y = 0; y < p.height; y += ROWS) {
    const int32_t rows = at_most(p.height - y, ROWS);
    const size_t first = (size_t)y * (size_t)width;
    const ptrdiff_t padded = padded_at(&p, y, 0);
    history m = {0}, v = {0};
    above up = {.last = width - 1};
    if (y > 0 && contexts) {
      up.m1 = p.magnitudes + padded - stride;
      up.m2 = up.m1 - stride;
      // Steps −4 … −1: left of column 0 stands column 0 of the row above.
      m.m1[0] = m.m2[0] = m.m3[0] = m.m4[0] = up.m1[0];
      m.v1[0] = up.m1[at_most(1, up.last)];
      m.v1[1] = up.m1[0];
      m.v2[0] = up.m1[0];
      m.v3[0] = up.m2[0];
    }
    if (y > 0 && mean) {
      up.v1 = p.samples + padded - stride;
      up.v2 = up.v1 - stride;
      v.m1[0] = v.m2[0] = v.m3[0] = v.m4[0] = (uint16_t)up.v1[0];
      v.v1[0] = (uint16_t)up.v1[at_most(1, up.last)];
      v.v1[1] = (uint16_t)up.v1[0];
      v.v2[0] = (uint16_t)up.v1[0];
      v.v3[0] = (uint16_t)up.v2[0];
    }
    const int32_t steps = width + 2 * (rows - 1);
    for (int32_t t = 0; t < steps; t++) {
      // Rows that are inside of the plane in this step.
      const int32_t low = t < width ? 0 : (t - width) / 2 + 1, high = at_most(t / 2 + 1, rows);
      const int full = low == 0 && high == ROWS;
      u16x8 step = {0}, phase = {0}, offset = {0};
      if (contexts) {
        u16x8 sum = {0};
        if (p.base) {
          // Also what lies outside of the plane: see SC_BASE_BEFORE.
          const uint16_t *b = p.base + (ptrdiff_t)first + t;
          const ptrdiff_t s = width - 2;
          sum = (u16x8){b[0], b[s], b[2 * s], b[3 * s], b[4 * s], b[5 * s], b[6 * s], b[7 * s]};
        }
        // Steps t − 4 + 4 and t − 4 + 2 of the rows above.
        const uint16_t a2 = up.m2 ? up.m2[at_most(t, up.last)] : m.m4[0];
        const uint16_t a1 = up.m1 ? up.m1[at_most(t > 2 ? t - 2 : 0, up.last)] : m.m4[0];
        sum += w5 * shifted2(m.m4, a2, a1) + w1 * m.m2 + w2 * m.v3 + w3 * m.v2 + w4 * m.v1 + w0 * m.m1;
        sum >>= splat(p.shift);
        const u16x8 most = splat(1023);
        step = (u16x8)(sum > most);
        step = (most & step) | (sum & ~step);
      }
      if (mean) {
        i32x8 sum = {0};
        if (p.mean_base) {
          const int32_t *b = p.mean_base + (ptrdiff_t)first + t;
          const ptrdiff_t s = width - 2;
          sum = (i32x8){b[0], b[s], b[2 * s], b[3 * s], b[4 * s], b[5 * s], b[6 * s], b[7 * s]};
        }
        const uint16_t a2 = up.v2 ? (uint16_t)up.v2[at_most(t, up.last)] : v.m4[0];
        const uint16_t a1 = up.v1 ? (uint16_t)up.v1[at_most(t > 2 ? t - 2 : 0, up.last)] : v.m4[0];
        sum += p.mean_weight[5] * widened(shifted2(v.m4, a2, a1)) + p.mean_weight[1] * widened(v.m2) +
               p.mean_weight[2] * widened(v.v3) + p.mean_weight[3] * widened(v.v2) +
               p.mean_weight[4] * widened(v.v1) + p.mean_weight[0] * widened(v.m1) + half;
        offset = __builtin_convertvector(sum >> p.mean_shift, u16x8);
        phase = __builtin_convertvector(sum >> (p.mean_shift - p.phase_bits) & phase_mask, u16x8);
      }
      // What is outside keeps the value of the step before: to the right of a row stands its last sample.
      u16x8 next = m.m1, next_value = v.m1;
#define SAMPLE(l)                                                                                            \
  code_sample(c, &p, encode, kind, contexts, mean, l, first + (size_t)(t + l * (width - 2)),                 \
              padded + t + l * (stride - 2), step[l], (int16_t)offset[l], phase[l], &next, &next_value)
#define SAMPLE_INSIDE(l)                                                                                     \
  if (l >= low && l < high)                                                                                  \
  SAMPLE(l)
      if (!encode && full) {
        SAMPLE(0);
        SAMPLE(1);
        SAMPLE(2);
        SAMPLE(3);
        SAMPLE(4);
        SAMPLE(5);
        SAMPLE(6);
        SAMPLE(7);
      } else {
        SAMPLE_INSIDE(0);
        SAMPLE_INSIDE(1);
        SAMPLE_INSIDE(2);
        SAMPLE_INSIDE(3);
        SAMPLE_INSIDE(4);
        SAMPLE_INSIDE(5);
        SAMPLE_INSIDE(6);
        SAMPLE_INSIDE(7);
        // Left of the row that starts next stands the first sample of the row above it.
        if (t % 2 == 0 && t < 2 * (ROWS - 1)) {
          const u16x8 one = (u16x8){0, 1, 2, 3, 4, 5, 6, 7} == splat(t / 2 + 1);
          next = (next & ~one) | (shifted1(next, 0) & one);
          next_value = (next_value & ~one) | (shifted1(next_value, 0) & one);
        }
      }
      if (contexts)
        advance(&m, next, up.m1 ? up.m1[at_most(t + 2, up.last)] : next[0]);
      if (mean)
        advance(&v, next_value, up.v1 ? (uint16_t)up.v1[at_most(t + 2, up.last)] : next_value[0]);
      // At most eight samples with escapes, 8 * 4 words, are read between two checks: inside of the slack.
      if (!encode && __builtin_expect(c->d.next > c->d.end || c->bad, 0))
        return -1;
    }
  }
  finish_plane(&p, !contexts, !mean);
  return 0;
}

_Static_assert(ROWS *SC_RANS_SYMBOLS_PER_VALUE * 2 + 2 <= SC_RANS_SLACK, "reads between two checks");

static INLINE int code_plane_of_kind(coder *c, const sc_plane *p, int encode) {
  if (!p->level_of)
    return code_plane(c, p, encode, SC_MAGNITUDE_NONE, 0, 0);
  if (p->magnitude_kind == SC_MAGNITUDE_THRESHOLD)
    return code_plane(c, p, encode, SC_MAGNITUDE_THRESHOLD, 1, 0);
  if (!p->mean_shift)
    return code_plane(c, p, encode, SC_MAGNITUDE_TABLE, 1, 0);
  return code_plane(c, p, encode, SC_MAGNITUDE_TABLE, 1, 1);
}

static int decode_plane_c(sc_rans_decoder *decoder, const sc_plane *plane) {
  coder c = {.d = *decoder};
  const int result = code_plane_of_kind(&c, plane, 0);
  *decoder = c.d;
  return result;
}

#if defined(__x86_64__)
// The same source for a processor with three-operand instructions and wider vectors.
static __attribute__((target("avx2,bmi,bmi2"))) int decode_plane_avx2(sc_rans_decoder *decoder,
                                                                      const sc_plane *plane) {
  coder c = {.d = *decoder};
  const int result = code_plane_of_kind(&c, plane, 0);
  *decoder = c.d;
  return result;
}
#endif

int sc_rans_decode_plane(sc_rans_decoder *decoder, const sc_plane *plane) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
    return decode_plane_avx2(decoder, plane);
#endif
  return decode_plane_c(decoder, plane);
}

// ---- Encoder
// ---------------------------------------------------------------------------------------------------------

static inline void push(sc_rans_encoder *e, int lane, uint32_t start, uint32_t frequency) {
  assert(e->count < e->capacity && frequency > 0 && start + frequency <= SLOTS);
  e->symbols[e->count++] = start | frequency << 15 | (uint32_t)lane << 30;
}

void sc_rans_encode_flag(sc_rans_encoder *e, int lane, uint32_t one, int flag) {
  push(e, lane, flag ? SLOTS - one : 0, flag ? one : SLOTS - one);
}

static void push_bits(sc_rans_encoder *e, int lane, uint32_t value, int bits) {
  push(e, lane, value << (15 - bits), SLOTS >> bits);
}

static void push_value(sc_rans_encoder *e, int lane, const sc_cdf *cdf, int32_t value) {
  const int32_t i = value - cdf->minimum, escape = cdf->symbols - 1;
  const int32_t symbol = i >= 0 && i < escape ? i : escape;
  push(e, lane, (uint32_t)(cdf->symbol[symbol].last + 1 - cdf->symbol[symbol].frequency),
       cdf->symbol[symbol].frequency);
  if (symbol < escape)
    return;
  const uint32_t rest = i < 0 ? (uint32_t)(2 * (-1 - i) + 1) : (uint32_t)(2 * (i - escape));
  const int length = rest ? 32 - __builtin_clz(rest) : 0;
  push_bits(e, lane, (uint32_t)length, 5);
  for (int left = length - 1; left > 0;) {
    const int bits = left < 15 ? left : 15;
    left -= bits;
    push_bits(e, lane, rest >> left & ((1u << bits) - 1), bits);
  }
}

void sc_rans_encode_plane(sc_rans_encoder *e, const sc_plane *plane) {
  coder c = {.e = e};
  code_plane_of_kind(&c, plane, 1);
}

size_t sc_rans_payload_bound(size_t symbols) { return 4 * SC_RANS_LANES + 2 * symbols; }

size_t sc_rans_encoder_finish(const sc_rans_encoder *e, uint8_t *out, size_t capacity) {
  assert(capacity >= sc_rans_payload_bound(e->count));
  uint8_t *p = out + capacity;
  uint32_t state[SC_RANS_LANES] = {LOW, LOW, LOW, LOW};
  for (size_t i = e->count; i-- > 0;) {
    const uint32_t s = e->symbols[i], start = s & (SLOTS - 1), f = s >> 15 & (SLOTS - 1), lane = s >> 30;
    uint32_t x = state[lane];
    // The decoder's x' = f * (x >> 15) + ... is below 2^16 * 2^16 exactly for x < f * 2^17.
    if ((uint64_t)x >= (uint64_t)f << 17) {
      p -= 2;
      p[0] = (uint8_t)x;
      p[1] = (uint8_t)(x >> 8);
      x >>= 16;
    }
    state[lane] = (x / f << SC_RANS_BITS) + x % f + start;
  }
  for (int l = SC_RANS_LANES - 1; l >= 0; l--) {
    p -= 4;
    for (int b = 0; b < 4; b++)
      p[b] = (uint8_t)(state[l] >> 8 * b);
  }
  return (size_t)(out + capacity - p);
}
