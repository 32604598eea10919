// SPDX-License-Identifier: BSD-3-Clause
//
// The rule for contexts (model.md §8): which samples a sample sees, what stands outside of a plane, and what follows
// from them. Everything in C that codes a sample or prices it asks here; plane_vectors.h, which does the same for eight
// samples at once, is compared with plane_ref.c, which asks here.
#ifndef SC_CONTEXTS_H
#define SC_CONTEXTS_H

#include "sc_entropy.h"

/// Neighbours in the same channel, coded before: the order of all arrays of six weights.
enum { SC_LEFT, SC_LEFT_LEFT, SC_TOP_LEFT, SC_TOP, SC_TOP_RIGHT, SC_TOP_TOP, SC_NEIGHBOURS };

/// The place (row · width + column) that stands at row y and column x of a plane, as neighbours in the same channel are
/// seen; −1 for a 0. The row above the first is the first moved to the right by two columns, the one above that moved by
/// four; to the left of a row stands the first sample of the row above it, to its right its last.
static inline ptrdiff_t sc_causal_place(int32_t y, int32_t x, int32_t width) {
  if (y >= 0 && x < 0) {
    y--;
    x = 0;
    if (y < 0)
      return -1;
  }
  if (y < 0) {
    x += 2 * y;
    y = 0;
    if (x < 0)
      return -1;
  }
  return (ptrdiff_t)y * width + (x < width ? x : width - 1);
}

/// The k-th neighbour in the same channel of the sample at row y and column x: a place, or −1 for a 0.
static inline ptrdiff_t sc_neighbour_place(int k, int32_t y, int32_t x, int32_t width) {
  static const int8_t row[SC_NEIGHBOURS] = {0, 0, -1, -1, -1, -2},
                      column[SC_NEIGHBOURS] = {-1, -2, -1, 0, 1, 0};
  return sc_causal_place(y + row[k], x + column[k], width);
}

/// How contexts of others see a sample: by `low` and `high`, or by the table of |residual|.
static inline uint8_t sc_magnitude_of(int32_t kind, int32_t low, int32_t high, const uint8_t *table,
                                      int32_t residual) {
  if (kind == SC_MAGNITUDE_THRESHOLD)
    return residual < low || residual >= high;
  const int32_t a = residual < 0 ? -residual : residual;
  return table[a < 63 ? a : 63];
}

/// Index into level_of for a sum of weighted magnitudes.
static inline int32_t sc_level_sum(int32_t sum, int32_t shift) {
  const int32_t s = sum >> shift;
  return s < SC_LEVEL_SUMS - 1 ? s : SC_LEVEL_SUMS - 1;
}

/// The predicted mean, from a sum of weighted values that includes 2^(shift − 1).
static inline int32_t sc_mean_of(int32_t sum, int32_t shift) { return sum >> shift; }

/// The phase: the mean's first `bits` binary digits after the point.
static inline int32_t sc_phase_of(int32_t sum, int32_t shift, int32_t bits) {
  return sum >> (shift - bits) & ((1 << bits) - 1);
}

/// Bits of an escape's length.
#define SC_ESCAPE_LENGTH_BITS 5
/// Most bits of an escape's group.
#define SC_ESCAPE_GROUP_BITS SC_RANS_BITS

/// What follows an escape, for a residual that is `index` above a CDF's minimum, whose escape is symbol `escape`: below
/// the CDF 1, 3, …; above it 0, 2, …
static inline uint32_t sc_escape_rest(int32_t index, int32_t escape) {
  return index < 0 ? (uint32_t)(2 * (-1 - index) + 1) : (uint32_t)(2 * (index - escape));
}

/// The residual, less the minimum, that an escape's rest stands for.
static inline int32_t sc_escape_index(uint32_t rest, int32_t escape) {
  const int32_t half = (int32_t)(rest >> 1);
  return rest & 1 ? -1 - half : escape + half;
}

/// Binary digits of an escape's rest, at most 17 of a residual in int16. The leading one is not coded.
static inline int sc_escape_length(uint32_t rest) { return rest ? 32 - __builtin_clz(rest) : 0; }

// ---- Padded planes -------------------------------------------------------------------------------------------------

static inline ptrdiff_t sc_padded_stride(int32_t width) { return (ptrdiff_t)width + 2 * SC_MAGNITUDE_MARGIN; }

static inline ptrdiff_t sc_padded_at(int32_t width, int32_t y, int32_t x) {
  return (y + SC_MAGNITUDE_MARGIN) * sc_padded_stride(width) + SC_MAGNITUDE_MARGIN + x;
}

#endif
