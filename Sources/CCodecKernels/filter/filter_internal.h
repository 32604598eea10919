// SPDX-License-Identifier: BSD-3-Clause
//
// What the files of filter/ share.
#ifndef SC_FILTER_INTERNAL_H
#define SC_FILTER_INTERNAL_H

#include <string.h>

#include "sc_filter.h"
#include "sc_internal.h"

#define SC_FILTER_INLINE static inline __attribute__((always_inline))

sc_filter_fn sc_filter_c, sc_filter_sse41, sc_filter_avx2, sc_filter_neon, sc_filter_wasm128;
sc_filter_activity_fn sc_filter_activity_c, sc_filter_activity_sse41, sc_filter_activity_avx2,
    sc_filter_activity_neon, sc_filter_activity_wasm128;
sc_filter_measure_fn sc_filter_measure_c, sc_filter_measure_sse41, sc_filter_measure_avx2,
    sc_filter_measure_neon, sc_filter_measure_wasm128;

/// Of a pair, its sample that comes later: a 7×7 diamond for luma, a 5×5 one otherwise and for guides.
typedef struct sc_filter_place {
  int8_t y, x;
} sc_filter_place;
static const sc_filter_place sc_filter_wide[12] = {{0, 1}, {0, 2}, {0, 3},  {1, -2}, {1, -1}, {1, 0},
                                                   {1, 1}, {1, 2}, {2, -1}, {2, 0},  {2, 1},  {3, 0}};
static const sc_filter_place sc_filter_narrow[6] = {{0, 1}, {0, 2}, {1, -1}, {1, 0}, {1, 1}, {2, 0}};

/// Which pair a tap stands for under a transform: tap i of the list of `count` places is that of place order[i].
extern const uint8_t sc_filter_wide_order[SC_FILTER_TRANSFORMS][12];
extern const uint8_t sc_filter_narrow_order[SC_FILTER_TRANSFORMS][6];

/// The pair of a tap under a transform, among all `count` of a filter.
SC_FILTER_INLINE int32_t sc_filter_pair(int32_t count, int32_t transform, int32_t tap) {
  const int32_t own = count - SC_FILTER_GUIDE_TAPS;
  if (tap >= own)
    return own + sc_filter_narrow_order[transform][tap - own];
  return own == 12 ? sc_filter_wide_order[transform][tap] : sc_filter_narrow_order[transform][tap];
}

/// Sums of 32 bits that are flushed before they can overflow: eight a number.
typedef struct sc_filter_sums_scratch {
  int32_t lanes[SC_FILTER_CLASSES][SC_FILTER_SUMS(SC_FILTER_LUMA_TAPS)][8];
  int32_t blocks[SC_FILTER_CLASSES];
} sc_filter_sums_scratch;
/// A block adds two products to each lane, 128 · 1020 at most each.
#define SC_FILTER_FLUSH 4096

void sc_filter_flush_class(int32_t count, int32_t class, sc_filter_sums_scratch *scratch, int64_t *sums);

#endif
