// SPDX-License-Identifier: BSD-3-Clause
#include "sc_layout.h"

#include <string.h>

static inline int32_t clamp(int32_t v, int32_t lo, int32_t hi) { return v < lo ? lo : v > hi ? hi : v; }

void sc_copy_channels(const int16_t *in, ptrdiff_t in_step, int16_t *out, ptrdiff_t out_step,
                      int32_t channels, size_t pixels, int32_t shift, int32_t lo, int32_t hi) {
  const int32_t half = shift ? 1 << (shift - 1) : 0;
  for (size_t x = 0; x < pixels; x++, in += in_step, out += out_step)
    for (int32_t c = 0; c < channels; c++)
      out[c] = (int16_t)clamp((in[c] + half) >> shift, lo, hi);
}

void sc_pixel_shuffle(const int16_t *in, int16_t *out, int32_t channels, int32_t factor, int32_t i,
                      size_t pixels) {
  const int32_t square = factor * factor;
  for (size_t x = 0; x < pixels; x++, in += channels * square)
    for (int32_t j = 0; j < factor; j++, out += channels)
      for (int32_t c = 0; c < channels; c++)
        out[c] = in[c * square + i * factor + j];
}

void sc_pixel_unshuffle(const int16_t *in, int16_t *out, int32_t channels, int32_t factor, int32_t i,
                        size_t pixels) {
  const int32_t square = factor * factor;
  for (size_t x = 0; x < pixels; x++, out += channels * square)
    for (int32_t j = 0; j < factor; j++, in += channels)
      for (int32_t c = 0; c < channels; c++)
        out[c * square + i * factor + j] = in[c];
}

void sc_samples_to_row(const uint8_t *in, int32_t channels, size_t width, int16_t *out, size_t padded_width) {
  if (channels == 3) {
    for (size_t i = 0; i < 3 * width; i++)
      out[i] = (int16_t)(2 * in[i] - 255);
  } else {
    for (size_t x = 0; x < width; x++)
      out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = (int16_t)(2 * in[x] - 255);
  }
  for (size_t i = 3 * width; i < 3 * padded_width; i++)
    out[i] = out[i - 3];
}

void sc_row_to_samples(const int16_t *in, int32_t q, uint8_t *out, int32_t channels, size_t width) {
  if (channels == 3) {
    for (size_t i = 0; i < 3 * width; i++)
      out[i] = (uint8_t)clamp(128 + (in[i] >> q), 0, 255);
  } else {
    for (size_t x = 0; x < width; x++) {
      const int32_t r = clamp(128 + (in[3 * x] >> q), 0, 255), g = clamp(128 + (in[3 * x + 1] >> q), 0, 255),
                    b = clamp(128 + (in[3 * x + 2] >> q), 0, 255);
      out[x] = (uint8_t)((77 * r + 150 * g + 29 * b + 128) >> 8);
    }
  }
}

// Blocks of 16 by 16, so that one of the two sides stays in the first-level cache whatever the strides are.
#define BLOCK 16

void sc_planes_to_row(const int16_t *planes, size_t plane_size, int16_t *out, int32_t channels,
                      size_t width) {
  for (int32_t c0 = 0; c0 < channels; c0 += BLOCK) {
    const int32_t c1 = c0 + BLOCK < channels ? c0 + BLOCK : channels;
    for (size_t x = 0; x < width; x++)
      for (int32_t c = c0; c < c1; c++)
        out[x * (size_t)channels + (size_t)c] = planes[(size_t)c * plane_size + x];
  }
}

void sc_row_to_planes(const int16_t *in, int16_t *planes, size_t plane_size, int32_t channels, size_t width) {
  for (int32_t c0 = 0; c0 < channels; c0 += BLOCK) {
    const int32_t c1 = c0 + BLOCK < channels ? c0 + BLOCK : channels;
    for (size_t x = 0; x < width; x++)
      for (int32_t c = c0; c < c1; c++)
        planes[(size_t)c * plane_size + x] = in[x * (size_t)channels + (size_t)c];
  }
}

void sc_row_to_parameters(const int16_t *in, int16_t *means, uint8_t *scales, size_t plane_size,
                          int32_t channels, size_t width) {
  for (int32_t c0 = 0; c0 < channels; c0 += BLOCK) {
    const int32_t c1 = c0 + BLOCK < channels ? c0 + BLOCK : channels;
    for (size_t x = 0; x < width; x++) {
      const int16_t *p = in + 2 * x * (size_t)channels;
      for (int32_t c = c0; c < c1; c++) {
        means[(size_t)c * plane_size + x] = p[c];
        scales[(size_t)c * plane_size + x] = (uint8_t)clamp(p[channels + c], 0, 255);
      }
    }
  }
}

void sc_quantise(const int16_t *y, const int16_t *means, int16_t *v, size_t count, int32_t q) {
  const int32_t half = q ? 1 << (q - 1) : 0;
  for (size_t i = 0; i < count; i++)
    v[i] = (int16_t)clamp((y[i] - means[i] + half) >> q, -32768, 32767);
}

void sc_dequantise(const int16_t *v, const int16_t *means, int16_t *y, size_t count, int32_t q) {
  for (size_t i = 0; i < count; i++)
    y[i] = (int16_t)clamp(v[i] * (1 << q) + means[i], -32768, 32767);
}
