// SPDX-License-Identifier: BSD-3-Clause
//
// The kernels sixteen columns at a time, written once for all instruction sets. A variant's file defines, before including
// this one:
//
//   NAME(x), TARGET   x with the variant's suffix; the function attribute that switches the instructions on
//   DOT(sum, a, b)    adds products of two neighbours to each of eight sums of 32 bits
#include "filter_internal.h"

// Vectors wider than the registers pass between inlined functions only: no ABI is concerned.
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

typedef int16_t i16x16 __attribute__((vector_size(32)));
typedef int32_t i32x8 __attribute__((vector_size(32)));
typedef uint64_t u64x4 __attribute__((vector_size(32)));

#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE i16x16 NAME(load)(const int16_t *p) {
  i16x16 v;
  memcpy(&v, p, sizeof v);
  return v;
}
#define load NAME(load)

INLINE i16x16 NAME(splat)(int16_t v) { return (i16x16){0} + v; }
#define splat NAME(splat)

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#define CLIP(v, limit)                                                                                       \
  __builtin_elementwise_max(__builtin_elementwise_min((v), splat(limit)), splat((int16_t) - (limit)))
#define MAGNITUDE(v) __builtin_elementwise_abs(v)
#else
#define UNROLL _Pragma("GCC unroll 18")
INLINE i16x16 NAME(choose)(i16x16 which, i16x16 a, i16x16 b) { return (which & a) | (~which & b); }
#define CLIP(v, limit) NAME(clip)(v, limit)
INLINE i16x16 NAME(clip)(i16x16 v, int16_t limit) {
  v = NAME(choose)(v < splat(limit), v, splat(limit));
  return NAME(choose)(v > splat((int16_t)-limit), v, splat((int16_t)-limit));
}
#define MAGNITUDE(v) NAME(magnitude)(v)
INLINE i16x16 NAME(magnitude)(i16x16 v) { return NAME(choose)(v < 0, -v, v); }
#endif
#define PAIR(rows, row, column, middle, at, limit)                                                           \
  (CLIP(load((rows)[(row) + (at).y] + (column) + (at).x) - (middle), limit) +                                \
   CLIP(load((rows)[(row) - (at).y] + (column) - (at).x) - (middle), limit))

// All pairs of row y = 0…3 at column x.
INLINE void NAME(pairs)(int32_t count, const int16_t *const *plane, const int16_t *const *guide, int32_t y,
                        int32_t x, i16x16 *out) {
  const i16x16 middle = load(plane[y + 3] + x), guide_middle = load(guide[y + 3] + x);
  if (count == SC_FILTER_LUMA_TAPS) {
    UNROLL
    for (int i = 0; i < 12; i++)
      out[i] = PAIR(plane, y + 3, x, middle, sc_filter_wide[i], SC_FILTER_CLIP);
    UNROLL
    for (int i = 0; i < 6; i++)
      out[12 + i] = PAIR(plane, y + 3, x, middle, sc_filter_narrow[i], SC_FILTER_GUIDE_CLIP);
  } else {
    UNROLL
    for (int i = 0; i < 6; i++)
      out[i] = PAIR(plane, y + 3, x, middle, sc_filter_narrow[i], SC_FILTER_CLIP);
    UNROLL
    for (int i = 0; i < 6; i++)
      out[6 + i] = PAIR(guide, y + 3, x, guide_middle, sc_filter_narrow[i], SC_FILTER_CLIP);
  }
}
#define pairs NAME(pairs)

INLINE void NAME(filter_of)(const sc_filter_taps *taps, int32_t count, const int16_t *const *plane,
                            const int16_t *const *guide, const uint8_t *shape, int32_t blocks, int16_t *out,
                            ptrdiff_t stride) {
  for (int32_t b = 0; b < blocks; b += 4) {
    const int16_t(*t[4])[4];
    int is_used = 0;
    for (int k = 0; k < 4; k++) {
      t[k] = taps->tap[shape[b + k]];
      is_used |= taps->is_used[shape[b + k]];
    }
    if (!is_used) {
      for (int32_t y = 0; y < 4; y++)
        memset(out + y * stride + 4 * b, 0, 16 * sizeof *out);
      continue;
    }
    i16x16 tap[SC_FILTER_LUMA_TAPS];
    UNROLL
    for (int i = 0; i < count; i++) {
      u64x4 v;
      for (int k = 0; k < 4; k++) {
        uint64_t four;
        memcpy(&four, t[k][i], sizeof four);
        v[k] = four;
      }
      tap[i] = (i16x16)v;
    }
    for (int32_t y = 0; y < 4; y++) {
      i16x16 value[SC_FILTER_LUMA_TAPS];
      pairs(count, plane, guide, y, 4 * b, value);
      i16x16 sum = splat(1 << (SC_FILTER_BITS - 1));
      UNROLL
      for (int i = 0; i < count; i++)
        sum += value[i] * tap[i];
      sum >>= SC_FILTER_BITS;
      memcpy(out + y * stride + 4 * b, &sum, sizeof sum);
    }
  }
}

TARGET void NAME(sc_filter)(const sc_filter_taps *taps, int32_t count, const int16_t *const *plane,
                            const int16_t *const *guide, const uint8_t *shape, int32_t blocks, int16_t *out,
                            ptrdiff_t stride) {
  if (count == SC_FILTER_LUMA_TAPS)
    NAME(filter_of)(taps, SC_FILTER_LUMA_TAPS, plane, plane, shape, blocks, out, stride);
  else
    NAME(filter_of)(taps, SC_FILTER_CHROMA_TAPS, plane, guide, shape, blocks, out, stride);
}

// |2 b − a − c|
#define SECOND(a, b, c) MAGNITUDE((b) + (b) - (a) - (c))

// Sums of four neighbours, none negative or beyond 16 bits.
INLINE void NAME(store_sums)(i16x16 v, uint16_t *out) {
  const i32x8 two = (i32x8)v;
  const u64x4 four = (u64x4)((two & 0xffff) + (two >> 16));
  for (int k = 0; k < 4; k++)
    out[k] = (uint16_t)(four[k] + (four[k] >> 32));
}

TARGET void NAME(sc_filter_activity)(const int16_t *const *rows, int32_t blocks, uint16_t *sums[4]) {
  for (int32_t b = 0; b < blocks; b += 4) {
    i16x16 sum[4] = {0};
    for (int32_t y = 1; y <= 3; y += 2) {
      const int16_t *above = rows[y - 1] + 4 * b, *row = rows[y] + 4 * b, *below = rows[y + 1] + 4 * b;
      const i16x16 middle = load(row);
      sum[0] += SECOND(load(row - 1), middle, load(row + 1));
      sum[1] += SECOND(load(above), middle, load(below));
      sum[2] += SECOND(load(above - 1), middle, load(below + 1));
      sum[3] += SECOND(load(above + 1), middle, load(below - 1));
    }
    for (int k = 0; k < 4; k++)
      NAME(store_sums)(sum[k], sums[k] + b);
  }
}

INLINE void NAME(measure_of)(int32_t count, const int16_t *const *plane, const int16_t *const *guide,
                             const uint8_t *shape, const uint8_t *skip, int32_t blocks,
                             const int16_t *const *error, sc_filter_sums_scratch *scratch, int64_t *sums) {
  for (int32_t first = 0; first < blocks; first += 4) {
    const int32_t end = first + 4 < blocks ? first + 4 : blocks;
    int32_t skipped = 1;
    for (int32_t b = first; b < end; b++)
      skipped &= skip[b] != 0;
    if (skipped)
      continue;
    // [pair][block][row][column]
    int16_t value[SC_FILTER_LUMA_TAPS + 1][4][16];
    for (int32_t y = 0; y < 4; y++) {
      i16x16 row[SC_FILTER_LUMA_TAPS + 1];
      pairs(count, plane, guide, y, 4 * first, row);
      row[count] = load(error[y] + 4 * first);
      for (int i = 0; i <= count; i++)
        for (int k = 0; k < 4; k++)
          memcpy(&value[i][k][4 * y], (const char *)&row[i] + 8 * k, 8);
    }
    for (int32_t b = first; b < end; b++) {
      if (skip[b])
        continue;
      const int32_t class = shape[b] / SC_FILTER_TRANSFORMS, transform = shape[b] % SC_FILTER_TRANSFORMS;
      i16x16 own[SC_FILTER_LUMA_TAPS + 1];
      for (int i = 0; i < count; i++)
        own[i] = load(value[sc_filter_pair(count, transform, i)][b - first]);
      own[count] = load(value[count][b - first]);
      int32_t(*lanes)[8] = scratch->lanes[class];
      for (int i = 0; i < count; i++)
        for (int j = i; j <= count; j++, lanes++) {
          i32x8 sum;
          memcpy(&sum, *lanes, sizeof sum);
          sum = DOT(sum, own[i], own[j]);
          memcpy(*lanes, &sum, sizeof sum);
        }
      if (++scratch->blocks[class] == SC_FILTER_FLUSH)
        sc_filter_flush_class(count, class, scratch, sums);
    }
  }
}

TARGET void NAME(sc_filter_measure)(int32_t count, const int16_t *const *plane, const int16_t *const *guide,
                                    const uint8_t *shape, const uint8_t *skip, int32_t blocks,
                                    const int16_t *const *error, void *scratch, int64_t *sums) {
  if (count == SC_FILTER_LUMA_TAPS)
    NAME(measure_of)(SC_FILTER_LUMA_TAPS, plane, plane, shape, skip, blocks, error, scratch, sums);
  else
    NAME(measure_of)(SC_FILTER_CHROMA_TAPS, plane, guide, shape, skip, blocks, error, scratch, sums);
}
