// SPDX-License-Identifier: BSD-3-Clause
#include "sc_rdoq.h"

// What a decoder of a grey picture makes of a network's R, G and B (docs/format/bitstream.md), in 1/256.
static const int32_t luma[3] = {77, 150, 29};

static inline int32_t sample_of(int16_t v, int32_t q) { return 128 + (v >> q); }
static inline int32_t clamp255(int32_t v) { return v < 0 ? 0 : v > 255 ? 255 : v; }
static inline int16_t limit(int32_t v) {
  return (int16_t)(v < -SC_GRADIENT_LIMIT  ? -SC_GRADIENT_LIMIT
                   : v > SC_GRADIENT_LIMIT ? SC_GRADIENT_LIMIT
                                           : v);
}

void sc_plane_error_row(const int16_t *in, int32_t q, const sc_plane_error *plane, ptrdiff_t y,
                        uint64_t *cells, int16_t *out, int32_t scale) {
  const size_t channels = (size_t)plane->channels, width = plane->width;
  const int is_mixed = plane->count == 1 && channels == 3;
  const int32_t one = plane->weight * (1 << scale);
  const uint8_t *source[3];
  for (int32_t c = 0; c < plane->count; c++)
    source[c] = plane->components[c].base + y * plane->components[c].row_stride;
  const ptrdiff_t step = plane->components[0].step;
  for (size_t i = 0, first = 0, last; first < width; i++, first = last) {
    // Columns x with x * divisor / cell == i.
    last = ((i + 1) * plane->cell + plane->divisor - 1) / plane->divisor;
    if (last > width)
      last = width;
    uint64_t sum = 0;
    for (size_t x = first; x < last; x++) {
      const ptrdiff_t at = (ptrdiff_t)x * step;
      if (is_mixed) {
        int32_t s[3], grey = 128;
        for (size_t c = 0; c < 3; c++) {
          s[c] = sample_of(in[3 * x + c], q);
          grey += luma[c] * clamp255(s[c]);
        }
        const int32_t e = (grey >> 8) - source[0][at];
        sum += (uint64_t)(e * e);
        for (size_t c = 0; out && c < 3; c++)
          out[3 * x + c] = s[c] == clamp255(s[c]) ? limit((e * luma[c] * one + 128) >> 8) : 0;
        continue;
      }
      for (size_t c = 0; c < channels; c++) {
        const int32_t s = sample_of(in[channels * x + c], q), e = clamp255(s) - source[c][at];
        sum += (uint64_t)(e * e);
        if (out)
          out[channels * x + c] = s == clamp255(s) ? limit(e * one) : 0;
      }
    }
    cells[i] += sum * (uint64_t)plane->weight;
  }
}

static inline uint64_t mix(uint64_t h) {
  h ^= h >> 31;
  h *= UINT64_C(0x9E3779B97F4A7C15);
  h ^= h >> 29;
  h *= UINT64_C(0xBF58476D1CE4E5B9);
  return h ^ h >> 32;
}

void sc_plane_probe_row(const int16_t *in, int32_t q, const sc_plane_error *plane, int16_t *out,
                        int32_t scale, uint64_t seed) {
  const size_t channels = (size_t)plane->channels;
  const int is_mixed = plane->count == 1 && channels == 3;
  for (size_t x = 0; x < plane->width; x++) {
    const uint64_t random = mix(seed + x * UINT64_C(0xD1B54A32D192ED03));
    for (size_t c = 0; c < channels; c++) {
      const int32_t s = sample_of(in[channels * x + c], q);
      const int32_t v = is_mixed ? (luma[c] << scale) >> 8 : plane->probe << scale >> 8;
      const int sign = random >> (is_mixed ? 20 : 20 + c) & 1;
      out[channels * x + c] = s == clamp255(s) ? limit(sign ? v : -v) : 0;
    }
  }
}
