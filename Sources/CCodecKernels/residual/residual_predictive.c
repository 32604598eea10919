// SPDX-License-Identifier: BSD-3-Clause
//
// The decoder of the predictive mode: linear predictors with weights from the payload, chosen for each block (as in TMW
// and MRP: Meyer and Tischer 1997; Matsuda et al. 2000), and static distributions chosen by the neighbouring errors.
#include "residual_predictive.h"

static INLINE void decode_samples(coder *k, const job *j, const sc_residual_group *g, int32_t index,
                                  const int32_t count) {
  const component *c = &j->component;
  const ptrdiff_t stride = c->own.stride;
  const int32_t width = g->width, height = g->height, step = 2 * g->delta + 1, blocks_wide = blocks(width);
  for (int32_t y0 = 0; y0 < height; y0 += LINES) {
    const int32_t lines = height - y0 < LINES ? height - y0 : LINES;
    const uint8_t *classes = c->class_of + (size_t)(y0 / BLOCK) * (size_t)blocks_wide;
    for (int32_t s = 0; s < width + LAG * (lines - 1); s++) {
      const int32_t from = s >= width ? (s - width) / LAG + 1 : 0;
      const int32_t to = s / LAG < lines - 1 ? s / LAG : lines - 1;
      for (int32_t l = from; l <= to; l++) {
        const int32_t y = y0 + l, x = s - LAG * l;
        const ptrdiff_t place = y * stride + x;
        int16_t *v = c->own.value + place;
        uint8_t *e = c->own.error + place;
        if (x == 0)
          start_row(&c->own, y);
        const uint32_t activity =
            own_activity(c, e, stride) + c->context_base[(size_t)y * (size_t)width + (size_t)x];
        const int16_t *w = c->predictors[classes[x / BLOCK]].weight;
        const int32_t p = prediction(weighted_sum(v, stride, &c->from, place, w, count));
        const int32_t level = j->level_of[activity_index(activity)];
        const int32_t q =
            decode_value(k, (uint32_t)l % RANS_LANES, j->distributions + level * PHASES + ((p + 4) & 7));
        const int32_t sample = clamp_sample(((p + 4) >> 3) + q * step);
        *v = (int16_t)sample;
        *e = error_of(sample, p);
        g->samples[index][y * g->pitch + x * g->step] = (uint8_t)sample;
        if (y == 0)
          spread_first_row(&c->own, x);
        if (x == width - 1)
          end_row(&c->own, y, width);
      }
    }
    if (k->next > k->count)
      return;
  }
}

#define DECODE(count)                                                                                        \
  static void decode_##count(coder *k, const job *j, const sc_residual_group *g, int32_t index) {            \
    decode_samples(k, j, g, index, count);                                                                   \
  }
DECODE(0)
DECODE(1)
DECODE(2)
DECODE(3)

int sc_residual_predictive_decode(const sc_residual_group *g, const uint8_t *payload, size_t size,
                                  void *memory) {
  static void (*const decode[1 + MOST_SOURCES])(coder *, const job *, const sc_residual_group *,
                                                int32_t) = {decode_0, decode_1, decode_2, decode_3};
  coder k;
  if (sc_residual_rans_open(&k, payload, size, RANS_LANES))
    return -1;
  arena a = {.at = memory};
  job *j = arena_take(&a, sizeof *j);
  take_job(&a, j, g);
  fill_levels(j->level_of);
  for (int32_t i = 0; i < g->components; i++) {
    component *c = &j->component;
    start_component(j, g, i);
    if (code_parameters(&k, j->models, c, g->width, g->height, 1) || k.next > k.count)
      return -1;
    fill_context_base(c, g->width, g->height);
    fill_distributions(j->distributions, c, 2 * g->delta + 1);
    decode[c->from.count](&k, j, g, i);
    end_plane(&c->own, g->width, g->height);
    if (k.next > k.count)
      return -1;
  }
  return sc_residual_rans_close(&k, RANS_LANES);
}
