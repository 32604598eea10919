// SPDX-License-Identifier: BSD-3-Clause
//
// Coding a plane eight samples at a time, written once for all instruction sets. A variant's file defines, before
// including this one:
//
//   NAME(x), TARGET   x with the variant's suffix; the function attribute that switches the instructions on
//
// Decoding and encoding, of four lanes and of one, are one function, specialised by constant arguments: only the middle of a
// step differs.
#include "rans_encoder.h"
#include "wavefront.h"

typedef struct coder {
  sc_rans_decoder decoder;
  uint32_t *symbols; // of the encoder, the next one
} coder;

// Fills the margins next to a plane for the channels after it.
#define FINISH(plane, p)                                                                                     \
  do {                                                                                                       \
    const ptrdiff_t s = sc_padded_stride((p)->width);                                                        \
    for (int32_t y = 0; y < (p)->height; y++) {                                                              \
      (plane)[sc_padded_at((p)->width, y, -1)] = (plane)[sc_padded_at((p)->width, y, 0)];                    \
      (plane)[sc_padded_at((p)->width, y, (p)->width)] =                                                     \
          (plane)[sc_padded_at((p)->width, y, (p)->width - 1)];                                              \
    }                                                                                                        \
    memcpy((plane) + sc_padded_at((p)->width, -1, -1), (plane) + sc_padded_at((p)->width, 0, -1),            \
           (size_t)(s - 2) * sizeof *(plane));                                                               \
    memcpy((plane) + sc_padded_at((p)->width, (p)->height, -1),                                              \
           (plane) + sc_padded_at((p)->width, (p)->height - 1, -1), (size_t)(s - 2) * sizeof *(plane));      \
  } while (0)

static SC_INLINE void prefetch(const void *p, size_t size) {
  for (size_t i = 0; i < size; i += 64)
    __builtin_prefetch((const char *)p + i);
}

// Tables of all channels together do not stay in the caches from one segment to the next.
static SC_INLINE void prefetch_tables(const sc_plane *p, int contexts) {
  const size_t count = contexts ? p->level_of[SC_LEVEL_SUMS] : 1;
  for (size_t i = 0; i < count; i++)
    prefetch((const char *)p->cdfs[i] - sc_cdf_starts(p->start_shift),
             sc_cdf_starts(p->start_shift) + sc_cdf_size(p->cdfs[i]->symbols));
  if (contexts)
    prefetch(p->level_of, SC_LEVEL_SUMS * sizeof *p->level_of);
}

static SC_INLINE int code_plane(coder *c, const sc_plane *plane, int encode, int lanes, int32_t kind,
                                int contexts, int mean) {
  const sc_plane p = *plane;
  prefetch_tables(&p, contexts);
  const sc_wavefront wavefront = sc_wavefront_of(p.width, p.height);
  const size_t period = (size_t)wavefront.period, line = wavefront.line, width = (size_t)p.width;
  // In the order of the wavefront: values, magnitudes; vector by vector: magnitudes, values.
  uint16_t *const values = p.scratch, *const magnitudes = values + LINES * line;
  uint16_t *const all_m = magnitudes + LINES * line, *const all_v = all_m + LINES * line;
  if (encode) {
    for (int32_t y = 0; y < p.height; y++)
      memcpy(values + sc_wavefront_row(&wavefront, y), p.values + (size_t)y * width, width * sizeof *values);
  }
  u16x8 weight[SC_NEIGHBOURS] = {0};
  for (int k = 0; k < SC_NEIGHBOURS; k++)
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
  for (size_t block = 0; block < wavefront.steps; block += 8) {
    u16x8 base[8] = {0}, value_of[8] = {0}, magnitude_of_[8] = {0};
    i32x8 mean_base[8] = {0};
    if (contexts && p.base)
      gather(base, p.base + block, line);
    if (mean && p.mean_base)
      gather_i32(mean_base, p.mean_base + block, line);
    if (encode)
      gather(value_of, values + block, line);
    const size_t end = wavefront.steps - block < 8 ? wavefront.steps - block : 8;
    for (size_t i = 0; i < end; i++) {
      const size_t t = block + i;
      u16x8 n[SC_NEIGHBOURS], nv[SC_NEIGHBOURS], step = {0}, phase = {0}, offset = {0}, outside = {0};
      if (contexts)
        neighbours(&m, n);
      if (mean)
        neighbours(&v, nv);
      if (contexts && (column < 2 * LINES || column == period - 1 || width < 2 * LINES)) {
        edges e = edges_at(p.width, wavefront.period, (int32_t)column);
        if (t == width - 1) {
          // The row above the first goes on here.
          e.last &= ~alone(0);
          n[SC_TOP_RIGHT] = blend(alone(0), n[SC_LEFT], n[SC_TOP_RIGHT]);
          if (mean)
            nv[SC_TOP_RIGHT] = blend(alone(0), nv[SC_LEFT], nv[SC_TOP_RIGHT]);
        }
        mend(n, &e);
        if (mean)
          mend(nv, &e);
      }
      if (t < 2 * LINES || t >= tail || width < 2 * LINES) {
        outside = outside_at(&p, wavefront.period, (int32_t)(t / period), (int32_t)column);
        for (int l = 0; l < LINES && !contexts; l++)
          cdf[l] = outside[l] ? nothing : p.cdfs[0];
      }
      column = column + 1 == period ? 0 : column + 1;
      if (contexts) {
        u16x8 sum = base[i];
        // The neighbours that are known last come last.
        sum += weight[SC_TOP_TOP] * n[SC_TOP_TOP] + weight[SC_LEFT_LEFT] * n[SC_LEFT_LEFT] +
               weight[SC_TOP_LEFT] * n[SC_TOP_LEFT] + weight[SC_TOP] * n[SC_TOP] +
               (weight[SC_TOP_RIGHT] * n[SC_TOP_RIGHT] + weight[SC_LEFT] * n[SC_LEFT]);
        sum >>= splat(p.shift);
        const u16x8 over = (u16x8)(sum > most);
        step = blend(over, most, sum);
        step = blend(outside, splat(SC_LEVEL_SUMS), step);
      }
      if (mean) {
        i32x8 sum = mean_base[i];
        for (int k = 0; k < SC_NEIGHBOURS; k++)
          sum += p.mean_weight[k] * widened(nv[k]);
        sum += half;
        offset = __builtin_convertvector(sum >> p.mean_shift, u16x8);
        phase = __builtin_convertvector(sum >> (p.mean_shift - p.phase_bits) & phase_mask, u16x8);
        phase &= ~outside;
      }
#define CDF(l) (contexts ? p.cdfs[p.level_of[step[l]] + (mean ? phase[l] : 0)] : cdf[l])
      u16x8 residual = value_of[i] - offset; // modulo 2^16, as the decoder adds it
#define SYMBOL(l)                                                                                            \
  (encode ? sc_rans_encode_symbol(&c->symbols, p.table, CDF(l), l % lanes, (int16_t)residual[l])             \
          : sc_rans_decode_symbol(&c->decoder, p.table, p.start_shift, CDF(l), l % lanes))
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
      if (!encode && __builtin_expect(c->decoder.next > c->decoder.count, 0))
        return -1;
    }
    if (!encode)
      scatter(values + block, line, value_of);
    if (kind == SC_MAGNITUDE_TABLE)
      scatter(magnitudes + block, line, magnitude_of_);
  }

  for (int32_t y = 0; y < p.height; y++) {
    const size_t row = sc_wavefront_row(&wavefront, y);
    if (!encode)
      memcpy(p.values + (size_t)y * width, values + row, width * sizeof *values);
    if (p.samples)
      memcpy(p.samples + sc_padded_at(p.width, y, 0), values + row, width * sizeof *values);
    if (p.magnitudes) {
      uint8_t *restrict to = p.magnitudes + sc_padded_at(p.width, y, 0);
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
          to[x] = sc_magnitude_of(p.magnitude_kind, p.low, p.high, p.table, value[x]);
      }
    }
  }
  if (p.magnitudes)
    FINISH(p.magnitudes, &p);
  if (p.samples)
    FINISH(p.samples, &p);
  return 0;
}

// A word is read before it is known whether it is needed, and an invalid escape moves one word past the end.
_Static_assert(2 * (LINES * SC_RANS_SYMBOLS_PER_VALUE + 2) <= SC_RANS_SLACK, "reads between two checks");

static SC_INLINE int code_plane_of_kind(coder *c, const sc_plane *p, int encode, int lanes) {
  if (!p->level_of)
    return code_plane(c, p, encode, lanes, SC_MAGNITUDE_NONE, 0, 0);
  if (p->magnitude_kind == SC_MAGNITUDE_THRESHOLD)
    return code_plane(c, p, encode, lanes, SC_MAGNITUDE_THRESHOLD, 1, 0);
  if (!p->mean_shift)
    return code_plane(c, p, encode, lanes, SC_MAGNITUDE_TABLE, 1, 0);
  return code_plane(c, p, encode, lanes, SC_MAGNITUDE_TABLE, 1, 1);
}

TARGET int NAME(sc_decode_plane)(sc_rans_decoder *decoder, const sc_plane *plane) {
  coder c = {.decoder = *decoder};
  const int result = decoder->lanes == 1 ? code_plane_of_kind(&c, plane, 0, 1)
                                         : code_plane_of_kind(&c, plane, 0, SC_RANS_LANES);
  *decoder = c.decoder;
  return result;
}

TARGET void NAME(sc_encode_plane)(sc_rans_encoder *encoder, const sc_plane *plane) {
  coder c = {.symbols = encoder->symbols + encoder->count};
  code_plane_of_kind(&c, plane, 1, SC_RANS_LANES);
  encoder->count = (size_t)(c.symbols - encoder->symbols);
}
