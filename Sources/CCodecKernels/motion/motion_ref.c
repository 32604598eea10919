// SPDX-License-Identifier: BSD-3-Clause
//
// The specification of compensation and of each kernel, in plain C.
#include "motion_internal.h"

const int8_t sc_motion_taps[4][8] = {
    {0, 0, 0, 64, 0, 0, 0, 0},
    {-1, 4, -10, 58, 17, -5, 1, 0},
    {-1, 4, -11, 40, 40, -11, 4, -1},
    {0, 1, -5, 17, 58, -10, 4, -1},
};
const int8_t sc_motion_chroma_taps[8][4] = {
    {0, 64, 0, 0},    {-2, 58, 10, -2}, {-4, 54, 16, -2}, {-6, 46, 28, -4},
    {-4, 36, 36, -4}, {-4, 28, 46, -6}, {-2, 16, 54, -4}, {-2, 10, 58, -2},
};

// ---- Compensation --------------------------------------------------------------------------------------------------

static int32_t sample(const sc_motion_plane *p, int32_t x, int32_t y) {
  return p->samples[sc_motion_clamp(y, 0, p->height - 1) * p->stride + sc_motion_clamp(x, 0, p->width - 1)];
}

// At a whole place, with as many taps each way.
static uint8_t filtered(const sc_motion_plane *p, int32_t x, int32_t y, const int8_t *horizontal,
                        const int8_t *vertical, int32_t taps) {
  const int32_t before = taps / 2 - 1;
  int32_t sum = 0;
  for (int32_t j = 0; j < taps; j++) {
    int32_t row = 0;
    for (int32_t i = 0; i < taps; i++)
      row += horizontal[i] * sample(p, x + i - before, y + j - before);
    sum += vertical[j] * row;
  }
  return (uint8_t)sc_motion_clamp((sum + 2048) >> 12, 0, 255);
}

static uint8_t luma(const sc_motion_plane *p, int32_t x, int32_t y, sc_vector v) {
  return filtered(p, x + (v.x >> 2), y + (v.y >> 2), sc_motion_taps[v.x & 3], sc_motion_taps[v.y & 3], 8);
}

static uint8_t chroma(const sc_motion_plane *p, int32_t x, int32_t y, sc_vector v) {
  return filtered(p, x + (v.x >> 3), y + (v.y >> 3), sc_motion_chroma_taps[v.x & 7],
                  sc_motion_chroma_taps[v.y & 7], 4);
}

void sc_motion_compensate_c(const sc_motion_frame *reference, const sc_motion_field *field,
                            const sc_motion_frame *out) {
  for (int32_t i = 0; i < 3; i++) {
    const sc_motion_plane *from = &reference->plane[i], *to = &out->plane[i];
    const int32_t cell = i ? 4 : 8;
    for (int32_t y = 0; y < to->height; y++) {
      for (int32_t x = 0; x < to->width; x++) {
        const sc_vector v = field->vectors[(ptrdiff_t)(y / cell) * 2 * field->blocks_x + x / cell];
        to->samples[y * to->stride + x] = i ? chroma(from, x, y, v) : luma(from, x, y, v);
      }
    }
  }
}

// ---- Kernels -------------------------------------------------------------------------------------------------------

static void filter_block(uint8_t *out, ptrdiff_t out_stride, const uint8_t *in, ptrdiff_t in_stride,
                         int32_t size, const int8_t *horizontal, const int8_t *vertical, int32_t taps) {
  const int32_t before = taps / 2 - 1;
  int16_t rows[23][16];
  for (int32_t j = 0; j < size + taps - 1; j++) {
    for (int32_t i = 0; i < size; i++) {
      int32_t sum = 0;
      for (int32_t k = 0; k < taps; k++)
        sum += horizontal[k] * in[(j - before) * in_stride + i + k - before];
      rows[j][i] = (int16_t)sum;
    }
  }
  for (int32_t j = 0; j < size; j++) {
    for (int32_t i = 0; i < size; i++) {
      int32_t sum = 0;
      for (int32_t k = 0; k < taps; k++)
        sum += vertical[k] * rows[j + k][i];
      out[j * out_stride + i] = (uint8_t)sc_motion_clamp((sum + 2048) >> 12, 0, 255);
    }
  }
}

void sc_motion_luma_c(uint8_t *out, ptrdiff_t out_stride, const uint8_t *in, ptrdiff_t in_stride,
                      int32_t size, int32_t fx, int32_t fy) {
  filter_block(out, out_stride, in, in_stride, size, sc_motion_taps[fx], sc_motion_taps[fy], 8);
}

void sc_motion_chroma_c(uint8_t *out, ptrdiff_t out_stride, const uint8_t *in, ptrdiff_t in_stride,
                        int32_t size, int32_t fx, int32_t fy) {
  filter_block(out, out_stride, in, in_stride, size, sc_motion_chroma_taps[fx], sc_motion_chroma_taps[fy], 4);
}

uint32_t sc_motion_sad8_c(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride) {
  uint32_t sum = 0;
  for (int32_t j = 0; j < 8; j++)
    for (int32_t i = 0; i < 8; i++)
      sum += (uint32_t)sc_motion_magnitude(a[j * a_stride + i] - b[j * b_stride + i]);
  return sum;
}

void sc_motion_sad16_c(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride,
                       uint32_t sums[4]) {
  for (int32_t q = 0; q < 4; q++)
    sums[q] = sc_motion_sad8_c(a + (q >> 1) * 8 * a_stride + (q & 1) * 8, a_stride,
                               b + (q >> 1) * 8 * b_stride + (q & 1) * 8, b_stride);
}

void sc_motion_sad8_row_c(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride,
                          uint16_t sums[8]) {
  for (int32_t i = 0; i < 8; i++)
    sums[i] = (uint16_t)sc_motion_sad8_c(a, a_stride, b + i, b_stride);
}

uint32_t sc_motion_squares_c(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride,
                             int32_t size) {
  uint32_t sum = 0;
  for (int32_t j = 0; j < size; j++) {
    for (int32_t i = 0; i < size; i++) {
      const int32_t d = a[j * a_stride + i] - b[j * b_stride + i];
      sum += (uint32_t)(d * d);
    }
  }
  return sum;
}
