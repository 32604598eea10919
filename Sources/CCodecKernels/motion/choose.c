// SPDX-License-Identifier: BSD-3-Clause
//
// What an encoder asks of a frame and its prediction.
#include "motion_internal.h"

void sc_motion_scene(const sc_component *luma, const sc_motion_plane *predicted, int32_t first, int32_t end,
                     uint64_t sums[2]) {
  uint64_t inter = 0, intra = 0;
  for (int32_t y = first + (first & 1); y < end; y += 2) {
    if (y == 0)
      continue;
    const uint8_t *row = luma->base + y * luma->row_stride, *above = row - 2 * luma->row_stride;
    const uint8_t *other = predicted->samples + y * predicted->stride;
    uint32_t a = 0, b = 0; // of a row: below 2^24
    for (int32_t x = 0; x < predicted->width; x += 2) {
      const int32_t v = row[x * luma->step];
      a += (uint32_t)sc_motion_magnitude(v - other[x]);
      b += (uint32_t)sc_motion_magnitude(v - above[x * luma->step]);
    }
    inter += a;
    intra += b;
  }
  sums[0] = inter;
  sums[1] = intra;
}

// Adds a plane's part. The gain of a block is below 2^8 · 2^16.
SC_MOTION_INLINE void add_gain(const sc_component *frame, ptrdiff_t step, const sc_motion_plane *predicted,
                               const sc_motion_plane *decoded, int32_t size, int32_t row, int32_t weight,
                               int64_t *gains) {
  const int32_t end = size * (row + 1) < decoded->height ? size * (row + 1) : decoded->height;
  for (int32_t first = 0, i = 0; first < decoded->width; first += size, i++) {
    const int32_t count = decoded->width - first < size ? decoded->width - first : size;
    int32_t sum = 0;
    for (int32_t y = size * row; y < end; y++) {
      const uint8_t *restrict f = frame->base + y * frame->row_stride + first * step;
      const uint8_t *restrict p = predicted->samples + y * predicted->stride + first;
      const uint8_t *restrict d = decoded->samples + y * decoded->stride + first;
      for (int32_t x = 0; x < count; x++) {
        const int32_t a = f[x * step] - p[x], b = f[x * step] - d[x];
        sum += b * b - a * a;
      }
    }
    gains[i] += (int64_t)weight * sum;
  }
}

void sc_motion_skip_gain(const sc_component frame[3], const sc_motion_frame *predicted,
                         const sc_motion_frame *decoded, int32_t row, int64_t *gains) {
  for (int32_t i = 0; i < sc_motion_blocks(decoded->plane[0].width); i++)
    gains[i] = 0;
  for (int32_t c = 0; c < 3; c++) {
    const sc_motion_plane *p = &predicted->plane[c], *d = &decoded->plane[c];
    const int32_t size = c == 0 ? 16 : 8, weight = c == 0 ? SC_LUMA_WEIGHT : SC_CHROMA_WEIGHT;
    if (frame[c].step == 1)
      add_gain(&frame[c], 1, p, d, size, row, weight, gains);
    else
      add_gain(&frame[c], frame[c].step, p, d, size, row, weight, gains);
  }
}
