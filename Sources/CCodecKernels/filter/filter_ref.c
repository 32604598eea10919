// SPDX-License-Identifier: BSD-3-Clause
//
// The specification.
#include "filter_internal.h"

const uint8_t sc_filter_wide_order[SC_FILTER_TRANSFORMS][12] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
    {0, 1, 2, 7, 6, 5, 4, 3, 10, 9, 8, 11},
    {5, 9, 11, 8, 4, 0, 6, 10, 3, 1, 7, 2},
    {5, 9, 11, 10, 6, 0, 4, 8, 7, 1, 3, 2},
};
const uint8_t sc_filter_narrow_order[SC_FILTER_TRANSFORMS][6] = {
    {0, 1, 2, 3, 4, 5},
    {0, 1, 4, 3, 2, 5},
    {3, 5, 2, 0, 4, 1},
    {3, 5, 4, 0, 2, 1},
};

int sc_filter_is_valid(const int8_t *taps, int32_t count) {
  const int32_t own = count - SC_FILTER_GUIDE_TAPS;
  const int32_t guide_clip = count == SC_FILTER_LUMA_TAPS ? SC_FILTER_GUIDE_CLIP : SC_FILTER_CLIP;
  int32_t sum = 0;
  for (int32_t i = 0; i < count; i++) {
    const int32_t magnitude = taps[i] < 0 ? -taps[i] : taps[i];
    if (magnitude > SC_FILTER_TAP)
      return 0;
    sum += 2 * magnitude * (i < own ? SC_FILTER_CLIP : guide_clip);
  }
  return sum <= SC_FILTER_SUM;
}

void sc_filter_prepare(const int8_t *taps, int32_t count, sc_filter_taps *out) {
  memset(out, 0, sizeof *out);
  for (int32_t class = 0; class < SC_FILTER_CLASSES; class ++)
    for (int32_t transform = 0; transform < SC_FILTER_TRANSFORMS; transform++)
      for (int32_t i = 0; i < count; i++)
        for (int32_t k = 0; k < 4; k++) {
          out->is_used[SC_FILTER_TRANSFORMS * class + transform] |= taps[class * count + i] != 0;
          out->tap[SC_FILTER_TRANSFORMS * class + transform][sc_filter_pair(count, transform, i)][k] =
              taps[class * count + i];
        }
}

static int32_t pair(const int16_t *const *rows, int32_t y, int32_t x, sc_filter_place at, int32_t clip) {
  const int32_t middle = rows[y][x];
  return sc_clamp(rows[y + at.y][x + at.x] - middle, -clip, clip) +
         sc_clamp(rows[y - at.y][x - at.x] - middle, -clip, clip);
}

/// Pair i of the filter at row y = 0…3 of a row of blocks.
static int32_t pair_of(int32_t count, const int16_t *const *plane, const int16_t *const *guide, int32_t y,
                       int32_t x, int32_t i) {
  const int32_t own = count - SC_FILTER_GUIDE_TAPS;
  if (i < own)
    return pair(plane, y + 3, x, own == 12 ? sc_filter_wide[i] : sc_filter_narrow[i], SC_FILTER_CLIP);
  return pair(guide, y + 3, x, sc_filter_narrow[i - own], own == 12 ? SC_FILTER_GUIDE_CLIP : SC_FILTER_CLIP);
}

void sc_filter_c(const sc_filter_taps *taps, int32_t count, const int16_t *const *plane,
                 const int16_t *const *guide, const uint8_t *shape, int32_t blocks, int16_t *out,
                 ptrdiff_t stride) {
  for (int32_t y = 0; y < 4; y++)
    for (int32_t x = 0; x < 4 * sc_round_up(blocks, 4); x++) {
      int32_t sum = 1 << (SC_FILTER_BITS - 1);
      for (int32_t i = 0; i < count; i++)
        sum += taps->tap[shape[x / 4]][i][0] * pair_of(count, plane, guide, y, x, i);
      out[y * stride + x] = (int16_t)(sum >> SC_FILTER_BITS);
    }
}

static int32_t second_difference(int32_t a, int32_t b, int32_t c) {
  const int32_t d = 2 * b - a - c;
  return d < 0 ? -d : d;
}

void sc_filter_activity_c(const int16_t *const *rows, int32_t blocks, uint16_t *sums[4]) {
  for (int32_t b = 0; b < sc_round_up(blocks, 4); b++) {
    int32_t sum[4] = {0};
    for (int32_t y = 1; y <= 3; y += 2)
      for (int32_t x = 4 * b; x < 4 * b + 4; x++) {
        const int32_t middle = rows[y][x];
        sum[0] += second_difference(rows[y][x - 1], middle, rows[y][x + 1]);
        sum[1] += second_difference(rows[y - 1][x], middle, rows[y + 1][x]);
        sum[2] += second_difference(rows[y - 1][x - 1], middle, rows[y + 1][x + 1]);
        sum[3] += second_difference(rows[y - 1][x + 1], middle, rows[y + 1][x - 1]);
      }
    for (int32_t k = 0; k < 4; k++)
      sums[k][b] = (uint16_t)sum[k];
  }
}

void sc_filter_measure_c(int32_t count, const int16_t *const *plane, const int16_t *const *guide,
                         const uint8_t *shape, const uint8_t *skip, int32_t blocks,
                         const int16_t *const *error, void *scratch, int64_t *sums) {
  (void)scratch;
  for (int32_t b = 0; b < blocks; b++) {
    if (skip[b])
      continue;
    const int32_t class = shape[b] / SC_FILTER_TRANSFORMS, transform = shape[b] % SC_FILTER_TRANSFORMS;
    for (int32_t y = 0; y < 4; y++)
      for (int32_t x = 4 * b; x < 4 * b + 4; x++) {
        int32_t value[SC_FILTER_LUMA_TAPS + 1];
        for (int32_t i = 0; i < count; i++)
          value[i] = pair_of(count, plane, guide, y, x, sc_filter_pair(count, transform, i));
        value[count] = error[y][x];
        int64_t *sum = sums + class * SC_FILTER_SUMS(count);
        for (int32_t i = 0; i < count; i++)
          for (int32_t j = i; j <= count; j++)
            *sum++ += (int64_t)value[i] * value[j];
      }
  }
}

size_t sc_filter_scratch(void) { return sizeof(sc_filter_sums_scratch); }

void sc_filter_flush_class(int32_t count, int32_t class, sc_filter_sums_scratch *scratch, int64_t *sums) {
  for (int32_t i = 0; i < SC_FILTER_SUMS(count); i++)
    for (int32_t k = 0; k < 8; k++)
      sums[class * SC_FILTER_SUMS(count) + i] += scratch->lanes[class][i][k];
  memset(scratch->lanes[class], 0, sizeof scratch->lanes[class]);
  scratch->blocks[class] = 0;
}

void sc_filter_flush(int32_t count, void *scratch, int64_t *sums) {
  for (int32_t class = 0; class < SC_FILTER_CLASSES; class ++)
    sc_filter_flush_class(count, class, scratch, sums);
}
