// SPDX-License-Identifier: BSD-3-Clause
//
// The predictive mode: linear predictors with weights from the payload, chosen for each block (as in TMW and MRP:
// Meyer and Tischer 1997; Matsuda et al. 2000), and static distributions chosen by the neighbouring errors.
#include <assert.h>
#include <math.h>

#include "residual_internal.h"
#include "residual_tables.h"

#if defined(__SSE2__) && !defined(SC_RESIDUAL_PLAIN)
#include <emmintrin.h>
#elif defined(__ARM_NEON) && !defined(SC_RESIDUAL_PLAIN)
#include <arm_neon.h>
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF // the encoder's choices are the same on every machine
#endif

enum {
  TAPS = 16,          // of the component itself, and of each source (12 in use)
  MOST_SOURCES = 3,   // two components and the base
  WEIGHT_BITS = 8,    // fractional bits of weights
  MOST_WEIGHT = 2047, // |weight| in the payload
  MOST_CLASSES = 16,  // predictors of a component
  BLOCK = 16,         // pixels
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

static plane take_plane(arena *a, int32_t width, int32_t height) {
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
static void start_plane(const plane *p, int32_t width) {
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

static void end_plane(const plane *p, int32_t width, int32_t height) {
  memcpy(p->value + height * p->stride - PAD, p->value + (height - 1) * p->stride - PAD,
         ((size_t)width + 2 * PAD) * sizeof *p->value);
  memcpy(p->error + height * p->stride - PAD, p->error + (height - 1) * p->stride - PAD,
         (size_t)width + 2 * PAD);
}

/// A component of the base as a source: its samples, and how rough it is there.
static void fill_base(const plane *p, const sc_residual_group *g, int32_t component) {
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

static int32_t blocks(int32_t n) { return (n + BLOCK - 1) / BLOCK; }

static INLINE uint32_t own_activity(const component *c, const uint8_t *e, ptrdiff_t stride) {
  const uint8_t *w = c->own_context;
  return (uint32_t)(w[0] * e[-1] + w[1] * e[-stride] + w[2] * e[-stride - 1] + w[3] * e[-stride + 1] +
                    w[4] * e[-2] + w[5] * e[-2 * stride]);
}

static void fill_context_base(const component *c, int32_t width, int32_t height) {
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

static void fill_levels(uint8_t level_of[ACTIVITIES]) {
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
static uint32_t tail_at(const uint32_t *tail, uint64_t inverse, uint32_t t, uint32_t step) {
  const uint64_t at = inverse * t / step;
  const uint64_t i = at >> 16;
  if (i >= SHAPE_POINTS - 1)
    return 0;
  return tail[i] - (uint32_t)((uint64_t)(tail[i] - tail[i + 1]) * (at & 65535) >> 16);
}

/// Frequencies of the symbols −reach … reach and the escape for predictions `offset` eighths of a sample above a
/// sample (−4…3): the reach; the escape is at 2 · reach + 1.
static int32_t frequencies(uint16_t *frequency, int32_t scale, int32_t shape, int32_t offset, int32_t step) {
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

static void fill_distribution(distribution *d, int32_t scale, int32_t shape, int32_t offset, int32_t step) {
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

static void fill_distributions(distribution *d, const component *c, int32_t step) {
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

static int is_anchor(int32_t tap) { return tap < TAPS ? tap == OWN_ANCHOR : tap % TAPS == SOURCE_ANCHOR; }

static int has_weight(int32_t tap) { return !is_anchor(tap) && (tap < TAPS || tap % TAPS < 12); }

/// The anchors' weights follow from the others: the component's own add up to 1, those of each source to 0.
static void set_anchors(const component *c, predictor *p) {
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

static void take_job(arena *a, job *j, const sc_residual_group *g) {
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
static void start_component(job *j, const sc_residual_group *g, int32_t i) {
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

// ---- Decoder

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

// ---- Encoder: fitting

enum { MOST_FEATURES = (1 + MOST_SOURCES) * TAPS + 1, ROW = 68, REFITS = 8, LOG_ONE = 1 << 10 };

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

/// 1024 log2(n), rounded down, n ≥ 1.
static uint32_t log2_of(uint32_t n) {
  const int e = 31 - __builtin_clz(n);
  uint64_t m = (uint64_t)n << 32 >> e; // [1, 2) with 32 bits
  uint32_t fraction = 0;
  for (int i = 0; i < 10; i++) {
    m = (m >> 1) * (m >> 1) >> 30;
    fraction <<= 1;
    if (m >> 33) {
      fraction |= 1;
      m >>= 1;
    }
  }
  return (uint32_t)e * LOG_ONE + fraction;
}

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
    sum_block(c, f, tap, n, x0, y0, x1, y1, effort < 2);
    float *m = f->blocks + (size_t)b * (size_t)size;
    for (int32_t i = 0; i <= n; i++)
      for (int32_t j = 0; j <= i; j++)
        *m++ = i == j ? f->sum[i][j] : 2 * f->sum[i][j];
    f->weight[b] = 1.0f / (1.0f + m[-1] / 64);
  }
  static const int32_t pixels_for_class[3] = {40000, 20000, 12000};
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
  for (int32_t round = 0; round < (classes > 1 ? REFITS : 2); round++) {
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
        m[i][i] += 4 * total;
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
    const float pixels = (effort < 2 ? 0.5f : 1.0f) * BLOCK * BLOCK;
    for (int32_t b = 0; b < count; b++) {
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
