// SPDX-License-Identifier: BSD-3-Clause
//
// What encoder and decoder of the predictive mode share: planes, predictors, activity, distributions, parameters.
#ifndef SC_RESIDUAL_PREDICTIVE_H
#define SC_RESIDUAL_PREDICTIVE_H

#include "residual_internal.h"
#include "residual_tables.h"

#if defined(__SSE2__) && !defined(SC_RESIDUAL_PLAIN)
#include <emmintrin.h>
#elif defined(__ARM_NEON) && !defined(SC_RESIDUAL_PLAIN)
#include <arm_neon.h>
#endif
enum {
  TAPS = 16,          // of the component itself, and of each source (12 in use)
  MOST_SOURCES = 3,   // two components and the base
  WEIGHT_BITS = 8,    // fractional bits of weights
  MOST_WEIGHT = 2047, // |weight| in the payload
  MOST_CLASSES = 16,  // predictors of a component
  BLOCK = 8,          // pixels
  LINES = 8,
  LAG = 6,        // rows side by side, each so many columns behind the one above it
  PAD = 8,        // columns around a plane
  ROWS_ABOVE = 2, // rows around a plane, and one below
  PHASES = 8,     // of a prediction between two samples
  LEVELS = 28,    // of activity
  OWN_CONTEXTS = 6,
  SOURCE_CONTEXTS = 5,
  MOST_SYMBOLS = 256, // of a distribution, with the escape
  START_SHIFT = 7,    // slots for each entry of a start table
  ESCAPE_BITS = 9,
};

// ---- Planes

/// Samples of a component and errors; margins around both.
typedef struct plane {
  int16_t *value; // at (0, 0)
  uint8_t *error;
  ptrdiff_t stride;
} plane;

static inline plane take_plane(arena *a, int32_t width, int32_t height) {
  const ptrdiff_t stride = (width + 2 * PAD + 7) / 8 * 8;
  const size_t count = (size_t)stride * ((size_t)height + ROWS_ABOVE + 1);
  int16_t *value = arena_take(a, count * sizeof *value);
  uint8_t *error = arena_take(a, count);
  plane p = {.stride = stride};
  if (a->at) {
    p.value = value + ROWS_ABOVE * stride + PAD;
    p.error = error + ROWS_ABOVE * stride + PAD;
  }
  return p;
}

/// The rows above. Everything else is written as it becomes known.
static inline void start_plane(const plane *p, int32_t width) {
  for (ptrdiff_t y = -ROWS_ABOVE; y < 0; y++) {
    for (ptrdiff_t x = -PAD; x < width + PAD; x++)
      p->value[y * p->stride + x] = 128;
    memset(p->error + y * p->stride - PAD, 0, (size_t)width + 2 * PAD);
  }
}

static INLINE void start_row(const plane *p, int32_t y) {
  int16_t *v = p->value + y * p->stride;
  const int16_t above = v[-p->stride];
  for (int x = -4; x < 0; x++)
    v[x] = above;
  uint8_t *e = p->error + y * p->stride;
  e[-1] = e[-2] = e[-p->stride];
}

static INLINE void end_row(const plane *p, int32_t y, int32_t width) {
  int16_t *v = p->value + y * p->stride + width;
  for (int x = 0; x < PAD; x++)
    v[x] = v[-1];
  uint8_t *e = p->error + y * p->stride + width;
  e[0] = e[-1];
}

/// Until the second row comes, what is above the first one is what is left of it.
static INLINE void spread_first_row(const plane *p, int32_t x) {
  const int16_t v = p->value[x];
  for (int k = 0; k < 6; k++)
    p->value[x + k - p->stride] = p->value[x + k - 2 * p->stride] = v;
}

static inline void end_plane(const plane *p, int32_t width, int32_t height) {
  memcpy(p->value + height * p->stride - PAD, p->value + (height - 1) * p->stride - PAD,
         ((size_t)width + 2 * PAD) * sizeof *p->value);
  memcpy(p->error + height * p->stride - PAD, p->error + (height - 1) * p->stride - PAD,
         (size_t)width + 2 * PAD);
}

/// A component of the base as a source: its samples, and how rough it is there.
static inline void fill_base(const plane *p, const sc_residual_group *g, int32_t component) {
  for (int32_t y = 0; y < g->height; y++) {
    int16_t *v = p->value + y * p->stride;
    const uint8_t *b = g->base[component] + y * g->pitch;
    for (int32_t x = 0; x < g->width; x++)
      v[x] = b[x * g->step];
    for (int32_t x = 1; x <= PAD; x++) {
      v[-x] = v[0];
      v[g->width - 1 + x] = v[g->width - 1];
    }
  }
  const size_t row = ((size_t)g->width + 2 * PAD) * sizeof *p->value;
  for (int32_t y = 1; y <= ROWS_ABOVE; y++)
    memcpy(p->value - y * p->stride - PAD, p->value - PAD, row);
  memcpy(p->value + g->height * p->stride - PAD, p->value + (g->height - 1) * p->stride - PAD, row);
  for (int32_t y = 0; y < g->height; y++) {
    const int16_t *v = p->value + y * p->stride, *n = v - p->stride, *s = v + p->stride;
    uint8_t *e = p->error + y * p->stride;
    for (int32_t x = 0; x < g->width; x++) {
      const int32_t d = 4 * v[x] - v[x - 1] - v[x + 1] - n[x] - s[x], r = (d < 0 ? -d : d) / 2;
      e[x] = (uint8_t)(r > 255 ? 255 : r);
    }
    e[-1] = e[0];
    e[g->width] = e[g->width - 1];
  }
  memcpy(p->error - p->stride - 1, p->error - 1, (size_t)g->width + 2);
  memcpy(p->error + g->height * p->stride - 1, p->error + (g->height - 1) * p->stride - 1,
         (size_t)g->width + 2);
}

// ---- Prediction

/// What a component is predicted from.
typedef struct sources {
  int32_t count;
  plane at[MOST_SOURCES];
} sources;

typedef struct predictor {
  int16_t weight[(1 + MOST_SOURCES) * TAPS];
} predictor;

static INLINE void own_taps(int16_t t[TAPS], const int16_t *v, ptrdiff_t stride) {
  memcpy(t, v - 4, 8);
  memcpy(t + 4, v - 2 * stride - 1, 8);
  memcpy(t + 8, v - stride - 3, 16);
}

/// The last four have no weight.
static INLINE void source_taps(int16_t t[TAPS], const int16_t *v, ptrdiff_t stride) {
  memcpy(t, v - stride - 1, 8);
  memcpy(t + 4, v - 1, 8);
  memcpy(t + 8, v + stride - 1, 8);
  memset(t + 12, 0, 8);
}

enum { OWN_ANCHOR = 3, SOURCE_ANCHOR = 4 }; // the left neighbour in both

/// Σ weight · tap. Samples are at most 255 and Σ |weight| < 2^17 (at most 52 of at most 2047, and two anchors): it fits 32 bits.
#if defined(__SSE2__) && !defined(SC_RESIDUAL_PLAIN)
static INLINE int32_t weighted_sum(const int16_t *v, ptrdiff_t stride, const sources *s, ptrdiff_t place,
                                   const int16_t *w, const int32_t count) {
#define LOAD4(p) _mm_loadl_epi64((const __m128i *)(const void *)(p))
#define LOAD8(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
  __m128i sum = _mm_madd_epi16(_mm_unpacklo_epi64(LOAD4(v - 4), LOAD4(v - 2 * stride - 1)), LOAD8(w));
  sum = _mm_add_epi32(sum, _mm_madd_epi16(LOAD8(v - stride - 3), LOAD8(w + 8)));
  for (int32_t i = 0; i < count; i++) {
    const int16_t *u = s->at[i].value + place;
    w += TAPS;
    sum =
        _mm_add_epi32(sum, _mm_madd_epi16(_mm_unpacklo_epi64(LOAD4(u - stride - 1), LOAD4(u - 1)), LOAD8(w)));
    sum = _mm_add_epi32(sum, _mm_madd_epi16(LOAD4(u + stride - 1), LOAD4(w + 8)));
  }
#undef LOAD4
#undef LOAD8
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
  return _mm_cvtsi128_si32(sum);
}
#elif defined(__ARM_NEON) && !defined(SC_RESIDUAL_PLAIN)
static INLINE int32_t weighted_sum(const int16_t *v, ptrdiff_t stride, const sources *s, ptrdiff_t place,
                                   const int16_t *w, const int32_t count) {
  int32x4_t a = vmull_s16(vld1_s16(v - 4), vld1_s16(w));
  int32x4_t b = vmull_s16(vld1_s16(v - 2 * stride - 1), vld1_s16(w + 4));
  a = vmlal_s16(a, vld1_s16(v - stride - 3), vld1_s16(w + 8));
  b = vmlal_s16(b, vld1_s16(v - stride + 1), vld1_s16(w + 12));
  for (int32_t i = 0; i < count; i++) {
    const int16_t *u = s->at[i].value + place;
    w += TAPS;
    a = vmlal_s16(a, vld1_s16(u - stride - 1), vld1_s16(w));
    b = vmlal_s16(b, vld1_s16(u - 1), vld1_s16(w + 4));
    a = vmlal_s16(a, vld1_s16(u + stride - 1), vld1_s16(w + 8));
  }
  a = vaddq_s32(a, b);
  const int32x2_t c = vadd_s32(vget_low_s32(a), vget_high_s32(a));
  return vget_lane_s32(vpadd_s32(c, c), 0);
}
#else
static INLINE int32_t weighted_sum(const int16_t *v, ptrdiff_t stride, const sources *s, ptrdiff_t place,
                                   const int16_t *w, const int32_t count) {
  int16_t t[TAPS];
  int32_t sum = 0;
  own_taps(t, v, stride);
  for (int k = 0; k < TAPS; k++)
    sum += t[k] * w[k];
  for (int32_t i = 0; i < count; i++) {
    source_taps(t, s->at[i].value + place, stride);
    w += TAPS;
    for (int k = 0; k < TAPS; k++)
      sum += t[k] * w[k];
  }
  return sum;
}
#endif

/// The prediction of a sample in eighths, 0…2040.
static INLINE int32_t prediction(int32_t sum) {
  const int32_t p = (sum + (1 << (WEIGHT_BITS - 4))) >> (WEIGHT_BITS - 3);
  return p < 0 ? 0 : p > 2040 ? 2040 : p;
}

static INLINE uint8_t error_of(int32_t sample, int32_t predicted) {
  const int32_t d = 8 * sample - predicted, e = (d < 0 ? -d : d) >> 2;
  return (uint8_t)(e > 255 ? 255 : e);
}

static INLINE int32_t clamp_sample(int32_t v) { return v < 0 ? 0 : v > 255 ? 255 : v; }

/// What is known of a component besides its samples.
typedef struct component {
  plane own;
  sources from;
  int32_t classes;
  predictor predictors[MOST_CLASSES];
  uint8_t *class_of; // [blocks]
  uint8_t own_context[OWN_CONTEXTS];
  uint8_t source_context[MOST_SOURCES][SOURCE_CONTEXTS];
  uint16_t *context_base; // [height][width]: what the sources add
  uint8_t scale[LEVELS], shape[LEVELS];
} component;

static inline int32_t blocks(int32_t n) { return (n + BLOCK - 1) / BLOCK; }

static INLINE uint32_t own_activity(const component *c, const uint8_t *e, ptrdiff_t stride) {
  const uint8_t *w = c->own_context;
  return (uint32_t)(w[0] * e[-1] + w[1] * e[-stride] + w[2] * e[-stride - 1] + w[3] * e[-stride + 1] +
                    w[4] * e[-2] + w[5] * e[-2 * stride]);
}

static inline void fill_context_base(const component *c, int32_t width, int32_t height) {
  for (int32_t y = 0; y < height; y++) {
    uint16_t *out = c->context_base + (size_t)y * (size_t)width;
    memset(out, 0, (size_t)width * sizeof *out);
    for (int32_t i = 0; i < c->from.count; i++) {
      const plane *p = &c->from.at[i];
      const uint8_t *e = p->error + y * p->stride, *n = e - p->stride, *s = e + p->stride;
      const uint8_t *w = c->source_context[i];
      for (int32_t x = 0; x < width; x++)
        out[x] =
            (uint16_t)(out[x] + w[0] * e[x] + w[1] * e[x - 1] + w[2] * e[x + 1] + w[3] * n[x] + w[4] * s[x]);
    }
  }
}

/// Lower bounds of levels 1… of the activity in quarters of its unit.
static const uint16_t level_bounds[LEVELS - 1] = {1,  2,  3,  4,  5,  6,  7,  8,  10,  12,  14,  16,  19, 22,
                                                  26, 31, 37, 44, 53, 64, 78, 96, 120, 152, 200, 270, 400};
enum { ACTIVITIES = 512, ACTIVITY_SHIFT = 4 };

static inline void fill_levels(uint8_t level_of[ACTIVITIES]) {
  int level = 0;
  for (int a = 0; a < ACTIVITIES; a++) {
    while (level < LEVELS - 1 && a >= level_bounds[level])
      level++;
    level_of[a] = (uint8_t)level;
  }
}

static INLINE uint32_t activity_index(uint32_t activity) {
  const uint32_t a = activity >> ACTIVITY_SHIFT;
  return a < ACTIVITIES ? a : ACTIVITIES - 1;
}

// ---- Distributions

typedef struct distribution {
  uint8_t first[RANS_SLOTS >> START_SHIFT]; // the symbol of slot j << START_SHIFT
  int32_t minimum;                          // of symbol 0; the last symbol is the escape
  int32_t symbols;
  struct {
    uint16_t start, frequency;
  } symbol[MOST_SYMBOLS + 1];
} distribution;

/// 2^30 P(T > t), t ≥ 0 in 1/16 of a sample.
static inline uint32_t tail_at(const uint32_t *tail, uint64_t inverse, uint32_t t, uint32_t step) {
  const uint64_t at = inverse * t / step;
  const uint64_t i = at >> 16;
  if (i >= SHAPE_POINTS - 1)
    return 0;
  return tail[i] - (uint32_t)((uint64_t)(tail[i] - tail[i + 1]) * (at & 65535) >> 16);
}

/// Frequencies of the symbols −reach … reach and the escape for predictions `offset` eighths of a sample above a
/// sample (−4…3): the reach; the escape is at 2 · reach + 1.
static inline int32_t frequencies(uint16_t *frequency, int32_t scale, int32_t shape, int32_t offset,
                                  int32_t step) {
  const uint32_t *tail = shape_tail[shape];
  const uint32_t inverse = scale_inverse[scale], s = (uint32_t)step;
  int32_t reach = 2;
  while (reach < (MOST_SYMBOLS - 2) / 2 && tail_at(tail, inverse, (uint32_t)(16 * reach + 8) * s, s) >> 17)
    reach++;
  const int32_t n = 2 * reach + 2;
  const uint64_t free = RANS_SLOTS - 8 - (uint64_t)n;
  // Mass below the upper edge of each symbol, of 2^31.
  uint64_t below = 0;
  uint32_t used = 0, most = 0;
  for (int32_t i = 0; i < n - 1; i++) {
    const int32_t edge = (16 * (i - reach) + 8) * step - 2 * offset;
    const uint64_t mass = edge < 0 ? tail_at(tail, inverse, (uint32_t)-edge, s)
                                   : (UINT64_C(1) << 31) - tail_at(tail, inverse, (uint32_t)edge, s);
    frequency[i] = (uint16_t)(1 + ((mass - below) * free >> 31));
    below = mass;
    used += frequency[i];
    most = frequency[i] > frequency[most] ? (uint32_t)i : most;
  }
  const uint32_t escape = 8 + (uint32_t)(((UINT64_C(1) << 31) - below) * free >> 31);
  frequency[n - 1] = (uint16_t)escape;
  frequency[most] = (uint16_t)(frequency[most] + (RANS_SLOTS - used - escape));
  return reach;
}

static inline void fill_distribution(distribution *d, int32_t scale, int32_t shape, int32_t offset,
                                     int32_t step) {
  uint16_t frequency[MOST_SYMBOLS];
  const int32_t reach = frequencies(frequency, scale, shape, offset, step);
  d->minimum = -reach;
  d->symbols = 2 * reach + 2;
  uint32_t start = 0, j = 0;
  for (int32_t i = 0; i < d->symbols; i++) {
    d->symbol[i].start = (uint16_t)start;
    d->symbol[i].frequency = frequency[i];
    start += frequency[i];
    for (; j << START_SHIFT < start; j++)
      d->first[j] = (uint8_t)i;
  }
  d->symbol[d->symbols].start = (uint16_t)RANS_SLOTS;
}

static inline void fill_distributions(distribution *d, const component *c, int32_t step) {
  for (int32_t level = 0; level < LEVELS; level++) {
    for (int32_t phase = 0; phase < PHASES; phase++) {
      distribution *to = d + level * PHASES + phase;
      // Levels without samples repeat the one before.
      if (level && c->scale[level] == c->scale[level - 1] && c->shape[level] == c->shape[level - 1])
        *to = to[-PHASES];
      else
        fill_distribution(to, c->scale[level], c->shape[level], phase - 4, step);
    }
  }
}

static INLINE int32_t decode_value(coder *c, uint32_t lane, const distribution *d) {
  const uint32_t x = c->state[lane], slot = x & (RANS_SLOTS - 1);
  uint32_t i = d->first[slot >> START_SHIFT];
  while (slot >= d->symbol[i + 1].start)
    i++;
  c->state[lane] = rans_renormalise(c, d->symbol[i].frequency * (x >> RANS_BITS) + slot - d->symbol[i].start);
  if (__builtin_expect((int32_t)i == d->symbols - 1, 0))
    return (int32_t)code_raw(c, lane, 0, ESCAPE_BITS, 1) - 256;
  return d->minimum + (int32_t)i;
}

// ---- Parameters

typedef struct parameter_models {
  bit_model classes[16], same[9], index[16];
  bit_model tap[(1 + MOST_SOURCES) * TAPS][NUMBER_MODELS];
  bit_model context[OWN_CONTEXTS + SOURCE_CONTEXTS][NUMBER_MODELS];
  bit_model scale[NUMBER_MODELS], shape[SHAPES];
} parameter_models;

static inline int is_anchor(int32_t tap) {
  return tap < TAPS ? tap == OWN_ANCHOR : tap % TAPS == SOURCE_ANCHOR;
}

static inline int has_weight(int32_t tap) { return !is_anchor(tap) && (tap < TAPS || tap % TAPS < 12); }

/// The anchors' weights follow from the others: the component's own add up to 1, those of each source to 0.
static inline void set_anchors(const component *c, predictor *p) {
  for (int32_t g = 0; g <= c->from.count; g++) {
    int16_t *w = p->weight + g * TAPS;
    int32_t sum = 0;
    const int32_t anchor = g ? SOURCE_ANCHOR : OWN_ANCHOR;
    for (int32_t k = 0; k < TAPS; k++)
      sum += k == anchor ? 0 : w[k];
    w[anchor] = (int16_t)((g ? 0 : 1 << WEIGHT_BITS) - sum);
  }
}

/// Everything of a component that the payload holds before its samples. −1 for a value out of range.
static INLINE int code_parameters(coder *k, parameter_models *m, component *c, int32_t width, int32_t height,
                                  const int decoding) {
  bit_models_reset((bit_model *)m, sizeof *m / sizeof(bit_model));
  c->classes = 1 + (int32_t)code_tree(k, m->classes, (uint32_t)c->classes - 1, 4, decoding);
  const int32_t taps = (1 + c->from.count) * TAPS;
  for (int32_t i = 0; i < c->classes; i++) {
    int16_t *w = c->predictors[i].weight;
    if (decoding)
      memset(w, 0, sizeof c->predictors[i].weight);
    for (int32_t t = 0; t < taps; t++)
      if (has_weight(t))
        w[t] = (int16_t)code_signed(k, m->tap[t], w[t], decoding);
    if (decoding)
      set_anchors(c, &c->predictors[i]);
  }
  if (c->classes > 1) {
    const int32_t w = blocks(width), h = blocks(height);
    for (int32_t y = 0; y < h; y++) {
      for (int32_t x = 0; x < w; x++) {
        uint8_t *at = c->class_of + (size_t)y * (size_t)w + x;
        const int32_t left = x ? at[-1] : 0, top = y ? at[-w] : 0;
        const int32_t corner = x && y ? at[-w - 1] : 0;
        bit_model *same = m->same + 4 * (left == top) + 2 * (corner == top);
        if (code_bit(k, same, *at == left, decoding)) {
          *at = (uint8_t)left;
        } else if (left != top && code_bit(k, same + 1, *at == top, decoding)) {
          *at = (uint8_t)top;
        } else {
          *at = (uint8_t)code_tree(k, m->index, *at, 4, decoding);
          if (*at >= c->classes)
            return -1;
        }
      }
    }
  } else if (decoding) {
    memset(c->class_of, 0, (size_t)blocks(width) * (size_t)blocks(height));
  }
  uint32_t sum = 0;
  for (int32_t i = 0; i < OWN_CONTEXTS; i++) {
    const uint32_t n = code_number(k, m->context[i], c->own_context[i], decoding);
    if (n > 255)
      return -1;
    c->own_context[i] = (uint8_t)n;
  }
  for (int32_t s = 0; s < c->from.count; s++) {
    for (int32_t i = 0; i < SOURCE_CONTEXTS; i++) {
      const uint32_t n = code_number(k, m->context[OWN_CONTEXTS + i], c->source_context[s][i], decoding);
      sum += n;
      if (n > 255 || sum > 256)
        return -1;
      c->source_context[s][i] = (uint8_t)n;
    }
  }
  int32_t scale = SCALES / 2;
  for (int32_t i = 0; i < LEVELS; i++) {
    scale += code_signed(k, m->scale, c->scale[i] - scale, decoding);
    if (scale < 0 || scale >= SCALES)
      return -1;
    c->scale[i] = (uint8_t)scale;
    c->shape[i] = (uint8_t)code_tree(k, m->shape, c->shape[i], 3, decoding);
  }
  return 0;
}

// ---- What both directions prepare

typedef struct job {
  component component;
  plane planes[SC_RESIDUAL_COMPONENTS];
  plane base;
  parameter_models *models;
  distribution *distributions; // [LEVELS][PHASES]
  uint8_t level_of[ACTIVITIES];
} job;

static inline void take_job(arena *a, job *j, const sc_residual_group *g) {
  for (int32_t i = 0; i < g->components; i++)
    j->planes[i] = take_plane(a, g->width, g->height);
  if (g->base[0])
    j->base = take_plane(a, g->width, g->height);
  j->component.class_of = arena_take(a, (size_t)blocks(g->width) * (size_t)blocks(g->height));
  j->component.context_base = arena_take(a, (size_t)g->width * (size_t)g->height * sizeof(uint16_t));
  j->models = arena_take(a, sizeof *j->models);
  j->distributions = arena_take(a, sizeof(distribution) * LEVELS * PHASES);
}

/// Sources of a component: the ones before it, then the base.
static inline void start_component(job *j, const sc_residual_group *g, int32_t i) {
  component *c = &j->component;
  c->own = j->planes[i];
  c->from = (sources){.count = i};
  for (int32_t k = 0; k < i; k++) {
    c->from.at[k] = j->planes[k];
  }
  if (g->base[i]) {
    fill_base(&j->base, g, i);
    c->from.at[i] = j->base;
    c->from.count++;
  }
  start_plane(&c->own, g->width);
}

#endif
