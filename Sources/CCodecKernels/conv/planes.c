// SPDX-License-Identifier: BSD-3-Clause
#include "sc_layout.h"

void sc_load_row(const sc_component *components, int32_t count, ptrdiff_t y, size_t width, int16_t *out,
                 size_t padded_width) {
  const size_t n = (size_t)count;
  if (count == 3 && components[0].step == 3 && components[1].base == components[0].base + 1 &&
      components[2].base == components[0].base + 2) {
    sc_samples_to_row(components[0].base + y * components[0].row_stride, 3, width, out, padded_width);
    return;
  }
  for (size_t c = 0; c < n; c++) {
    const uint8_t *in = components[c].base + y * components[c].row_stride;
    const size_t step = (size_t)components[c].step;
    if (count == 1 && step == 1)
      for (size_t x = 0; x < width; x++)
        out[x] = (int16_t)(2 * in[x] - 255);
    else
      for (size_t x = 0; x < width; x++)
        out[x * n + c] = (int16_t)(2 * in[x * step] - 255);
  }
  for (size_t i = n * width; i < n * padded_width; i++)
    out[i] = out[i - n];
}

static inline uint8_t sample(int16_t v, int32_t q) {
  const int32_t s = 128 + (v >> q);
  return (uint8_t)(s < 0 ? 0 : s > 255 ? 255 : s);
}

void sc_store_row(const int16_t *in, int32_t q, const sc_component *components, int32_t count, ptrdiff_t y,
                  size_t width) {
  const size_t n = (size_t)count;
  if (count == 3 && components[0].step == 3 && components[1].base == components[0].base + 1 &&
      components[2].base == components[0].base + 2) {
    sc_row_to_samples(in, q, components[0].base + y * components[0].row_stride, 3, width);
    return;
  }
  for (size_t c = 0; c < n; c++) {
    uint8_t *out = components[c].base + y * components[c].row_stride;
    const size_t step = (size_t)components[c].step;
    if (count == 1 && step == 1)
      for (size_t x = 0; x < width; x++)
        out[x] = sample(in[x], q);
    else
      for (size_t x = 0; x < width; x++)
        out[x * step] = sample(in[x * n + c], q);
  }
}
