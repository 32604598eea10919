// SPDX-License-Identifier: BSD-3-Clause
#include <assert.h>
#include <string.h>

#include "motion_internal.h"

#define MARGIN SC_MOTION_MARGIN

// ---- Padded planes -------------------------------------------------------------------------------------------------

static ptrdiff_t padded_stride(int32_t width) {
  return ((ptrdiff_t)width + 2 * MARGIN + 63) & ~(ptrdiff_t)63;
}

size_t sc_motion_plane_size(int32_t width, int32_t height) {
  return (size_t)padded_stride(width) * ((size_t)height + 2 * MARGIN);
}

sc_motion_plane sc_motion_plane_make(void *memory, int32_t width, int32_t height) {
  const ptrdiff_t stride = padded_stride(width);
  return (sc_motion_plane){.samples = (uint8_t *)memory + MARGIN * stride + MARGIN,
                           .stride = stride,
                           .width = width,
                           .height = height};
}

void sc_motion_plane_pad_rows(const sc_motion_plane *p, int32_t first, int32_t end) {
  for (int32_t y = first; y < end; y++) {
    uint8_t *row = p->samples + y * p->stride;
    memset(row - MARGIN, row[0], MARGIN);
    memset(row + p->width, row[p->width - 1], MARGIN);
  }
}

void sc_motion_plane_pad_ends(const sc_motion_plane *p) {
  const uint8_t *top = p->samples - MARGIN, *bottom = top + (p->height - 1) * p->stride;
  const size_t bytes = (size_t)p->width + 2 * MARGIN;
  for (int32_t i = 1; i <= MARGIN; i++) {
    memcpy((uint8_t *)top - i * p->stride, top, bytes);
    memcpy((uint8_t *)bottom + i * p->stride, bottom, bytes);
  }
}

void sc_motion_plane_pad(const sc_motion_plane *p) {
  sc_motion_plane_pad_rows(p, 0, p->height);
  sc_motion_plane_pad_ends(p);
}

void sc_motion_plane_load(const sc_motion_plane *p, const uint8_t *samples, ptrdiff_t stride) {
  for (int32_t y = 0; y < p->height; y++)
    memcpy(p->samples + y * p->stride, samples + y * stride, (size_t)p->width);
  sc_motion_plane_pad(p);
}

size_t sc_motion_frame_size(int32_t width, int32_t height) {
  return sc_motion_plane_size(width, height) + 2 * sc_motion_plane_size((width + 1) / 2, (height + 1) / 2);
}

sc_motion_frame sc_motion_frame_make(void *memory, int32_t width, int32_t height) {
  const int32_t w = (width + 1) / 2, h = (height + 1) / 2;
  uint8_t *chroma = (uint8_t *)memory + sc_motion_plane_size(width, height);
  return (sc_motion_frame){.plane = {sc_motion_plane_make(memory, width, height),
                                     sc_motion_plane_make(chroma, w, h),
                                     sc_motion_plane_make(chroma + sc_motion_plane_size(w, h), w, h)}};
}

// ---- Compensation --------------------------------------------------------------------------------------------------

// Predicts `size` × `size` samples at x, y as far as they lie in the plane; of a second prediction, they become the mean of
// both.
SC_MOTION_INLINE void predict(sc_motion_luma_fn *filter, const sc_motion_plane *from,
                              const sc_motion_plane *to, int32_t x, int32_t y, int32_t size, sc_vector v,
                              int32_t fraction_bits, int is_second) {
  if (x >= to->width || y >= to->height)
    return;
  const int32_t mask = (1 << fraction_bits) - 1;
  const uint8_t *in = from->samples +
                      sc_motion_place(y + (v.y >> fraction_bits), size, from->height) * from->stride +
                      sc_motion_place(x + (v.x >> fraction_bits), size, from->width);
  uint8_t *out = to->samples + y * to->stride + x;
  if (!is_second && x + size <= to->width && y + size <= to->height) {
    filter(out, to->stride, in, from->stride, size, v.x & mask, v.y & mask);
    return;
  }
  uint8_t block[16 * 16];
  filter(block, 16, in, from->stride, size, v.x & mask, v.y & mask);
  const int32_t columns = to->width - x < size ? to->width - x : size;
  for (int32_t j = 0; j < size && y + j < to->height; j++) {
    uint8_t *restrict row = out + j * to->stride;
    if (is_second)
      for (int32_t i = 0; i < columns; i++)
        row[i] = (uint8_t)((row[i] + block[16 * j + i] + 1) >> 1);
    else
      memcpy(row, block + 16 * j, (size_t)columns);
  }
}

SC_MOTION_INLINE void compensate(const sc_motion_kernels *kernels, const sc_motion_frame *reference,
                                 const sc_motion_field *field, int32_t first, int32_t end,
                                 const sc_motion_frame *out, int is_second) {
  assert(field->blocks_x == sc_motion_blocks(out->plane[0].width));
  const ptrdiff_t cells_x = 2 * (ptrdiff_t)field->blocks_x;
  for (int32_t by = first; by < end; by++) {
    for (int32_t bx = 0; bx < field->blocks_x; bx++) {
      if (is_second && !sc_motion_is_coded(field, bx, by))
        continue;
      const sc_vector *v = field->vectors + 2 * by * cells_x + 2 * bx;
      const int whole = sc_vector_equal(v[0], v[1]) && sc_vector_equal(v[0], v[cells_x]) &&
                        sc_vector_equal(v[0], v[cells_x + 1]);
      const int32_t size = whole ? 16 : 8;
      for (int32_t j = 0; j < 16; j += size) {
        for (int32_t i = 0; i < 16; i += size) {
          const sc_vector cell = v[j / 8 * cells_x + i / 8];
          predict(kernels->luma, &reference->plane[0], &out->plane[0], 16 * bx + i, 16 * by + j, size, cell,
                  2, is_second);
          for (int32_t c = 1; c < 3; c++)
            predict(kernels->chroma, &reference->plane[c], &out->plane[c], 8 * bx + i / 2, 8 * by + j / 2,
                    size / 2, cell, 3, is_second);
        }
      }
    }
  }
}

void sc_motion_compensate(const sc_motion_kernels *kernels, const sc_motion_frame *reference,
                          const sc_motion_field *field, int32_t first, int32_t end,
                          const sc_motion_frame *out) {
  compensate(kernels, reference, field, first, end, out, 0);
}

void sc_motion_compensate_second(const sc_motion_kernels *kernels, const sc_motion_frame *reference,
                                 const sc_motion_field *field, int32_t first, int32_t end,
                                 const sc_motion_frame *out) {
  compensate(kernels, reference, field, first, end, out, 1);
}

void sc_motion_second_vectors(const sc_motion_field *field, const sc_vector *previous, sc_vector *out) {
  const ptrdiff_t cells = 4 * (ptrdiff_t)field->blocks_x * field->blocks_y;
  for (ptrdiff_t i = 0; i < cells; i++) {
    const int32_t x = field->vectors[i].x + previous[i].x, y = field->vectors[i].y + previous[i].y;
    out[i] = (sc_vector){(int16_t)sc_motion_clamp(x, -SC_VECTOR_LIMIT, SC_VECTOR_LIMIT),
                         (int16_t)sc_motion_clamp(y, -SC_VECTOR_LIMIT, SC_VECTOR_LIMIT)};
  }
}
