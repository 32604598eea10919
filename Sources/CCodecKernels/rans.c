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

static inline size_t magnitude_stride(const sc_plane *p) { return (size_t)p->width + 2 * MARGIN; }

static inline uint8_t *magnitude_at(const sc_plane *p, int32_t y, int32_t x) {
  return p->magnitudes + (size_t)(y + MARGIN) * magnitude_stride(p) + MARGIN + x;
}

static inline uint8_t magnitude_of(const sc_plane *p, int32_t kind, int32_t value) {
  if (kind == SC_MAGNITUDE_THRESHOLD)
    return value >= p->threshold;
  const int32_t a = value < 0 ? -value : value;
  return p->table[a < 63 ? a : 63];
}

static inline const sc_cdf *level_cdf(const sc_plane *p, uint32_t sum) {
  sum >>= p->shift;
  return p->cdfs + p->cdf_index[p->level_of[sum < 1023 ? sum : 1023]];
}

// m is NULL for planes without magnitudes: their sums are of scales alone.
static inline const sc_cdf *context_cdf(const sc_plane *p, const uint8_t *m, size_t ms, size_t at) {
  uint32_t sum = p->base ? p->base[at] : 0;
  if (!m)
    return level_cdf(p, sum);
  sum += (uint32_t)(p->weight[0] * m[-1] + p->weight[1] * m[-2]);
  sum += (uint32_t)(p->weight[2] * m[-(ptrdiff_t)ms - 1] + p->weight[3] * m[-(ptrdiff_t)ms]);
  sum += (uint32_t)(p->weight[4] * m[-(ptrdiff_t)ms + 1] + p->weight[5] * m[-2 * (ptrdiff_t)ms]);
  return level_cdf(p, sum);
}

void sc_context_accumulate(uint16_t *base, const uint8_t *magnitudes, int32_t width, int32_t height,
                           const uint8_t weight[9]) {
  const size_t ms = (size_t)width + 2 * MARGIN;
  for (int32_t y = 0; y < height; y++) {
    uint16_t *restrict out = base + (size_t)y * (size_t)width;
    for (int k = 0; k < 9; k++) {
      if (!weight[k])
        continue;
      const uint8_t *restrict m = magnitudes + (size_t)(y + MARGIN - 1 + k / 3) * ms + MARGIN - 1 + k % 3;
      const uint16_t w = weight[k];
      for (int32_t x = 0; x < width; x++)
        out[x] = (uint16_t)(out[x] + w * m[x]);
    }
  }
}

void sc_magnitudes_fill(const sc_plane *p) {
  for (int32_t y = 0; y < p->height; y++) {
    const int16_t *v = p->values + (size_t)y * (size_t)p->width;
    uint8_t *m = magnitude_at(p, y, 0);
    for (int32_t x = 0; x < p->width; x++)
      m[x] = magnitude_of(p, p->magnitude_kind, v[x]);
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

// One sample. `kind` and `contexts` are constants where this is inlined.
static inline int decode_sample(sc_rans_decoder *d, const sc_plane *p, int lane, int32_t y, int32_t x,
                                int32_t kind, int contexts) {
  const size_t ms = magnitude_stride(p), at = (size_t)y * (size_t)p->width + (size_t)x;
  uint8_t *m = kind ? magnitude_at(p, y, x) : NULL;
  const sc_cdf *cdf = contexts ? context_cdf(p, m, ms, at) : p->cdfs + p->cdf_index[0];
  const uint32_t state = d->state[lane], slot = state & (SLOTS - 1);
  const uint32_t symbol = find_symbol(cdf, slot);
  const int32_t before = cdf->last[(int32_t)symbol - 1], last = cdf->last[symbol];
  d->state[lane] = renormalise(
      (uint32_t)(last - before) * (state >> SC_RANS_BITS) + slot - (uint32_t)(before + 1), &d->next);
  int32_t value = cdf->minimum + (int32_t)symbol;
  int bad = 0;
  if (__builtin_expect((int32_t)symbol == cdf->symbols - 1, 0)) {
    // A copy, so that the address of the decoder proper never escapes and its states stay in registers.
    sc_rans_decoder copy = *d;
    value = decode_escape(&copy, lane, cdf);
    *d = copy;
    bad = value != (int16_t)value;
  }
  p->values[at] = (int16_t)value;
  if (kind)
    *m = magnitude_of(p, kind, (int16_t)value);
  return bad;
}

static inline int decode_plane(sc_rans_decoder *restrict decoder, const sc_plane *restrict plane,
                               int32_t kind, int contexts) {
  const sc_plane p = *plane;
  sc_rans_decoder d = *decoder;
  int bad = 0;
  for (int32_t y = 0; y < p.height; y += SC_RANS_LANES) {
    const int32_t rows = p.height - y < SC_RANS_LANES ? p.height - y : SC_RANS_LANES;
    for (int32_t t = 0; t < p.width + 2 * (SC_RANS_LANES - 1); t++) {
      if (rows == SC_RANS_LANES && t >= 2 * (SC_RANS_LANES - 1) && t < p.width) {
        bad |= decode_sample(&d, &p, 0, y, t, kind, contexts);
        bad |= decode_sample(&d, &p, 1, y + 1, t - 2, kind, contexts);
        bad |= decode_sample(&d, &p, 2, y + 2, t - 4, kind, contexts);
        bad |= decode_sample(&d, &p, 3, y + 3, t - 6, kind, contexts);
      } else {
        for (int32_t l = 0; l < rows; l++) {
          const int32_t x = t - 2 * l;
          if (x >= 0 && x < p.width)
            bad |= decode_sample(&d, &p, l, y + l, x, kind, contexts);
        }
      }
      // At most four samples with escapes, 4 * 4 words, are read between two checks: inside of the slack.
      if (__builtin_expect(d.next > d.end || bad, 0))
        return -1;
    }
  }
  *decoder = d;
  return 0;
}

_Static_assert(SC_RANS_LANES *SC_RANS_SYMBOLS_PER_VALUE * 2 + 2 <= SC_RANS_SLACK, "reads between two checks");

int sc_rans_decode_plane(sc_rans_decoder *decoder, const sc_plane *plane) {
  const int contexts = plane->level_of != NULL;
  switch (plane->magnitude_kind) {
  case SC_MAGNITUDE_NONE:
    return decode_plane(decoder, plane, SC_MAGNITUDE_NONE, 0);
  case SC_MAGNITUDE_THRESHOLD:
    return contexts ? decode_plane(decoder, plane, SC_MAGNITUDE_THRESHOLD, 1)
                    : decode_plane(decoder, plane, SC_MAGNITUDE_THRESHOLD, 0);
  default:
    return contexts ? decode_plane(decoder, plane, SC_MAGNITUDE_TABLE, 1)
                    : decode_plane(decoder, plane, SC_MAGNITUDE_TABLE, 0);
  }
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
  const size_t ms = magnitude_stride(p);
  if (p->magnitude_kind)
    sc_magnitudes_fill(p);
  for (int32_t y = 0; y < p->height; y += SC_RANS_LANES) {
    for (int32_t t = 0; t < p->width + 2 * (SC_RANS_LANES - 1); t++) {
      for (int32_t l = 0; l < SC_RANS_LANES && y + l < p->height; l++) {
        const int32_t x = t - 2 * l;
        if (x < 0 || x >= p->width)
          continue;
        const size_t at = (size_t)(y + l) * (size_t)p->width + (size_t)x;
        const sc_cdf *cdf = p->level_of
                                ? context_cdf(p, p->magnitude_kind ? magnitude_at(p, y + l, x) : NULL, ms, at)
                                : p->cdfs + p->cdf_index[0];
        push_value(e, l, cdf, p->values[at]);
      }
    }
  }
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
