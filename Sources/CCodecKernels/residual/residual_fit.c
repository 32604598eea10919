// SPDX-License-Identifier: BSD-3-Clause
//
// The encoder of the predictive mode. Blocks are divided into classes and a predictor is fitted to each class, in turn;
// all of it on sums of products that are computed once for each block.
#include <math.h>

#include "residual_predictive.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF // the encoder's choices are the same on every machine
#endif

enum { MOST_FEATURES = (1 + MOST_SOURCES) * TAPS + 1, ROW = 68 };

/// A symmetric matrix's elements below and on the diagonal, row by row.
static int32_t triangle(int32_t n) { return n * (n + 1) / 2; }

typedef struct fit {
  float *blocks;       // [blocks][triangle(features + 1)], off-diagonal elements doubled
  float *weight;       // [blocks]
  uint16_t *bits;      // [2^15 + 1] length of a symbol of that frequency, in 1/1024 bits
  uint32_t *samples;   // [height][width] q + 256 | phase << 9 | level << 12
  uint32_t *histogram; // [LEVELS][PHASES][512]
  uint32_t *symbols;   // of the coder
  size_t capacity;
  float sum[MOST_FEATURES][ROW];
} fit;

static size_t take_fit(arena *a, fit *f, const sc_residual_group *g) {
  const size_t count = (size_t)g->width * (size_t)g->height;
  const size_t n = (size_t)blocks(g->width) * (size_t)blocks(g->height);
  const int32_t most = TAPS + 12 * (g->components - 1 + (g->base[0] != NULL)) + 1;
  float *matrices = arena_take(a, n * (size_t)triangle(most) * sizeof(float));
  float *weight = arena_take(a, n * sizeof(float));
  uint16_t *bits = arena_take(a, (RANS_SLOTS + 1) * sizeof(uint16_t));
  uint32_t *samples = arena_take(a, count * sizeof(uint32_t));
  uint32_t *histogram = arena_take(a, sizeof(uint32_t) * LEVELS * PHASES * 512);
  const size_t capacity = 2 * count * (size_t)g->components + 64 * n * (size_t)g->components + (1u << 16);
  uint32_t *symbols = arena_take(a, capacity * sizeof(uint32_t));
  if (a->at) {
    f->blocks = matrices;
    f->weight = weight;
    f->bits = bits;
    f->samples = samples;
    f->histogram = histogram;
    f->symbols = symbols;
    f->capacity = capacity;
  }
  return a->used;
}

/// The taps with a weight of their own.
static int32_t list_features(const component *c, int32_t *tap) {
  int32_t n = 0;
  for (int32_t t = 0; t < (1 + c->from.count) * TAPS; t++)
    if (has_weight(t))
      tap[n++] = t;
  return n;
}

/// Sums of products of the features and the sample over a block; taps are seen from their anchors.
static void sum_block(const component *c, fit *f, const int32_t *tap, int32_t n, int32_t x0, int32_t y0,
                      int32_t x1, int32_t y1, int32_t skip) {
  for (int32_t i = 0; i <= n; i++)
    memset(f->sum[i], 0, sizeof f->sum[i]);
  const ptrdiff_t stride = c->own.stride;
  for (int32_t y = y0; y < y1; y++) {
    for (int32_t x = x0 + (skip ? (y & 1) : 0); x < x1; x += 1 + skip) {
      int16_t t[(1 + MOST_SOURCES) * TAPS];
      float d[ROW] = {0};
      const int16_t *v = c->own.value + y * stride + x;
      own_taps(t, v, stride);
      const int32_t anchor = t[OWN_ANCHOR];
      for (int32_t i = 0; i < TAPS; i++)
        t[i] = (int16_t)(t[i] - anchor);
      for (int32_t s = 0; s < c->from.count; s++) {
        int16_t *u = t + (s + 1) * TAPS;
        source_taps(u, c->from.at[s].value + y * stride + x, stride);
        const int32_t a = u[SOURCE_ANCHOR];
        for (int32_t i = 0; i < 12; i++)
          u[i] = (int16_t)(u[i] - a);
      }
      for (int32_t i = 0; i < n; i++)
        d[i] = t[tap[i]];
      d[n] = (float)(*v - anchor);
      for (int32_t i = 0; i <= n; i++) {
        const float di = d[i];
        float *to = f->sum[i];
        for (int32_t k = 0; k <= i / 4; k++)
          for (int32_t e = 0; e < 4; e++)
            to[4 * k + e] += di * d[4 * k + e];
      }
    }
  }
}

/// Squared error of a predictor over a block.
static float block_error(const float *m, const float *w, int32_t n) {
  float error = 0;
  for (int32_t i = 0; i <= n; i++) {
    float part[4] = {0, 0, 0, 0};
    int32_t j = 0;
    for (; j + 4 <= i + 1; j += 4)
      for (int32_t e = 0; e < 4; e++)
        part[e] += w[j + e] * m[j + e];
    for (; j <= i; j++)
      part[j & 3] += w[j] * m[j];
    error += w[i] * ((part[0] + part[1]) + (part[2] + part[3]));
    m += i + 1;
  }
  return error > 0 ? error : 0;
}

/// Least squares by Cholesky's decomposition: `m` is [n + 1][ROW], its last row the right-hand side.
static void solve(double (*m)[ROW], int32_t n, double *w) {
  for (int32_t i = 0; i <= n; i++) {
    for (int32_t j = 0; j <= i && j < n; j++) {
      double s = m[i][j];
      for (int32_t k = 0; k < j; k++)
        s -= m[i][k] * m[j][k];
      if (i == j)
        m[i][i] = sqrt(s > 1e-6 ? s : 1e-6);
      else
        m[i][j] = s / m[j][j];
    }
  }
  for (int32_t i = n - 1; i >= 0; i--) {
    double s = m[n][i];
    for (int32_t k = i + 1; k < n; k++)
      s -= m[k][i] * w[k];
    w[i] = s / m[i][i];
  }
}

static int32_t round_weight(double w, double scale, int32_t most) {
  const double s = w * scale;
  const int32_t r = (int32_t)(s < 0 ? s - 0.5 : s + 0.5);
  return s > most ? most : s < -most ? -most : r;
}

/// About 1024 log2(error + 1).
static float log_error(float error) {
  const uint32_t e = error < 4.0e8f ? (uint32_t)(8 * error) + 8 : UINT32_C(3200000000);
  return (float)log2_of(e);
}

/// Divides the blocks into classes and fits a predictor to each, in turn.
static void fit_predictors(component *c, fit *f, int32_t width, int32_t height, int32_t effort) {
  int32_t tap[MOST_FEATURES];
  const int32_t n = list_features(c, tap), size = triangle(n + 1);
  const int32_t wide = blocks(width), high = blocks(height), count = wide * high;
  for (int32_t b = 0; b < count; b++) {
    const int32_t x0 = b % wide * BLOCK, y0 = b / wide * BLOCK;
    const int32_t x1 = x0 + BLOCK < width ? x0 + BLOCK : width,
                  y1 = y0 + BLOCK < height ? y0 + BLOCK : height;
    sum_block(c, f, tap, n, x0, y0, x1, y1, effort < 1);
    float *m = f->blocks + (size_t)b * (size_t)size;
    for (int32_t i = 0; i <= n; i++)
      for (int32_t j = 0; j <= i; j++)
        *m++ = i == j ? f->sum[i][j] : 2 * f->sum[i][j];
    f->weight[b] = 1.0f / (1.0f + m[-1] / 64);
  }
  static const int32_t pixels_for_class[3] = {40000, 20000, 12000}, rounds[3] = {4, 9, 21};
  int32_t classes = 1 + (int32_t)((int64_t)width * height / pixels_for_class[effort]);
  classes = classes > MOST_CLASSES ? MOST_CLASSES : classes;
  int32_t columns = 1;
  while (columns * columns < classes)
    columns++;
  const int32_t rows = classes / columns > 0 ? classes / columns : 1;
  classes = columns * rows < classes ? columns * rows : classes;
  for (int32_t b = 0; b < count; b++) {
    const int32_t k = b / wide * rows / high * columns + b % wide * columns / wide;
    c->class_of[b] = (uint8_t)(k < classes ? k : classes - 1);
  }
  float w[MOST_CLASSES][MOST_FEATURES];
  const double scale = 1 << WEIGHT_BITS;
  for (int32_t round = 0; round < (classes > 1 ? rounds[effort] : 2); round++) {
    for (int32_t k = 0; k < classes; k++) {
      double m[MOST_FEATURES][ROW], solution[MOST_FEATURES];
      for (int32_t i = 0; i <= n; i++)
        memset(m[i], 0, sizeof m[i]);
      double total = 0;
      int32_t members = 0;
      for (int32_t b = 0; b < count; b++) {
        if (c->class_of[b] != k)
          continue;
        members++;
        const double weight = (double)f->weight[b];
        total += weight;
        const float *from = f->blocks + (size_t)b * (size_t)size;
        for (int32_t i = 0; i <= n; i++)
          for (int32_t j = 0; j <= i; j++)
            m[i][j] += weight * (double)*from++;
      }
      if (!members)
        continue;
      for (int32_t i = 0; i <= n; i++) {
        for (int32_t j = 0; j < i; j++)
          m[i][j] *= 0.5;
        m[i][i] += total;
      }
      solve(m, n, solution);
      memset(c->predictors[k].weight, 0, sizeof c->predictors[k].weight);
      for (int32_t i = 0; i < n; i++) {
        const int32_t r = round_weight(solution[i], scale, MOST_WEIGHT);
        c->predictors[k].weight[tap[i]] = (int16_t)r;
        w[k][i] = (float)r / (float)scale;
      }
      w[k][n] = -1;
      set_anchors(c, &c->predictors[k]);
    }
    const float pixels = (effort < 1 ? 0.5f : 1.0f) * BLOCK * BLOCK;
    // A third of the blocks at a time, all in the last round.
    const int32_t stride = classes > 1 && round + 1 < rounds[effort] ? 3 : 1;
    for (int32_t b = stride > 1 ? round % stride : 0; b < count; b += stride) {
      const float *m = f->blocks + (size_t)b * (size_t)size;
      const int32_t left = b % wide ? c->class_of[b - 1] : 0, top = b >= wide ? c->class_of[b - wide] : 0;
      float best = 0, best_error = 0;
      int32_t chosen = -1;
      for (int32_t k = 0; k < classes; k++) {
        const float error = block_error(m, w[k], n);
        const float cost = log_error(error) * (BLOCK * BLOCK / 2) + (k == left  ? 1.0f
                                                                     : k == top ? 2.0f
                                                                                : 5.0f) *
                                                                        LOG_ONE;
        if (chosen < 0 || cost < best) {
          best = cost;
          best_error = error;
          chosen = k;
        }
      }
      c->class_of[b] = (uint8_t)chosen;
      f->weight[b] = 1.0f / (1.0f + best_error / pixels);
    }
  }
  // Only classes that are in use are written.
  int32_t rename[MOST_CLASSES], used = 0;
  for (int32_t k = 0; k < classes; k++)
    rename[k] = -1;
  for (int32_t b = 0; b < count; b++) {
    const int32_t k = c->class_of[b];
    if (rename[k] < 0)
      rename[k] = used++;
    c->class_of[b] = (uint8_t)rename[k];
  }
  predictor old[MOST_CLASSES];
  memcpy(old, c->predictors, sizeof old);
  for (int32_t k = 0; k < classes; k++)
    if (rename[k] >= 0)
      c->predictors[rename[k]] = old[k];
  c->classes = used;
}

/// Predicts and quantises all samples.
static void predict_samples(const component *c, fit *f, const sc_residual_group *g, int32_t index) {
  const int32_t step = 2 * g->delta + 1, wide = blocks(g->width);
  const ptrdiff_t stride = c->own.stride;
  start_plane(&c->own, g->width);
  for (int32_t y = 0; y < g->height; y++) {
    const uint8_t *classes = c->class_of + (size_t)(y / BLOCK) * (size_t)wide;
    uint32_t *out = f->samples + (size_t)y * (size_t)g->width;
    start_row(&c->own, y);
    for (int32_t x = 0; x < g->width; x++) {
      const ptrdiff_t place = y * stride + x, at = y * g->pitch + x * g->step;
      const int32_t p = prediction(weighted_sum(c->own.value + place, stride, &c->from, place,
                                                c->predictors[classes[x / BLOCK]].weight, c->from.count));
      const int32_t middle = (p + 4) >> 3, d = g->samples[index][at] - middle;
      const int32_t q = d < 0 ? -((g->delta - d) / step) : (d + g->delta) / step;
      const int32_t sample = clamp_sample(middle + q * step);
      c->own.value[place] = (int16_t)sample;
      c->own.error[place] = error_of(sample, p);
      if (y == 0)
        spread_first_row(&c->own, x);
      out[x] = (uint32_t)(q + 256) | (uint32_t)((p + 4) & 7) << 9;
    }
    end_row(&c->own, y, g->width);
  }
  end_plane(&c->own, g->width, g->height);
}

/// The weights of neighbouring errors that foretell an error best.
static void fit_contexts(component *c, int32_t width, int32_t height) {
  enum { MOST = OWN_CONTEXTS + MOST_SOURCES * SOURCE_CONTEXTS };
  const int32_t n = OWN_CONTEXTS + c->from.count * SOURCE_CONTEXTS;
  const ptrdiff_t stride = c->own.stride;
  double m[MOST_FEATURES][ROW];
  for (int32_t i = 0; i <= n; i++)
    memset(m[i], 0, sizeof m[i]);
  for (int32_t y = 1; y < height; y++) {
    for (int32_t x = y & 1; x < width; x += 2) {
      const uint8_t *e = c->own.error + y * stride + x;
      float d[MOST + 1] = {e[-1], e[-stride], e[-stride - 1], e[-stride + 1], e[-2], e[-2 * stride]};
      float level = (d[0] + d[1] + d[2] + d[3]) * 0.25f;
      for (int32_t s = 0; s < c->from.count; s++) {
        const uint8_t *u = c->from.at[s].error + y * stride + x;
        float *to = d + OWN_CONTEXTS + s * SOURCE_CONTEXTS;
        to[0] = u[0], to[1] = u[-1], to[2] = u[1], to[3] = u[-stride], to[4] = u[stride];
      }
      d[n] = e[0];
      const float weight = 1.0f / ((level + 3) * (level + 3));
      for (int32_t i = 0; i <= n; i++) {
        const float di = d[i] * weight;
        for (int32_t k = 0; k <= i; k++)
          m[i][k] += (double)(di * d[k]);
      }
    }
  }
  int8_t out[MOST] = {0};
  double w[MOST_FEATURES];
  for (;;) {
    // Without the features that got a negative weight.
    int32_t list[MOST + 1], left = 0;
    for (int32_t i = 0; i < n; i++)
      if (!out[i])
        list[left++] = i;
    list[left] = n;
    double part[MOST_FEATURES][ROW];
    for (int32_t i = 0; i <= left; i++)
      for (int32_t k = 0; k <= i; k++)
        part[i][k] = m[list[i]][list[k]] + (i == k ? 1 : 0);
    solve(part, left, w);
    int again = 0;
    for (int32_t i = 0; i < left; i++) {
      if (w[i] < 0) {
        out[list[i]] = 1;
        again = 1;
      }
    }
    if (again)
      continue;
    double all[MOST] = {0};
    for (int32_t i = 0; i < left; i++)
      all[list[i]] = w[i];
    for (int32_t i = 0; i < OWN_CONTEXTS; i++)
      c->own_context[i] = (uint8_t)round_weight(all[i], 64, 255);
    int32_t room = 256;
    for (int32_t i = OWN_CONTEXTS; i < n; i++) {
      const int32_t r = round_weight(all[i], 64, room < 255 ? room : 255);
      c->source_context[(i - OWN_CONTEXTS) / SOURCE_CONTEXTS][(i - OWN_CONTEXTS) % SOURCE_CONTEXTS] =
          (uint8_t)r;
      room -= r;
    }
    return;
  }
}

static void count_levels(const component *c, const job *j, fit *f, int32_t width, int32_t height) {
  const ptrdiff_t stride = c->own.stride;
  memset(f->histogram, 0, sizeof(uint32_t) * LEVELS * PHASES * 512);
  for (int32_t y = 0; y < height; y++) {
    const uint16_t *base = c->context_base + (size_t)y * (size_t)width;
    uint32_t *sample = f->samples + (size_t)y * (size_t)width;
    for (int32_t x = 0; x < width; x++) {
      const uint32_t activity = own_activity(c, c->own.error + y * stride + x, stride) + base[x];
      const uint32_t level = j->level_of[activity_index(activity)];
      sample[x] |= level << 12;
      f->histogram[(level * PHASES + (sample[x] >> 9 & 7)) * 512 + (sample[x] & 511)]++;
    }
  }
}

static uint64_t histogram_cost(const fit *f, const uint32_t *histogram, int32_t scale, int32_t shape,
                               int32_t step, int32_t first, int32_t last) {
  uint64_t cost = 0;
  for (int32_t phase = 0; phase < PHASES; phase++, histogram += 512) {
    uint16_t frequency[MOST_SYMBOLS];
    const int32_t reach = frequencies(frequency, scale, shape, phase - 4, step);
    const uint32_t escape = f->bits[frequency[2 * reach + 1]] + ESCAPE_BITS * LOG_ONE;
    for (int32_t q = first; q <= last; q++)
      if (histogram[q])
        cost += (uint64_t)histogram[q] *
                (q - 256 < -reach || q - 256 > reach ? escape : f->bits[frequency[q - 256 + reach]]);
  }
  return cost;
}

static void fit_distributions(component *c, const fit *f, int32_t step) {
  for (int32_t level = 0; level < LEVELS; level++) {
    const uint32_t *h = f->histogram + level * PHASES * 512;
    uint64_t count = 0, sum = 0;
    int32_t first = 512, last = -1;
    for (int32_t i = 0; i < PHASES * 512; i++) {
      if (!h[i])
        continue;
      const int32_t q = i % 512, d = 8 * (q - 256) * step - (i / 512 - 4);
      first = q < first ? q : first;
      last = q > last ? q : last;
      count += h[i];
      sum += (uint64_t)h[i] * (uint64_t)(d < 0 ? -d : d);
    }
    if (!count) {
      c->scale[level] = level ? c->scale[level - 1] : SCALES / 2;
      c->shape[level] = level ? c->shape[level - 1] : 3;
      continue;
    }
    // The mean in steps is 2^(−7.5 + s / 6).
    const uint32_t mean = (uint32_t)((sum * 512 / count) / (uint32_t)step) + 1; // in 1/4096
    int32_t at = ((int32_t)log2_of(mean) - 12 * LOG_ONE) * 6 / LOG_ONE + 45, shape = 3;
    at = at < 0 ? 0 : at >= SCALES ? SCALES - 1 : at;
    uint64_t best = histogram_cost(f, h, at, shape, step, first, last);
    for (int round = 0; round < 8; round++) {
      int better = 0;
      for (int move = 0; move < 6; move++) {
        static const int8_t ds[6] = {1, -1, 0, 0, -1, 1}, dh[6] = {0, 0, 1, -1, 1, -1};
        const int32_t s = at + ds[move], k = shape + dh[move];
        if (s < 0 || s >= SCALES || k < 0 || k >= SHAPES)
          continue;
        const uint64_t cost = histogram_cost(f, h, s, k, step, first, last);
        if (cost < best) {
          best = cost;
          at = s;
          shape = k;
          better = 1;
        }
      }
      if (!better)
        break;
    }
    c->scale[level] = (uint8_t)at;
    c->shape[level] = (uint8_t)shape;
  }
}

/// The samples in the decoder's order.
static void emit_samples(coder *k, const job *j, const fit *f, int32_t width, int32_t height) {
  for (int32_t y0 = 0; y0 < height; y0 += LINES) {
    const int32_t lines = height - y0 < LINES ? height - y0 : LINES;
    for (int32_t s = 0; s < width + LAG * (lines - 1); s++) {
      for (int32_t l = 0; l < lines; l++) {
        const int32_t x = s - LAG * l;
        if (x < 0 || x >= width)
          continue;
        const uint32_t sample = f->samples[(size_t)(y0 + l) * (size_t)width + (size_t)x];
        const distribution *d = j->distributions + (sample >> 12) * PHASES + (sample >> 9 & 7);
        const uint32_t lane = (uint32_t)l % RANS_LANES;
        int32_t i = (int32_t)(sample & 511) - 256 - d->minimum;
        const int escapes = i < 0 || i >= d->symbols - 1;
        i = escapes ? d->symbols - 1 : i;
        rans_emit(k, lane, d->symbol[i].start, d->symbol[i].frequency);
        if (escapes)
          code_raw(k, lane, sample & 511, ESCAPE_BITS, 0);
      }
    }
  }
}

static void start_samples(const plane *p, const sc_residual_group *g, int32_t component) {
  for (int32_t y = 0; y < g->height; y++) {
    const uint8_t *from = g->samples[component] + y * g->pitch;
    int16_t *to = p->value + y * p->stride;
    start_row(p, y);
    for (int32_t x = 0; x < g->width; x++) {
      to[x] = from[x * g->step];
      if (y == 0)
        spread_first_row(p, x);
    }
    end_row(p, y, g->width);
  }
}

size_t sc_residual_predictive_memory(const sc_residual_group *g, int encoding) {
  arena a = {0};
  job j = {0};
  arena_take(&a, sizeof j);
  take_job(&a, &j, g);
  if (encoding) {
    arena_take(&a, sizeof(fit));
    take_fit(&a, NULL, g);
  }
  return a.used;
}

size_t sc_residual_predictive_encode(const sc_residual_group *g, int32_t effort, void *memory, uint8_t *out,
                                     size_t capacity) {
  arena a = {.at = memory};
  job *j = arena_take(&a, sizeof *j);
  take_job(&a, j, g);
  fit *f = arena_take(&a, sizeof *f);
  take_fit(&a, f, g);
  fill_levels(j->level_of);
  for (uint32_t i = 1; i <= RANS_SLOTS; i++)
    f->bits[i] = (uint16_t)(RANS_BITS * LOG_ONE - log2_of(i));
  coder k = {.symbols = f->symbols, .capacity = f->capacity};
  const int32_t step = 2 * g->delta + 1;
  for (int32_t i = 0; i < g->components; i++) {
    component *c = &j->component;
    start_component(j, g, i);
    memset(c->predictors, 0, sizeof c->predictors);
    start_samples(&c->own, g, i);
    fit_predictors(c, f, g->width, g->height, effort);
    predict_samples(c, f, g, i);
    fit_contexts(c, g->width, g->height);
    fill_context_base(c, g->width, g->height);
    count_levels(c, j, f, g->width, g->height);
    fit_distributions(c, f, step);
    fill_distributions(j->distributions, c, step);
    code_parameters(&k, j->models, c, g->width, g->height, 0);
    emit_samples(&k, j, f, g->width, g->height);
  }
  return sc_residual_rans_write(&k, RANS_LANES, out, capacity);
}
