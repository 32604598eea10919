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

// ---- Distributions
// ---------------------------------------------------------------------------------------------------

size_t sc_cdf_size(int32_t symbols) { return sizeof(sc_cdf) + (size_t)symbols * sizeof(sc_symbol); }

size_t sc_cdf_starts(int32_t start_shift) { return SLOTS >> start_shift; }

void sc_cdf_init(sc_cdf *cdf, int32_t minimum, const uint16_t *frequency, int32_t symbols,
                 const uint8_t *table, int32_t start_shift) {
  uint8_t *const first = (uint8_t *)cdf - sc_cdf_starts(start_shift);
  cdf->minimum = minimum;
  cdf->symbols = symbols;
  uint32_t start = 0;
  for (int32_t i = 0; i < symbols; i++) {
    const int32_t value = minimum + i, a = value < 0 ? -value : value;
    const int escape = symbols > 1 && i == symbols - 1;
    cdf->symbol[i] = (sc_symbol){
        .frequency = escape ? 0 : frequency[i],
        .start = (uint16_t)start,
        .seen =
            escape ? frequency[i] : (uint16_t)value | (uint32_t)(table ? table[a < 63 ? a : 63] : 0) << 16,
    };
    const uint32_t end = start + frequency[i];
    for (uint32_t j = (start + (1u << start_shift) - 1) >> start_shift; j << start_shift < end; j++)
      first[j] = (uint8_t)i;
    start = end;
  }
  assert(start == SLOTS);
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

// ---- Sums over sources
// -------------------------------------------------------------------------------------------------------

void sc_context_base_c(uint16_t *base, int32_t width, int32_t height, const sc_context_source *sources,
                       int32_t count, const uint8_t *scales, int32_t scale_weight) {
  const ptrdiff_t s = (ptrdiff_t)width + 2 * MARGIN;
  const sc_walk walk = sc_walk_of(width, height);
  for (int32_t y = 0; y < height; y++) {
    uint16_t *restrict out = base + sc_walk_row(&walk, y);
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

void sc_mean_base_c(int32_t *base, int32_t width, int32_t height, const sc_mean_source *sources,
                    int32_t count) {
  const ptrdiff_t s = (ptrdiff_t)width + 2 * MARGIN;
  const sc_walk walk = sc_walk_of(width, height);
  for (int32_t y = 0; y < height; y++) {
    int32_t *restrict out = base + sc_walk_row(&walk, y);
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
#include <immintrin.h>

// Two weights side by side at once (vpmaddubsw), on the padded planes as they lie in memory: rows and what is between
// them in one run, even and odd places in sums of their own.
typedef struct tap {
  const void *at;
  uint32_t weight; // of two neighbouring samples, the left one in the lower half
} tap;

// The pairs of nonzero weights of a row of three: at most two.
static INLINE int32_t add_taps(tap *taps, const char *row, ptrdiff_t sample, int32_t w0, int32_t w1,
                               int32_t w2) {
  int32_t count = 0;
  if (w0 || (w1 && !w2))
    taps[count++] = (tap){row, (uint16_t)w0 | (uint32_t)w1 << 16};
  if (w2) {
    // The middle weight belongs to the first pair if there is one.
    taps[count] =
        (tap){row + (count ? 2 : 1) * sample, (uint16_t)(count ? w2 : w1) | (uint32_t)(count ? 0 : w2) << 16};
    count++;
  }
  return count;
}

static __attribute__((target("avx2"))) void context_base_avx2(uint16_t *base, int32_t width, int32_t height,
                                                              const sc_context_source *sources, int32_t count,
                                                              const uint8_t *scales, int32_t scale_weight,
                                                              void *scratch) {
  const ptrdiff_t s = (ptrdiff_t)width + 2 * MARGIN;
  const sc_walk walk = sc_walk_of(width, height);
  tap taps[6 * SC_CONTEXT_SOURCES];
  int32_t n = 0;
  for (int32_t i = 0; i < count; i++) {
    for (int k = 0; k < 3; k++) {
      const uint8_t *w = sources[i].weight + 3 * k;
      n += add_taps(taps + n, (const char *)sources[i].magnitudes + (MARGIN - 1 + k) * s + MARGIN - 1, 1,
                    w[0], w[1], w[2]);
    }
  }
  uint16_t *const sums = scratch;
  const ptrdiff_t end = (height - 1) * s + width;
  for (ptrdiff_t at = 0; at < end; at += 64) {
    __m256i even0 = _mm256_setzero_si256(), odd0 = even0, even1 = even0, odd1 = even0;
    for (int32_t i = 0; i < n; i++) {
      const char *p = (const char *)taps[i].at + at;
      const __m256i w = _mm256_set1_epi16((short)(taps[i].weight | taps[i].weight >> 8));
      even0 = _mm256_add_epi16(even0, _mm256_maddubs_epi16(w, _mm256_loadu_si256((const __m256i *)p)));
      odd0 = _mm256_add_epi16(odd0, _mm256_maddubs_epi16(w, _mm256_loadu_si256((const __m256i *)(p + 1))));
      even1 = _mm256_add_epi16(even1, _mm256_maddubs_epi16(w, _mm256_loadu_si256((const __m256i *)(p + 32))));
      odd1 = _mm256_add_epi16(odd1, _mm256_maddubs_epi16(w, _mm256_loadu_si256((const __m256i *)(p + 33))));
    }
#define INTERLEAVE(to, even, odd, low, high)                                                                 \
  do {                                                                                                       \
    const __m256i lo = low(even, odd), hi = high(even, odd);                                                 \
    _mm256_storeu_si256((__m256i *)(to), _mm256_permute2x128_si256(lo, hi, 0x20));                           \
    _mm256_storeu_si256((__m256i *)(to) + 1, _mm256_permute2x128_si256(lo, hi, 0x31));                       \
  } while (0)
    INTERLEAVE(sums + at, even0, odd0, _mm256_unpacklo_epi16, _mm256_unpackhi_epi16);
    INTERLEAVE(sums + at + 32, even1, odd1, _mm256_unpacklo_epi16, _mm256_unpackhi_epi16);
  }
  for (int32_t y = 0; y < height; y++) {
    uint16_t *restrict out = base + sc_walk_row(&walk, y);
    const uint16_t *restrict sum = sums + y * s;
    if (scales) {
      const uint8_t *restrict scale = scales + (size_t)y * (size_t)width;
      for (int32_t x = 0; x < width; x++)
        out[x] = (uint16_t)(sum[x] + scale_weight * scale[x]);
    } else {
      memcpy(out, sum, (size_t)width * sizeof *out);
    }
  }
}

static __attribute__((target("avx2"))) void mean_base_avx2(int32_t *base, int32_t width, int32_t height,
                                                           const sc_mean_source *sources, int32_t count,
                                                           void *scratch) {
  const ptrdiff_t s = (ptrdiff_t)width + 2 * MARGIN;
  const sc_walk walk = sc_walk_of(width, height);
  tap taps[6 * SC_CONTEXT_SOURCES];
  int32_t n = 0;
  for (int32_t i = 0; i < count; i++) {
    for (int k = 0; k < 3; k++) {
      const int16_t *w = sources[i].weight + 3 * k;
      n += add_taps(taps + n, (const char *)(sources[i].samples + (MARGIN - 1 + k) * s + MARGIN - 1), 2, w[0],
                    w[1], w[2]);
    }
  }
  int32_t *const sums = scratch;
  const ptrdiff_t end = (height - 1) * s + width;
  for (ptrdiff_t at = 0; at < end; at += 32) {
    __m256i even0 = _mm256_setzero_si256(), odd0 = even0, even1 = even0, odd1 = even0;
    for (int32_t i = 0; i < n; i++) {
      const int16_t *p = (const int16_t *)taps[i].at + at;
      const __m256i w = _mm256_set1_epi32((int)taps[i].weight);
      even0 = _mm256_add_epi32(even0, _mm256_madd_epi16(w, _mm256_loadu_si256((const __m256i *)p)));
      odd0 = _mm256_add_epi32(odd0, _mm256_madd_epi16(w, _mm256_loadu_si256((const __m256i *)(p + 1))));
      even1 = _mm256_add_epi32(even1, _mm256_madd_epi16(w, _mm256_loadu_si256((const __m256i *)(p + 16))));
      odd1 = _mm256_add_epi32(odd1, _mm256_madd_epi16(w, _mm256_loadu_si256((const __m256i *)(p + 17))));
    }
    INTERLEAVE(sums + at, even0, odd0, _mm256_unpacklo_epi32, _mm256_unpackhi_epi32);
    INTERLEAVE(sums + at + 16, even1, odd1, _mm256_unpacklo_epi32, _mm256_unpackhi_epi32);
  }
  for (int32_t y = 0; y < height; y++)
    memcpy(base + sc_walk_row(&walk, y), sums + y * s, (size_t)width * sizeof *base);
}
#endif

void sc_context_base(uint16_t *base, int32_t width, int32_t height, const sc_context_source *sources,
                     int32_t count, const uint8_t *scales, int32_t scale_weight, void *scratch) {
  assert(count <= SC_CONTEXT_SOURCES);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    context_base_avx2(base, width, height, sources, count, scales, scale_weight, scratch);
    return;
  }
#endif
  (void)scratch;
  sc_context_base_c(base, width, height, sources, count, scales, scale_weight);
}

void sc_mean_base(int32_t *base, int32_t width, int32_t height, const sc_mean_source *sources, int32_t count,
                  void *scratch) {
  assert(count <= SC_CONTEXT_SOURCES);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    mean_base_avx2(base, width, height, sources, count, scratch);
    return;
  }
#endif
  (void)scratch;
  sc_mean_base_c(base, width, height, sources, count);
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
  d->words = payload + 4 * SC_RANS_LANES;
  d->next = 0;
  d->count = (size - 4 * SC_RANS_LANES) / 2;
  return 0;
}

int sc_rans_decoder_finish(const sc_rans_decoder *d) {
  uint32_t off = (uint32_t)(d->next != d->count);
  for (int l = 0; l < SC_RANS_LANES; l++)
    off |= d->state[l] ^ LOW;
  return off ? -1 : 0;
}

static INLINE uint32_t renormalise(sc_rans_decoder *d, uint32_t x) {
  const uint32_t filled = x << 16 | load16(d->words + 2 * d->next);
  d->next += x < LOW;
  return x < LOW ? filled : x;
}

static inline uint32_t decode_bits(sc_rans_decoder *d, int lane, int bits) {
  const uint32_t x = d->state[lane], slot = x & (SLOTS - 1), f = SLOTS >> bits, value = slot / f;
  d->state[lane] = renormalise(d, f * (x >> SC_RANS_BITS) + slot - value * f);
  return value;
}

// Ends the walk after this step.
static int32_t invalid(sc_rans_decoder *d) {
  if (d->next <= d->count)
    d->next = d->count + 1;
  return 0;
}

// The residual of an escape symbol.
static __attribute__((noinline)) int32_t decode_escape(sc_rans_decoder *d, int lane, const sc_cdf *cdf) {
  const sc_symbol *s = cdf->symbol + cdf->symbols - 1;
  const uint32_t x = d->state[lane], slot = x & (SLOTS - 1);
  d->state[lane] = renormalise(d, (uint16_t)s->seen * (x >> SC_RANS_BITS) + slot - s->start);
  const int length = (int)decode_bits(d, lane, 5);
  if (length > 17)
    return invalid(d);
  uint32_t e = length > 0;
  for (int rest = length - 1; rest > 0;) {
    const int bits = rest < 15 ? rest : 15;
    e = e << bits | decode_bits(d, lane, bits);
    rest -= bits;
  }
  const int32_t half = (int32_t)(e >> 1);
  const int32_t residual = e & 1 ? cdf->minimum - 1 - half : cdf->minimum + cdf->symbols - 1 + half;
  return residual == (int16_t)residual ? residual : invalid(d);
}

int sc_rans_decode_flag(sc_rans_decoder *d, int lane, uint32_t one) {
  const uint32_t x = d->state[lane], slot = x & (SLOTS - 1), zero = SLOTS - one;
  const int flag = slot >= zero;
  d->state[lane] = renormalise(d, (flag ? one : zero) * (x >> SC_RANS_BITS) + slot - (flag ? zero : 0));
  if (d->next > d->count) {
    d->next = d->count; // keeps later reads inside of the slack
    return -1;
  }
  return flag;
}

// ---- The walk over a plane
// -------------------------------------------------------------------------------------------------------
//
// Eight rows at a time, each two columns behind the one above it, each followed at once by the row eight rows below.
// Seen from line l in step t, the sample to the left is line l of step t − 1, the one above line l − 1 of step t − 2,
// top left and top right line l − 1 of steps t − 3 and t − 1, the one above the one above line l − 2 of step t − 4. Above
// line 0 is line 7 of one period and 16 steps before. So with the eight lines side by side in a vector, the sums of a
// step are six products of vectors. The vectors of the last steps stay in registers.
//
// What is outside of the plane is mended in the steps in which a line is at the start or the end of a row. A line that
// has no sample in a step "decodes" a symbol that takes no bits: every step is the same code, without branches.

typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef int16_t i16x8 __attribute__((vector_size(16)));
typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));
typedef int32_t i32x8 __attribute__((vector_size(32)));

#define LINES 8
#define SHUFFLE __builtin_shufflevector
#if defined(__x86_64__)
// Makes the compiler insert an element at once. Otherwise it keeps all eight in memory until the last is known.
#define IN_REGISTER(vector) __asm__("" : "+x"(vector))
#else
#define IN_REGISTER(vector)
#endif

static INLINE int32_t at_most(int32_t x, int32_t last) { return x < last ? x : last; }

sc_walk sc_walk_of(int32_t width, int32_t height) {
  sc_walk w = {.period = width < 2 * LINES ? 2 * LINES : width};
  // The last row is the last to end: a period is longer than the lines are behind each other.
  w.steps =
      (size_t)((height - 1) / LINES) * (size_t)w.period + 2 * (size_t)((height - 1) % LINES) + (size_t)width;
  w.line = (w.steps + 2 * LINES) & ~(size_t)(LINES - 1);
  return w;
}

static INLINE u16x8 load(const uint16_t *p) {
  u16x8 v;
  memcpy(&v, p, sizeof v);
  return v;
}

static INLINE void store(uint16_t *p, u16x8 v) { memcpy(p, &v, sizeof v); }

static INLINE i32x4 load_i32(const int32_t *p) {
  i32x4 v;
  memcpy(&v, p, sizeof v);
  return v;
}

static INLINE u16x8 splat(int32_t w) {
  const uint16_t v = (uint16_t)w;
  return (u16x8){v, v, v, v, v, v, v, v};
}

static INLINE i32x8 widened(u16x8 v) { return __builtin_convertvector((i16x8)v, i32x8); }

static INLINE u16x8 blend(u16x8 mask, u16x8 yes, u16x8 no) { return (yes & mask) | (no & ~mask); }

// Elements first … end − 1.
static INLINE u16x8 elements(int32_t first, int32_t end) {
  const i16x8 l = {0, 1, 2, 3, 4, 5, 6, 7};
  return (u16x8)((l >= (i16x8)splat(first)) & (l < (i16x8)splat(end)));
}

static INLINE void transpose(u16x8 r[8]) {
  u16x8 a[8], b[8];
  for (int i = 0; i < 4; i++) {
    a[2 * i] = SHUFFLE(r[i], r[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
    a[2 * i + 1] = SHUFFLE(r[i], r[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
  }
  for (int i = 0; i < 4; i++) {
    b[2 * i] = SHUFFLE(a[i], a[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
    b[2 * i + 1] = SHUFFLE(a[i], a[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
  }
  for (int i = 0; i < 4; i++) {
    r[2 * i] = SHUFFLE(b[i], b[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
    r[2 * i + 1] = SHUFFLE(b[i], b[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
  }
}

// Eight steps of arrays in the order of the walk.
static INLINE void gather(u16x8 step[8], const uint16_t *from, size_t line) {
  for (size_t l = 0; l < LINES; l++)
    step[l] = load(from + l * line);
  transpose(step);
}

static INLINE void scatter(uint16_t *to, size_t line, const u16x8 step[8]) {
  u16x8 r[8];
  memcpy(r, step, sizeof r);
  transpose(r);
  for (size_t l = 0; l < LINES; l++)
    store(to + l * line, r[l]);
}

static INLINE void gather_i32(i32x8 step[8], const int32_t *from, size_t line) {
  for (size_t half = 0; half < 8; half += 4) {
    i32x4 q[2][4];
    for (size_t h = 0; h < 2; h++) {
      const int32_t *p = from + 4 * h * line + half;
      const i32x4 a = load_i32(p), b = load_i32(p + line), c = load_i32(p + 2 * line),
                  d = load_i32(p + 3 * line);
      const i32x4 ac0 = SHUFFLE(a, c, 0, 4, 1, 5), ac1 = SHUFFLE(a, c, 2, 6, 3, 7);
      const i32x4 bd0 = SHUFFLE(b, d, 0, 4, 1, 5), bd1 = SHUFFLE(b, d, 2, 6, 3, 7);
      q[h][0] = SHUFFLE(ac0, bd0, 0, 4, 1, 5);
      q[h][1] = SHUFFLE(ac0, bd0, 2, 6, 3, 7);
      q[h][2] = SHUFFLE(ac1, bd1, 0, 4, 1, 5);
      q[h][3] = SHUFFLE(ac1, bd1, 2, 6, 3, 7);
    }
    for (size_t i = 0; i < 4; i++)
      step[half + i] = SHUFFLE(q[0][i], q[1][i], 0, 1, 2, 3, 4, 5, 6, 7);
  }
}

// What the last steps gave, the last one first. Element l of m is that of line l, of v of the row above line l, of w of
// the row above that.
typedef struct history {
  u16x8 m1, m2;
  u16x8 v1, v2, v3;
  u16x8 w1, w2, w3, w4;
} history;

// `all` has the vectors of all steps. The row above the first is the first moved by two columns, as it is known now.
static INLINE void advance(history *h, uint16_t *all, u16x8 m, size_t t, size_t period) {
  store(all + LINES * t, m);
  u16x8 above = SHUFFLE(m, m, 0, 0, 0, 0, 0, 0, 0, 0);
  if (__builtin_expect(t + 4 >= period, 1)) {
    above = load(all + LINES * (t + 2 * LINES - period));
    // Line 1 is two steps longer in the first rows; line 7 has not begun then.
    if (__builtin_expect(t + 2 < period, 0))
      above[7] = m[0];
  }
  h->m2 = h->m1;
  h->m1 = m;
  h->v3 = h->v2;
  h->v2 = h->v1;
  h->v1 = SHUFFLE(above, m, 7, 8, 9, 10, 11, 12, 13, 14);
  h->w4 = h->w3;
  h->w3 = h->w2;
  h->w2 = h->w1;
  h->w1 = SHUFFLE(above, m, 6, 7, 8, 9, 10, 11, 12, 13);
}

enum { LEFT, LEFT_LEFT, TOP_LEFT, TOP, TOP_RIGHT, TOP_TOP };

static INLINE void neighbours(const history *h, u16x8 n[6]) {
  n[LEFT] = h->m1;
  n[LEFT_LEFT] = h->m2;
  n[TOP_LEFT] = h->v3;
  n[TOP] = h->v2;
  n[TOP_RIGHT] = h->v1;
  n[TOP_TOP] = h->w4;
}

// Line l alone; none for 8.
static INLINE u16x8 alone(int32_t l) { return (u16x8){0, 1, 2, 3, 4, 5, 6, 7} == splat(l); }

// Lines whose sample is in one of these columns, as masks; t is the column of line 0, or what it would be.
typedef struct edges {
  u16x8 first, second, last;
} edges;

static INLINE edges edges_at(int32_t width, int32_t period, int32_t t) {
  const int32_t line = at_most(t >> 1, LINES), last = t - (width - 1);
  const int32_t last_line = last < 0 ? last + period : last;
  return (edges){
      .first = alone(t & 1 ? LINES : line),
      .second = alone(t & 1 ? line : LINES),
      .last = alone(last_line & 1 ? LINES : at_most(last_line >> 1, LINES)),
  };
}

// Lines that have no sample.
static INLINE u16x8 outside_at(const sc_plane *p, int32_t period, int32_t group, int32_t t) {
  // Lines before `begun` are in this group of rows, the others still in the one before.
  const int32_t begun = at_most(t / 2 + 1, LINES), before = t + period;
  const int32_t ended = t < p->width ? 0 : (t - p->width) / 2 + 1;
  const int32_t ended_before = before < p->width ? 0 : at_most((before - p->width) / 2 + 1, LINES);
  const int32_t rows = at_most(p->height - LINES * group, begun);
  const int32_t rows_before = group > 0 ? at_most(p->height - LINES * (group - 1), LINES) : 0;
  return ~(elements(ended, rows) | elements(begun > ended_before ? begun : ended_before, rows_before));
}

// To the left of a row stands the first sample of the row above it, to the right its last sample.
static INLINE void mend(u16x8 n[6], const edges *e) {
  n[LEFT] = blend(e->first, n[TOP], n[LEFT]);
  n[LEFT_LEFT] = blend(e->second, n[TOP_LEFT], blend(e->first, n[TOP], n[LEFT_LEFT]));
  n[TOP_LEFT] = blend(e->first, n[TOP_TOP], n[TOP_LEFT]);
  n[TOP_RIGHT] = blend(e->last, n[TOP], n[TOP_RIGHT]);
}

typedef struct coder {
  sc_rans_decoder d;
  uint32_t *symbols; // of the encoder, the next one
} coder;

// The value of the residual, and its magnitude in the upper half (with the rule table).
static INLINE uint32_t decode_symbol(coder *c, const sc_plane *p, const sc_cdf *cdf, int lane) {
  const uint32_t x = c->d.state[lane], slot = x & (SLOTS - 1);
  // The slot less 2^15: the first symbols of all slots stand before the CDF.
  const int64_t before = (int64_t)x | -(int64_t)SLOTS;
  size_t i = ((const uint8_t *)cdf)[before >> p->start_shift];
  uint32_t f = cdf->symbol[i].frequency, offset = slot - cdf->symbol[i].start;
  // Nearly never: the branch takes the comparison off the chain of dependent instructions from state to state.
  if (__builtin_expect(offset >= f, 0)) {
    while (cdf->symbol[i].frequency && slot - cdf->symbol[i].start >= cdf->symbol[i].frequency)
      i++;
    f = cdf->symbol[i].frequency;
    offset = slot - cdf->symbol[i].start;
    if (!f) {
      // A copy, so that the address of the decoder proper never escapes and its states stay in registers.
      sc_rans_decoder copy = c->d;
      const int32_t residual = decode_escape(&copy, lane, cdf);
      c->d = copy;
      return (uint16_t)residual | (uint32_t)magnitude_of(p, SC_MAGNITUDE_TABLE, (int16_t)residual) << 16;
    }
  }
  c->d.state[lane] = renormalise(&c->d, f * (x >> SC_RANS_BITS) + offset);
  return cdf->symbol[i].seen;
}

static INLINE uint32_t symbol_word(int lane, uint32_t start, uint32_t frequency) {
  return start | frequency << 15 | (uint32_t)lane << 30;
}

static uint32_t *push_bits(uint32_t *to, int lane, uint32_t value, int bits) {
  *to = symbol_word(lane, value << (15 - bits), SLOTS >> bits);
  return to + 1;
}

static __attribute__((noinline)) uint32_t *push_escape(uint32_t *to, int lane, const sc_cdf *cdf,
                                                       int32_t value) {
  const int32_t i = value - cdf->minimum, escape = cdf->symbols - 1;
  *to++ = symbol_word(lane, cdf->symbol[escape].start, cdf->symbol[escape].seen);
  const uint32_t rest = i < 0 ? (uint32_t)(2 * (-1 - i) + 1) : (uint32_t)(2 * (i - escape));
  const int length = rest ? 32 - __builtin_clz(rest) : 0;
  to = push_bits(to, lane, (uint32_t)length, 5);
  for (int left = length - 1; left > 0;) {
    const int bits = left < 15 ? left : 15;
    left -= bits;
    to = push_bits(to, lane, rest >> left & ((1u << bits) - 1), bits);
  }
  return to;
}

static INLINE uint32_t encode_symbol(coder *c, const sc_plane *p, const sc_cdf *cdf, int lane,
                                     int32_t value) {
  const uint32_t i = (uint32_t)(value - cdf->minimum);
  if (__builtin_expect(i < (uint32_t)cdf->symbols - 1, 1)) {
    *c->symbols++ = symbol_word(lane, cdf->symbol[i].start, cdf->symbol[i].frequency);
    return cdf->symbol[i].seen;
  }
  if (cdf->symbols == 1)
    return 0;
  c->symbols = push_escape(c->symbols, lane, cdf, value);
  return (uint16_t)value | (uint32_t)magnitude_of(p, SC_MAGNITUDE_TABLE, value) << 16;
}

static INLINE void prefetch(const void *p, size_t size) {
  for (size_t i = 0; i < size; i += 64)
    __builtin_prefetch((const char *)p + i);
}

// Tables of all channels together do not stay in the caches from one segment to the next.
static INLINE void prefetch_tables(const sc_plane *p, int contexts) {
  const size_t count = contexts ? p->level_of[SC_LEVEL_SUMS] : 1;
  for (size_t i = 0; i < count; i++)
    prefetch((const char *)p->cdfs[i] - sc_cdf_starts(p->start_shift),
             sc_cdf_starts(p->start_shift) + sc_cdf_size(p->cdfs[i]->symbols));
  if (contexts)
    prefetch(p->level_of, SC_LEVEL_SUMS * sizeof *p->level_of);
}

static INLINE int code_plane(coder *c, const sc_plane *plane, int encode, int32_t kind, int contexts,
                             int mean) {
  const sc_plane p = *plane;
  prefetch_tables(&p, contexts);
  const sc_walk walk = sc_walk_of(p.width, p.height);
  const size_t period = (size_t)walk.period, line = walk.line, width = (size_t)p.width;
  // In the order of the walk: values, magnitudes; vector by vector: magnitudes, values.
  uint16_t *const values = p.scratch, *const magnitudes = values + LINES * line;
  uint16_t *const all_m = magnitudes + LINES * line, *const all_v = all_m + LINES * line;
  if (encode) {
    for (int32_t y = 0; y < p.height; y++)
      memcpy(values + sc_walk_row(&walk, y), p.values + (size_t)y * width, width * sizeof *values);
  }
  u16x8 weight[6] = {0};
  for (int k = 0; k < 6; k++)
    weight[k] = splat(p.weight[k]);
  const i16x8 low = (i16x8)splat(p.low), high = (i16x8)splat(p.high);
  const int32_t half = mean ? 1 << (p.mean_shift - 1) : 0, phase_mask = (1 << p.phase_bits) - 1;
  const u16x8 most = splat(SC_LEVEL_SUMS - 1);
  history m = {0}, v = {0};
  const sc_cdf *cdf[LINES];
  const sc_cdf *const nothing = p.cdfs[contexts ? p.level_of[SC_LEVEL_SUMS] : 1];
  for (int l = 0; l < LINES; l++)
    cdf[l] = p.cdfs[0];
  // The last group of rows ends, or has fewer rows, from here on.
  const size_t tail = (size_t)((p.height - 1) / LINES) * period + (p.height % LINES ? 0 : width);

  size_t column = 0; // of line 0
  for (size_t block = 0; block < walk.steps; block += 8) {
    u16x8 base[8] = {0}, value_of[8] = {0}, magnitude_of_[8] = {0};
    i32x8 mean_base[8] = {0};
    if (contexts && p.base)
      gather(base, p.base + block, line);
    if (mean && p.mean_base)
      gather_i32(mean_base, p.mean_base + block, line);
    if (encode)
      gather(value_of, values + block, line);
    const size_t end = walk.steps - block < 8 ? walk.steps - block : 8;
    for (size_t i = 0; i < end; i++) {
      const size_t t = block + i;
      u16x8 n[6], nv[6], step = {0}, phase = {0}, offset = {0}, outside = {0};
      if (contexts)
        neighbours(&m, n);
      if (mean)
        neighbours(&v, nv);
      if (contexts && (column < 2 * LINES || column == period - 1 || width < 2 * LINES)) {
        edges e = edges_at(p.width, walk.period, (int32_t)column);
        if (t == width - 1) {
          // The row above the first goes on here.
          e.last &= ~alone(0);
          n[TOP_RIGHT] = blend(alone(0), n[LEFT], n[TOP_RIGHT]);
          if (mean)
            nv[TOP_RIGHT] = blend(alone(0), nv[LEFT], nv[TOP_RIGHT]);
        }
        mend(n, &e);
        if (mean)
          mend(nv, &e);
      }
      if (t < 2 * LINES || t >= tail || width < 2 * LINES) {
        outside = outside_at(&p, walk.period, (int32_t)(t / period), (int32_t)column);
        for (int l = 0; l < LINES && !contexts; l++)
          cdf[l] = outside[l] ? nothing : p.cdfs[0];
      }
      column = column + 1 == period ? 0 : column + 1;
      if (contexts) {
        u16x8 sum = base[i];
        sum += weight[5] * n[5] + weight[1] * n[1] + weight[2] * n[2] + weight[3] * n[3] +
               (weight[4] * n[4] + weight[0] * n[0]);
        sum >>= splat(p.shift);
        const u16x8 over = (u16x8)(sum > most);
        step = blend(over, most, sum);
        step = blend(outside, splat(SC_LEVEL_SUMS), step);
      }
      if (mean) {
        i32x8 sum = mean_base[i];
        for (int k = 0; k < 6; k++)
          sum += p.mean_weight[k] * widened(nv[k]);
        sum += half;
        offset = __builtin_convertvector(sum >> p.mean_shift, u16x8);
        phase = __builtin_convertvector(sum >> (p.mean_shift - p.phase_bits) & phase_mask, u16x8);
        phase &= ~outside;
      }
#define CDF(l) (contexts ? p.cdfs[p.level_of[step[l]] + (mean ? phase[l] : 0)] : cdf[l])
      u16x8 residual = value_of[i] - offset; // modulo 2^16, as the decoder adds it
#define SYMBOL(l)                                                                                            \
  (encode ? encode_symbol(c, &p, CDF(l), l % SC_RANS_LANES, (int16_t)residual[l])                            \
          : decode_symbol(c, &p, CDF(l), l % SC_RANS_LANES))
      u32x4 lo = {0}, hi = {0};
#define INSERT(vector, l)                                                                                    \
  (vector)[(l) % 4] = SYMBOL(l);                                                                             \
  IN_REGISTER(vector)
      INSERT(lo, 0);
      INSERT(lo, 1);
      INSERT(lo, 2);
      INSERT(lo, 3);
      INSERT(hi, 4);
      INSERT(hi, 5);
      INSERT(hi, 6);
      INSERT(hi, 7);
      const u16x8 a = (u16x8)lo, b = (u16x8)hi;
      if (!encode)
        residual = SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
      u16x8 magnitude = SHUFFLE(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
      if (kind == SC_MAGNITUDE_THRESHOLD)
        magnitude = (u16x8)(((i16x8)residual < low) | ((i16x8)residual >= high)) & splat(1);
      const u16x8 value = residual + offset;
      value_of[i] = value;
      magnitude_of_[i] = magnitude;
      if (contexts)
        advance(&m, all_m, magnitude, t, period);
      if (mean)
        advance(&v, all_v, value, t, period);
      if (!encode && __builtin_expect(c->d.next > c->d.count, 0))
        return -1;
    }
    if (!encode)
      scatter(values + block, line, value_of);
    if (kind == SC_MAGNITUDE_TABLE)
      scatter(magnitudes + block, line, magnitude_of_);
  }

  for (int32_t y = 0; y < p.height; y++) {
    const size_t row = sc_walk_row(&walk, y);
    if (!encode)
      memcpy(p.values + (size_t)y * width, values + row, width * sizeof *values);
    if (p.samples)
      memcpy(p.samples + padded_at(&p, y, 0), values + row, width * sizeof *values);
    if (p.magnitudes) {
      uint8_t *restrict to = p.magnitudes + padded_at(&p, y, 0);
      const int16_t *restrict value = (const int16_t *)values + row;
      const uint16_t *restrict from = magnitudes + row;
      if (kind == SC_MAGNITUDE_TABLE) {
        for (size_t x = 0; x < width; x++)
          to[x] = (uint8_t)from[x];
      } else if (p.magnitude_kind == SC_MAGNITUDE_THRESHOLD) {
        const int16_t lo = (int16_t)p.low, hi = (int16_t)p.high;
        for (size_t x = 0; x < width; x++)
          to[x] = (value[x] < lo) | (value[x] >= hi);
      } else {
        for (size_t x = 0; x < width; x++)
          to[x] = magnitude_of(&p, p.magnitude_kind, value[x]);
      }
    }
  }
  if (p.magnitudes)
    FINISH(p.magnitudes, &p);
  if (p.samples)
    FINISH(p.samples, &p);
  return 0;
}

size_t sc_plane_scratch(int32_t width, int32_t height) {
  return 4 * LINES * sc_walk_of(width, height).line * sizeof(uint16_t);
}

// A word is read before it is known whether it is needed, and an invalid escape moves one word past the end.
_Static_assert(2 * (LINES * SC_RANS_SYMBOLS_PER_VALUE + 2) <= SC_RANS_SLACK, "reads between two checks");

static INLINE int code_plane_of_kind(coder *c, const sc_plane *p, int encode) {
  if (!p->level_of)
    return code_plane(c, p, encode, SC_MAGNITUDE_NONE, 0, 0);
  if (p->magnitude_kind == SC_MAGNITUDE_THRESHOLD)
    return code_plane(c, p, encode, SC_MAGNITUDE_THRESHOLD, 1, 0);
  if (!p->mean_shift)
    return code_plane(c, p, encode, SC_MAGNITUDE_TABLE, 1, 0);
  return code_plane(c, p, encode, SC_MAGNITUDE_TABLE, 1, 1);
}

#define VARIANT(name, attributes)                                                                            \
  static attributes int decode_plane_##name(sc_rans_decoder *decoder, const sc_plane *plane) {               \
    coder c = {.d = *decoder};                                                                               \
    const int result = code_plane_of_kind(&c, plane, 0);                                                     \
    *decoder = c.d;                                                                                          \
    return result;                                                                                           \
  }                                                                                                          \
  static attributes uint32_t *encode_plane_##name(uint32_t *symbols, const sc_plane *plane) {                \
    coder c = {.symbols = symbols};                                                                          \
    code_plane_of_kind(&c, plane, 1);                                                                        \
    return c.symbols;                                                                                        \
  }

VARIANT(c, )
#if defined(__x86_64__)
// The same source for processors with three-operand instructions and wider vectors, and with twice as many registers.
VARIANT(avx2, __attribute__((target("avx2,bmi,bmi2"))))
VARIANT(avx512, __attribute__((target("avx2,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl"))))

static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"); }

static int has_avx512(void) {
  return has_avx2() && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq");
}
#endif

int sc_rans_decode_plane(sc_rans_decoder *decoder, const sc_plane *plane) {
#if defined(__x86_64__)
  if (has_avx512())
    return decode_plane_avx512(decoder, plane);
  if (has_avx2())
    return decode_plane_avx2(decoder, plane);
#endif
  return decode_plane_c(decoder, plane);
}

// ---- Encoder
// ---------------------------------------------------------------------------------------------------------

void sc_rans_encode_flag(sc_rans_encoder *e, int lane, uint32_t one, int flag) {
  assert(e->count < e->capacity);
  e->symbols[e->count++] = symbol_word(lane, flag ? SLOTS - one : 0, flag ? one : SLOTS - one);
}

void sc_rans_encode_plane(sc_rans_encoder *e, const sc_plane *plane) {
  assert(e->capacity - e->count >= (size_t)plane->width * (size_t)plane->height * SC_RANS_SYMBOLS_PER_VALUE);
  uint32_t *const symbols = e->symbols + e->count;
#if defined(__x86_64__)
  uint32_t *const end = has_avx512() ? encode_plane_avx512(symbols, plane)
                        : has_avx2() ? encode_plane_avx2(symbols, plane)
                                     : encode_plane_c(symbols, plane);
#else
  uint32_t *const end = encode_plane_c(symbols, plane);
#endif
  e->count = (size_t)(end - e->symbols);
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
