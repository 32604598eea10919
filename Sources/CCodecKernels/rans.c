// SPDX-License-Identifier: BSD-3-Clause
#include "sc_entropy.h"

#include <assert.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define LOW (1u << 16)
#define SLOTS (1u << SC_RANS_BITS)
#define MARGIN SC_MAGNITUDE_MARGIN

// ---- Symbol search
// ---------------------------------------------------------------------------------------------------

// How many of 16 ascending numbers are smaller than slot.
static inline uint32_t count_below16(const int16_t *last, uint32_t slot) {
#if defined(__SSE2__)
  const __m128i s = _mm_set1_epi16((short)slot);
  const __m128i a = _mm_cmpgt_epi16(s, _mm_loadu_si128((const __m128i *)last));
  const __m128i b = _mm_cmpgt_epi16(s, _mm_loadu_si128((const __m128i *)(last + 8)));
  // Ascending: the mask is ones from bit 0 up, so its length is the first zero.
  return (uint32_t)__builtin_ctz(~(uint32_t)_mm_movemask_epi8(_mm_packs_epi16(a, b)));
#elif defined(__ARM_NEON) && defined(__aarch64__)
  const int16x8_t s = vdupq_n_s16((int16_t)slot);
  const uint16x8_t n = vaddq_u16(vcltq_s16(vld1q_s16(last), s), vcltq_s16(vld1q_s16(last + 8), s));
  return (uint32_t)(uint16_t)(0 - vaddvq_u16(n));
#else
  uint32_t n = 0;
  for (int i = 0; i < 16; i++)
    n += last[i] < (int32_t)slot;
  return n;
#endif
}

static inline uint32_t find_symbol(const sc_cdf *cdf, uint32_t slot) {
  if (cdf->symbols <= 16)
    return count_below16(cdf->last, slot);
  const uint32_t group = count_below16(cdf->coarse, slot);
  return 16 * group + count_below16(cdf->last + 16 * group, slot);
}

// ---- Contexts
// --------------------------------------------------------------------------------------------------------

static inline ptrdiff_t padded_stride(const sc_plane *p) { return (ptrdiff_t)p->width + 2 * MARGIN; }

static inline ptrdiff_t padded_at(const sc_plane *p, int32_t y, int32_t x) {
  return (y + MARGIN) * padded_stride(p) + MARGIN + x;
}

static inline uint8_t magnitude_of(const sc_plane *p, int32_t kind, int32_t residual) {
  if (kind == SC_MAGNITUDE_THRESHOLD)
    return residual < p->low || residual >= p->high;
  const int32_t a = residual < 0 ? -residual : residual;
  return p->table[a < 63 ? a : 63];
}

static inline const sc_cdf *context_cdf(const sc_plane *p, const uint8_t *m, ptrdiff_t s, size_t at,
                                        int32_t phase) {
  uint32_t sum = p->base ? p->base[at] : 0;
  sum += (uint32_t)(p->weight[0] * m[-1] + p->weight[1] * m[-2]);
  sum += (uint32_t)(p->weight[2] * m[-s - 1] + p->weight[3] * m[-s]);
  sum += (uint32_t)(p->weight[4] * m[-s + 1] + p->weight[5] * m[-2 * s]);
  sum >>= p->shift;
  return p->cdfs + p->cdf_index[(p->level_of[sum < 1023 ? sum : 1023] << p->phase_bits) + phase];
}

// What is taken off the sample, and the phase. |sum| < 2^30: the weights' magnitudes sum up to at most 32767.
static inline int32_t mean_of(const sc_plane *p, const int16_t *v, ptrdiff_t s, size_t at, int32_t *phase) {
  int32_t sum = p->mean_base ? p->mean_base[at] : 0;
  sum += p->mean_weight[0] * v[-1] + p->mean_weight[1] * v[-2];
  sum += p->mean_weight[2] * v[-s - 1] + p->mean_weight[3] * v[-s];
  sum += p->mean_weight[4] * v[-s + 1] + p->mean_weight[5] * v[-2 * s];
  sum += 1 << (p->mean_shift - 1);
  *phase = sum >> (p->mean_shift - p->phase_bits) & ((1 << p->phase_bits) - 1);
  return sum >> p->mean_shift;
}

// Margins while a plane is being coded. Outside of it stands the nearest sample; where that is not coded yet, the
// one to the left, in column 0 the one above, and 0 for the very first sample. `at` points to (y, x) of a padded
// plane.
#define SPREAD(at, s, y, x, width)                                                                           \
  do {                                                                                                       \
    if (x == 0)                                                                                              \
      at[-1] = at[-2] = at[s - 1] = at[s - 2] = at[0];                                                       \
    if (x == width - 1)                                                                                      \
      at[1] = at[2] = at[0];                                                                                 \
    if (y == 0)                                                                                              \
      at[-s] = at[-s + 1] = at[-s + 2] = at[-2 * s] = at[-2 * s + 1] = at[0];                                \
  } while (0)

static inline void spread_magnitude(uint8_t *at, ptrdiff_t s, int32_t y, int32_t x, int32_t width) {
  SPREAD(at, s, y, x, width);
}

static inline void spread_sample(int16_t *at, ptrdiff_t s, int32_t y, int32_t x, int32_t width) {
  SPREAD(at, s, y, x, width);
}

// What the first sample sees.
static void begin_plane(const sc_plane *p) {
  const ptrdiff_t s = padded_stride(p);
  for (int i = 0; i < 3; i++) {
    const ptrdiff_t at = (ptrdiff_t)i * s;
    if (p->magnitudes)
      memset(p->magnitudes + at, 0, i < 2 ? 4 : 2);
    if (p->samples)
      memset(p->samples + at, 0, (i < 2 ? 4 : 2) * sizeof(int16_t));
  }
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

void sc_mean_base(int32_t *base, int32_t width, int32_t height, const sc_mean_source *sources, int32_t count) {
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

static inline uint32_t renormalise(uint32_t x, const uint8_t **next) {
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

// One sample. `kind`, `contexts` and `mean` are constants where this is inlined, `edge` is 0 where no margin depends
// on the sample.
static inline int decode_sample(sc_rans_decoder *d, const sc_plane *p, int lane, int32_t y, int32_t x,
                                int32_t kind, int contexts, int mean, int edge) {
  const ptrdiff_t s = padded_stride(p), padded = padded_at(p, y, x);
  const size_t at = (size_t)y * (size_t)p->width + (size_t)x;
  uint8_t *m = contexts ? p->magnitudes + padded : NULL;
  int16_t *v = mean ? p->samples + padded : NULL;
  int32_t phase = 0;
  const int32_t offset = mean ? mean_of(p, v, s, at, &phase) : 0;
  const sc_cdf *cdf = contexts ? context_cdf(p, m, s, at, phase) : p->cdfs + p->cdf_index[0];
  const uint32_t state = d->state[lane], slot = state & (SLOTS - 1);
  const uint32_t symbol = find_symbol(cdf, slot);
  const int32_t before = cdf->last[(int32_t)symbol - 1], last = cdf->last[symbol];
  d->state[lane] = renormalise(
      (uint32_t)(last - before) * (state >> SC_RANS_BITS) + slot - (uint32_t)(before + 1), &d->next);
  int32_t residual = cdf->minimum + (int32_t)symbol;
  int bad = 0;
  if (__builtin_expect((int32_t)symbol == cdf->symbols - 1, 0)) {
    // A copy, so that the address of the decoder proper never escapes and its states stay in registers.
    sc_rans_decoder copy = *d;
    residual = decode_escape(&copy, lane, cdf);
    *d = copy;
    bad = residual != (int16_t)residual;
  }
  const int16_t value = (int16_t)(residual + offset);
  p->values[at] = value;
  if (contexts) {
    *m = magnitude_of(p, kind, (int16_t)residual);
    if (edge)
      spread_magnitude(m, s, y, x, p->width);
  }
  if (mean) {
    *v = value;
    if (edge)
      spread_sample(v, s, y, x, p->width);
  }
  return bad;
}

static inline int decode_plane(sc_rans_decoder *restrict decoder, const sc_plane *restrict plane,
                               int32_t kind, int contexts, int mean) {
  const sc_plane p = *plane;
  sc_rans_decoder d = *decoder;
  int bad = 0;
  begin_plane(&p);
  for (int32_t y = 0; y < p.height; y += SC_RANS_LANES) {
    const int32_t rows = p.height - y < SC_RANS_LANES ? p.height - y : SC_RANS_LANES;
    for (int32_t t = 0; t < p.width + 2 * (SC_RANS_LANES - 1); t++) {
      if (rows == SC_RANS_LANES && t > 2 * (SC_RANS_LANES - 1) && t < p.width - 1) {
        bad |= decode_sample(&d, &p, 0, y, t, kind, contexts, mean, y == 0);
        bad |= decode_sample(&d, &p, 1, y + 1, t - 2, kind, contexts, mean, 0);
        bad |= decode_sample(&d, &p, 2, y + 2, t - 4, kind, contexts, mean, 0);
        bad |= decode_sample(&d, &p, 3, y + 3, t - 6, kind, contexts, mean, 0);
      } else {
        for (int32_t l = 0; l < rows; l++) {
          const int32_t x = t - 2 * l;
          if (x >= 0 && x < p.width)
            bad |= decode_sample(&d, &p, l, y + l, x, kind, contexts, mean, 1);
        }
      }
      // At most four samples with escapes, 4 * 4 words, are read between two checks: inside of the slack.
      if (__builtin_expect(d.next > d.end || bad, 0))
        return -1;
    }
  }
  *decoder = d;
  finish_plane(&p, !contexts, !mean);
  return 0;
}

_Static_assert(SC_RANS_LANES *SC_RANS_SYMBOLS_PER_VALUE * 2 + 2 <= SC_RANS_SLACK, "reads between two checks");

int sc_rans_decode_plane(sc_rans_decoder *decoder, const sc_plane *plane) {
  if (!plane->level_of)
    return decode_plane(decoder, plane, SC_MAGNITUDE_NONE, 0, 0);
  if (plane->magnitude_kind == SC_MAGNITUDE_THRESHOLD)
    return decode_plane(decoder, plane, SC_MAGNITUDE_THRESHOLD, 1, 0);
  if (!plane->mean_shift)
    return decode_plane(decoder, plane, SC_MAGNITUDE_TABLE, 1, 0);
  return decode_plane(decoder, plane, SC_MAGNITUDE_TABLE, 1, 1);
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
  push(e, lane, (uint32_t)(cdf->last[symbol - 1] + 1), (uint32_t)(cdf->last[symbol] - cdf->last[symbol - 1]));
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

void sc_rans_encode_plane(sc_rans_encoder *e, const sc_plane *p) {
  const ptrdiff_t s = padded_stride(p);
  const int contexts = p->level_of != NULL, mean = contexts && p->mean_shift;
  begin_plane(p);
  for (int32_t y = 0; y < p->height; y += SC_RANS_LANES) {
    for (int32_t t = 0; t < p->width + 2 * (SC_RANS_LANES - 1); t++) {
      for (int32_t l = 0; l < SC_RANS_LANES && y + l < p->height; l++) {
        const int32_t x = t - 2 * l;
        if (x < 0 || x >= p->width)
          continue;
        const size_t at = (size_t)(y + l) * (size_t)p->width + (size_t)x;
        const int16_t value = p->values[at];
        if (!contexts) {
          push_value(e, l, p->cdfs + p->cdf_index[0], value);
          continue;
        }
        const ptrdiff_t padded = padded_at(p, y + l, x);
        uint8_t *m = p->magnitudes + padded;
        int32_t phase = 0, offset = 0;
        if (mean) {
          int16_t *v = p->samples + padded;
          offset = mean_of(p, v, s, at, &phase);
          *v = value;
          spread_sample(v, s, y + l, x, p->width);
        }
        // Modulo 2^16, as the decoder adds it.
        const int16_t residual = (int16_t)(value - offset);
        push_value(e, l, context_cdf(p, m, s, at, phase), residual);
        *m = magnitude_of(p, p->magnitude_kind, residual);
        spread_magnitude(m, s, y + l, x, p->width);
      }
    }
  }
  finish_plane(p, !contexts, !mean);
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
