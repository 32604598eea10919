// SPDX-License-Identifier: BSD-3-Clause
//
// The wavefront, eight samples at a time.
//
// Eight rows at a time, each two columns behind the one above it, each followed at once by the row eight rows below.
// Seen from line l in step t, the sample to the left is line l of step t − 1, the one above line l − 1 of step t − 2,
// top left and top right line l − 1 of steps t − 3 and t − 1, the one above the one above line l − 2 of step t − 4. Above
// line 0 is line 7 of one period and 16 steps before. So with the eight lines side by side in a vector, the sums of a
// step are six products of vectors. The vectors of the last steps stay in registers.
//
// The vectors are of the compiler's own: the same source serves every instruction set.
//
// What is outside of the plane is mended in the steps in which a line is at the start or the end of a row. A line that
// has no sample in a step "decodes" a symbol that takes no bits: every step is the same code, without branches.
#ifndef SC_WAVEFRONT_H
#define SC_WAVEFRONT_H

#include <string.h>

#include "contexts.h"
#include "rans_decoder.h"

// Vectors wider than the registers pass between inlined functions only: no ABI is concerned.
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

/// Rows in flight.
#define LINES 8

typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef int16_t i16x8 __attribute__((vector_size(16)));
typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));
typedef int32_t i32x8 __attribute__((vector_size(32)));

#define SHUFFLE __builtin_shufflevector
#if defined(__x86_64__)
// Makes the compiler insert an element at once. Otherwise it keeps all eight in memory until the last is known.
#define IN_REGISTER(vector) __asm__("" : "+x"(vector))
#else
#define IN_REGISTER(vector)
#endif

static SC_INLINE int32_t at_most(int32_t x, int32_t last) { return x < last ? x : last; }

static SC_INLINE u16x8 load(const uint16_t *p) {
  u16x8 v;
  memcpy(&v, p, sizeof v);
  return v;
}

static SC_INLINE void store(uint16_t *p, u16x8 v) { memcpy(p, &v, sizeof v); }

static SC_INLINE i32x4 load_i32(const int32_t *p) {
  i32x4 v;
  memcpy(&v, p, sizeof v);
  return v;
}

static SC_INLINE u16x8 splat(int32_t w) {
  const uint16_t v = (uint16_t)w;
  return (u16x8){v, v, v, v, v, v, v, v};
}

static SC_INLINE i32x8 widened(u16x8 v) { return __builtin_convertvector((i16x8)v, i32x8); }

static SC_INLINE u16x8 blend(u16x8 mask, u16x8 yes, u16x8 no) { return (yes & mask) | (no & ~mask); }

// Elements first … end − 1.
static SC_INLINE u16x8 elements(int32_t first, int32_t end) {
  const i16x8 l = {0, 1, 2, 3, 4, 5, 6, 7};
  return (u16x8)((l >= (i16x8)splat(first)) & (l < (i16x8)splat(end)));
}

static SC_INLINE void transpose(u16x8 r[8]) {
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

// Eight steps of arrays in the order of the wavefront.
static SC_INLINE void gather(u16x8 step[8], const uint16_t *from, size_t line) {
  for (size_t l = 0; l < LINES; l++)
    step[l] = load(from + l * line);
  transpose(step);
}

static SC_INLINE void scatter(uint16_t *to, size_t line, const u16x8 step[8]) {
  u16x8 r[8];
  memcpy(r, step, sizeof r);
  transpose(r);
  for (size_t l = 0; l < LINES; l++)
    store(to + l * line, r[l]);
}

static SC_INLINE void gather_i32(i32x8 step[8], const int32_t *from, size_t line) {
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
static SC_INLINE void advance(history *h, uint16_t *all, u16x8 m, size_t t, size_t period) {
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

static SC_INLINE void neighbours(const history *h, u16x8 n[SC_NEIGHBOURS]) {
  n[SC_LEFT] = h->m1;
  n[SC_LEFT_LEFT] = h->m2;
  n[SC_TOP_LEFT] = h->v3;
  n[SC_TOP] = h->v2;
  n[SC_TOP_RIGHT] = h->v1;
  n[SC_TOP_TOP] = h->w4;
}

// Line l alone; none for 8.
static SC_INLINE u16x8 alone(int32_t l) { return (u16x8){0, 1, 2, 3, 4, 5, 6, 7} == splat(l); }

// Lines whose sample is in one of these columns, as masks; t is the column of line 0, or what it would be.
typedef struct edges {
  u16x8 first, second, last;
} edges;

static SC_INLINE edges edges_at(int32_t width, int32_t period, int32_t t) {
  const int32_t line = at_most(t >> 1, LINES), last = t - (width - 1);
  const int32_t last_line = last < 0 ? last + period : last;
  return (edges){
      .first = alone(t & 1 ? LINES : line),
      .second = alone(t & 1 ? line : LINES),
      .last = alone(last_line & 1 ? LINES : at_most(last_line >> 1, LINES)),
  };
}

// Lines that have no sample.
static SC_INLINE u16x8 outside_at(const sc_plane *p, int32_t period, int32_t group, int32_t t) {
  // Lines before `begun` are in this group of rows, the others still in the one before.
  const int32_t begun = at_most(t / 2 + 1, LINES), before = t + period;
  const int32_t ended = t < p->width ? 0 : (t - p->width) / 2 + 1;
  const int32_t ended_before = before < p->width ? 0 : at_most((before - p->width) / 2 + 1, LINES);
  const int32_t rows = at_most(p->height - LINES * group, begun);
  const int32_t rows_before = group > 0 ? at_most(p->height - LINES * (group - 1), LINES) : 0;
  return ~(elements(ended, rows) | elements(begun > ended_before ? begun : ended_before, rows_before));
}

// To the left of a row stands the first sample of the row above it, to the right its last sample.
static SC_INLINE void mend(u16x8 n[SC_NEIGHBOURS], const edges *e) {
  n[SC_LEFT] = blend(e->first, n[SC_TOP], n[SC_LEFT]);
  n[SC_LEFT_LEFT] = blend(e->second, n[SC_TOP_LEFT], blend(e->first, n[SC_TOP], n[SC_LEFT_LEFT]));
  n[SC_TOP_LEFT] = blend(e->first, n[SC_TOP_TOP], n[SC_TOP_LEFT]);
  n[SC_TOP_RIGHT] = blend(e->last, n[SC_TOP], n[SC_TOP_RIGHT]);
}

#endif
