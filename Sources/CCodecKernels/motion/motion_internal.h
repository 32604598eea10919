// SPDX-License-Identifier: BSD-3-Clause
//
// What the files of motion/ share.
#ifndef SC_MOTION_INTERNAL_H
#define SC_MOTION_INTERNAL_H

#include <string.h>

#include "sc_motion.h"

#define SC_MOTION_INLINE static inline __attribute__((always_inline))

/// Luma taps of each quarter, 6 fractional bits.
extern const int8_t sc_motion_taps[4][8];
/// Chroma taps of each eighth, 6 fractional bits.
extern const int8_t sc_motion_chroma_taps[8][4];

sc_motion_luma_fn sc_motion_luma_c, sc_motion_luma_sse41, sc_motion_luma_avx2, sc_motion_luma_neon;
sc_motion_chroma_fn sc_motion_chroma_c, sc_motion_chroma_sse41, sc_motion_chroma_neon;
sc_motion_sad16_fn sc_motion_sad16_c, sc_motion_sad16_sse41, sc_motion_sad16_avx2, sc_motion_sad16_neon;
sc_motion_sad8_fn sc_motion_sad8_c, sc_motion_sad8_sse41, sc_motion_sad8_neon;
sc_motion_sad8_row_fn sc_motion_sad8_row_c, sc_motion_sad8_row_sse41, sc_motion_sad8_row_neon;
sc_motion_squares_fn sc_motion_squares_c, sc_motion_squares_sse41, sc_motion_squares_avx2,
    sc_motion_squares_neon;

SC_MOTION_INLINE int32_t sc_motion_clamp(int32_t v, int32_t lo, int32_t hi) {
  return v < lo ? lo : v > hi ? hi : v;
}

/// The place of a block of `size` samples in a padded plane of `length` samples: one that sees the same samples, where
/// all that it sees lies in the continuation of the border. Filters see 3 samples before and 4 behind.
SC_MOTION_INLINE int32_t sc_motion_place(int32_t at, int32_t size, int32_t length) {
  return sc_motion_clamp(at, -(size + 8), length + 8);
}

/// What a block at a whole place is predicted by.
SC_MOTION_INLINE void sc_motion_copy(uint8_t *out, ptrdiff_t out_stride, const uint8_t *in,
                                     ptrdiff_t in_stride, int32_t size) {
  for (int32_t j = 0; j < size; j++)
    memcpy(out + j * out_stride, in + j * in_stride, (size_t)size);
}

SC_MOTION_INLINE int sc_vector_equal(sc_vector a, sc_vector b) { return a.x == b.x && a.y == b.y; }

SC_MOTION_INLINE int sc_motion_is_coded(const sc_motion_field *field, int32_t bx, int32_t by) {
  return !field->coded || field->coded[(ptrdiff_t)by * field->blocks_x + bx];
}

/// About the bits of a frame's flags of second vectors, in 1/256.
uint64_t sc_motion_flag_bits(const sc_motion_search *search, const sc_motion_field *field);

/// What a block or cell is predicted from.
typedef struct sc_motion_context {
  sc_vector candidate[SC_MOTION_CANDIDATES]; ///< the first is the prediction
  int32_t count;
  int32_t mode_table;
  int32_t x_table, y_table; ///< of differences; that of y for x = 0
} sc_motion_context;

sc_motion_context sc_motion_block_context(const sc_motion_field *field, const sc_vector *previous, int32_t bx,
                                          int32_t by);
/// Of cell 0…3 of a block, the ones before it are set.
sc_motion_context sc_motion_cell_context(const sc_motion_field *field, const sc_vector *previous, int32_t bx,
                                         int32_t by, int32_t cell);

SC_MOTION_INLINE int32_t sc_motion_magnitude(int32_t d) { return d < 0 ? -d : d; }

/// The symbol of a magnitude, and the bits of it that follow.
SC_MOTION_INLINE int32_t sc_motion_class(int32_t magnitude, int32_t *bits) {
  if (magnitude < 16) {
    *bits = 0;
    return magnitude;
  }
  const int32_t e = 31 - __builtin_clz((uint32_t)magnitude);
  *bits = e - 1;
  return 16 + 2 * (e - 4) + (magnitude >> (e - 1) & 1);
}

/// Context of y by the magnitude of x.
SC_MOTION_INLINE int32_t sc_motion_y_context(int32_t x) {
  const int32_t m = sc_motion_magnitude(x);
  return (m > 0) + (m > 3) + (m > 15);
}

#endif
