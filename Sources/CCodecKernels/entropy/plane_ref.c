// SPDX-License-Identifier: BSD-3-Clause
//
// The specification of the entropy kernels: one sample after the other, in the order of bitstream.md §4.
#include <string.h>

#include "rans_encoder.h"
#include "sc_internal.h"

// ---- Sums over sources ---------------------------------------------------------------------------------------------

void sc_context_base_c(uint16_t *base, int32_t width, int32_t height, const sc_context_source *sources,
                       int32_t count, const uint8_t *scales, int32_t scale_weight, void *scratch) {
  (void)scratch;
  const sc_wavefront wavefront = sc_wavefront_of(width, height);
  for (int32_t y = 0; y < height; y++) {
    uint16_t *restrict out = base + sc_wavefront_row(&wavefront, y);
    const uint8_t *scale = scales ? scales + (size_t)y * (size_t)width : NULL;
    for (int32_t x = 0; x < width; x++)
      out[x] = scale ? (uint16_t)(scale_weight * scale[x]) : 0;
    for (int32_t i = 0; i < count; i++) {
      for (int k = 0; k < 9; k++) {
        const uint16_t w = sources[i].weight[k];
        if (!w)
          continue;
        const uint8_t *restrict m = sources[i].magnitudes + sc_padded_at(width, y + k / 3 - 1, k % 3 - 1);
        for (int32_t x = 0; x < width; x++)
          out[x] = (uint16_t)(out[x] + w * m[x]);
      }
    }
  }
}

void sc_mean_base_c(int32_t *base, int32_t width, int32_t height, const sc_mean_source *sources,
                    int32_t count, void *scratch) {
  (void)scratch;
  const sc_wavefront wavefront = sc_wavefront_of(width, height);
  for (int32_t y = 0; y < height; y++) {
    int32_t *restrict out = base + sc_wavefront_row(&wavefront, y);
    memset(out, 0, (size_t)width * sizeof *out);
    for (int32_t i = 0; i < count; i++) {
      for (int k = 0; k < 9; k++) {
        const int32_t w = sources[i].weight[k];
        if (!w)
          continue;
        const int16_t *restrict v = sources[i].samples + sc_padded_at(width, y + k / 3 - 1, k % 3 - 1);
        for (int32_t x = 0; x < width; x++)
          out[x] += w * v[x];
      }
    }
  }
}

// ---- Planes --------------------------------------------------------------------------------------------------------

// The CDF of the sample at row y and column x, and its mean.
static const sc_cdf *cdf_of(const sc_plane *p, const sc_wavefront *wavefront, int32_t y, int32_t x,
                            int32_t *mean) {
  *mean = 0;
  if (!p->level_of)
    return p->cdfs[0];
  const size_t place = sc_wavefront_row(wavefront, y) + (size_t)x;
  int32_t sum = p->base ? p->base[place] : 0;
  int32_t mean_sum = p->mean_shift ? 1 << (p->mean_shift - 1) : 0;
  if (p->mean_shift && p->mean_base)
    mean_sum += p->mean_base[place];
  for (int k = 0; k < SC_NEIGHBOURS; k++) {
    const ptrdiff_t n = sc_neighbour_place(k, y, x, p->width);
    if (n < 0)
      continue;
    sum += p->weight[k] *
           p->magnitudes[sc_padded_at(p->width, (int32_t)(n / p->width), (int32_t)(n % p->width))];
    if (p->mean_shift)
      mean_sum += p->mean_weight[k] * p->values[n];
  }
  size_t index = p->level_of[sc_level_sum(sum, p->shift)];
  if (p->mean_shift) {
    *mean = sc_mean_of(mean_sum, p->mean_shift);
    index += (size_t)sc_phase_of(mean_sum, p->mean_shift, p->phase_bits);
  }
  return p->cdfs[index];
}

// What the contexts of others see of a sample.
static void publish(const sc_plane *p, int32_t y, int32_t x, int16_t residual) {
  const ptrdiff_t at = sc_padded_at(p->width, y, x);
  if (p->samples)
    p->samples[at] = p->values[(ptrdiff_t)y * p->width + x];
  if (p->magnitudes)
    p->magnitudes[at] = sc_magnitude_of(p->magnitude_kind, p->low, p->high, p->table, residual);
}

static void fill_margins(const sc_plane *p) {
  for (int32_t y = -1; y <= p->height; y++)
    for (int32_t x = -1; x <= p->width; x++) {
      const ptrdiff_t to = sc_padded_at(p->width, y, x);
      const ptrdiff_t from =
          sc_padded_at(p->width, sc_clamp(y, 0, p->height - 1), sc_clamp(x, 0, p->width - 1));
      if (p->samples)
        p->samples[to] = p->samples[from];
      if (p->magnitudes)
        p->magnitudes[to] = p->magnitudes[from];
    }
}

static int code_plane(sc_rans_decoder *decoder, uint32_t **symbols, const sc_plane *p) {
  const sc_wavefront wavefront = sc_wavefront_of(p->width, p->height);
  for (size_t t = 0; t < wavefront.steps; t++) {
    for (int32_t line = 0; line < 8 && t >= 2 * (size_t)line; line++) {
      const size_t step = t - 2 * (size_t)line;
      const int32_t x = (int32_t)(step % (size_t)wavefront.period);
      const size_t row = 8 * (step / (size_t)wavefront.period) + (size_t)line;
      if (x >= p->width || row >= (size_t)p->height)
        continue;
      const int32_t y = (int32_t)row, lane = line & ((decoder ? decoder->lanes : SC_RANS_LANES) - 1);
      int32_t mean;
      const sc_cdf *cdf = cdf_of(p, &wavefront, y, x, &mean);
      int16_t *value = p->values + (ptrdiff_t)y * p->width + x;
      int16_t residual;
      if (decoder) {
        residual = (int16_t)sc_rans_decode_symbol(decoder, p->table, p->start_shift, cdf, lane);
        *value = (int16_t)(residual + mean);
      } else {
        residual = (int16_t)(*value - mean);
        sc_rans_encode_symbol(symbols, p->table, cdf, lane, residual);
      }
      publish(p, y, x, residual);
    }
    if (decoder && decoder->next > decoder->count)
      return -1;
  }
  fill_margins(p);
  return 0;
}

int sc_decode_plane_c(sc_rans_decoder *decoder, const sc_plane *plane) {
  return code_plane(decoder, NULL, plane);
}

void sc_encode_plane_c(sc_rans_encoder *encoder, const sc_plane *plane) {
  uint32_t *symbols = encoder->symbols + encoder->count;
  code_plane(NULL, &symbols, plane);
  encoder->count = (size_t)(symbols - encoder->symbols);
}
