// SPDX-License-Identifier: BSD-3-Clause
//
// The pattern mode, for screens, drawings and masks: whole pixels are found again where the same neighbourhood was seen
// before (a context-hash predictor, as the match models of lossless compressors), or copied from a neighbour
// (as in PWC: Ausbeck 2000), or written out. All decisions are adaptive and binary, and flat areas go by in runs.
// The masked mode does so in the blocks of a mask; pixels of others are 0 to it, and become those of the base.
#include <assert.h>

#include "residual_internal.h"

enum {
  MARGIN = 4, // pixels left and right of a row
  ROWS_ABOVE = 2,
  LARGE_BITS = 16,
  MIDDLE_BITS = 15,
  SMALL_BITS = 13, // entries of the three tables
  KINDS = 4,       // whose the first guess is: large, middle, small table; the left neighbour
  BUCKETS = 16,    // of an entry's reliability
  RUNS = 3,
  SHORTEST = 16, // runs of 256, 64, 16 pixels
  CANDIDATES = 8,
  COLOURS = 256, // of the palette; and of the cache
  BLOCK = SC_RESIDUAL_BLOCK,
};

/// What followed a neighbourhood. Only for a new neighbourhood is `value` replaced at once.
typedef struct entry {
  uint32_t value; // value | check << 24
  uint16_t hits;  // P(it is right) in 1/65536
  uint16_t seen;  // 0: empty
} entry;

typedef struct models {
  bit_model row[4];
  bit_model run[RUNS][4];
  bit_model first[KINDS][BUCKETS][8];
  bit_model literal[KINDS][5][8];
  bit_model candidate[KINDS][CANDIDATES];
  bit_model index[16][COLOURS];
  bit_model cached[5];
  bit_model cache_index[COLOURS];
  bit_model residual[SC_RESIDUAL_COMPONENTS][8][4][NUMBER_MODELS];
  bit_model palette[1 + SC_RESIDUAL_COMPONENTS][NUMBER_MODELS];
  bit_model mask[8];
} models;

typedef struct pattern {
  models models;
  entry large[1 << LARGE_BITS], middle[1 << MIDDLE_BITS], small[1 << SMALL_BITS];
  uint32_t cache[COLOURS];
  uint32_t palette[COLOURS]; // ascending
  int32_t colours;           // 0 without a palette
  int32_t index_bits;
  uint32_t *value;  // at (0, 0): packed pixels, first component high; or places in the palette
  uint8_t *history; // at (0, 0): 1 the first guess was right, 2 a literal
  uint32_t *run;    // at 0: how many pixels of the row above are equal from here on
  uint32_t *wanted; // [height][width] of the encoder
  uint8_t *mask;    // [blocks in height][blocks in width]; NULL for all
  int32_t across;   // blocks in width
  ptrdiff_t stride;
} pattern;

/// Lower bounds of buckets 4…15 of an entry's hits.
static const uint16_t bucket_bounds[BUCKETS - 4] = {6554,  16384, 26214, 36045, 45875, 52429,
                                                    57672, 60948, 62915, 64225, 64881, 65208};

static INLINE uint32_t bucket_of(const entry *e) {
  if (e->seen < 4)
    return e->seen - 1u;
  uint32_t b = 3;
  for (int i = 0; i < BUCKETS - 4; i++)
    b += e->hits >= bucket_bounds[i];
  return b;
}

static INLINE void learn(entry *e, uint32_t check, uint32_t value) {
  static const uint8_t rate[8] = {1, 1, 2, 2, 3, 3, 4, 4};
  const uint32_t tagged = value | check << 24;
  if (!e->seen || e->value >> 24 != check) {
    *e = (entry){tagged, 1u << 15, 1};
    return;
  }
  const int r = rate[e->seen < 8 ? e->seen : 7];
  if (e->value == tagged) {
    e->hits = (uint16_t)(e->hits + ((65535 - e->hits) >> r));
    e->seen = (uint16_t)(e->seen + (e->seen < 255));
  } else {
    e->hits = (uint16_t)(e->hits - (e->hits >> r));
    if (e->hits < 20000) {
      e->value = tagged;
      e->hits = 1u << 14;
      e->seen = 4;
    }
  }
}

static INLINE uint32_t mix(uint32_t h) {
  h ^= h >> 15;
  h *= 0x85EBCA6Bu;
  return h ^ h >> 13;
}

static INLINE int32_t part(const pattern *p, const sc_residual_group *g, uint32_t value, int32_t k) {
  if (p->colours)
    value = p->palette[value];
  return (int32_t)(value >> 8 * (g->components - 1 - k) & 255);
}

/// Whether the encoder may write `value` where it wants `wanted`.
static INLINE int is_near(const pattern *p, const sc_residual_group *g, uint32_t value, uint32_t wanted) {
  if (value == wanted)
    return 1;
  if (!g->delta)
    return 0;
  for (int32_t k = 0; k < g->components; k++) {
    const int32_t d = part(p, g, value, k) - part(p, g, wanted, k);
    if (d > g->delta || d < -g->delta)
      return 0;
  }
  return 1;
}

static INLINE int32_t median(int32_t w, int32_t n, int32_t nw) {
  const int32_t low = w < n ? w : n, high = w < n ? n : w;
  return nw >= high ? low : nw <= low ? high : w + n - nw;
}

static INLINE int32_t distance(int32_t a, int32_t b) { return a < b ? b - a : a - b; }

/// A pixel from its components, each from the median of its neighbours' (less the first component's: Weinberger,
/// Seroussi, Sapiro 2000).
static INLINE uint32_t code_components(coder *c, pattern *p, const sc_residual_group *g, const uint32_t *v,
                                       uint32_t wanted, const int decoding) {
  static const uint8_t activity_of[64] = {0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
                                          5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6,
                                          6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6};
  const uint32_t left = v[-1], top = v[-p->stride], corner = v[-p->stride - 1], right = v[-p->stride + 1];
  const int32_t step = 2 * g->delta + 1, shift = 8 * (g->components - 1);
  const int32_t w0 = (int32_t)(left >> shift & 255), n0 = (int32_t)(top >> shift & 255);
  const int32_t c0 = (int32_t)(corner >> shift & 255), e0 = (int32_t)(right >> shift & 255);
  const int32_t rough = distance(w0, c0) + distance(c0, n0) + distance(n0, e0);
  const uint32_t activity = rough < 64 ? activity_of[rough] : 7;
  uint32_t value = 0;
  int32_t first = 0, size = 0;
  for (int32_t k = 0; k < g->components; k++) {
    const int32_t s = shift - 8 * k;
    const int32_t w = (int32_t)(left >> s & 255), n = (int32_t)(top >> s & 255),
                  m = (int32_t)(corner >> s & 255);
    int32_t guess = k ? first + median(w - w0, n - n0, m - c0) : median(w, n, m);
    guess = guess < 0 ? 0 : guess > 255 ? 255 : guess;
    int32_t q = 0;
    if (!decoding) {
      const int32_t d = (int32_t)(wanted >> s & 255) - guess;
      q = d < 0 ? -((g->delta - d) / step) : (d + g->delta) / step;
    }
    q = code_signed(c, p->models.residual[k][activity][size], q, decoding);
    int32_t sample = guess + q * step;
    sample = sample < 0 ? 0 : sample > 255 ? 255 : sample;
    value |= (uint32_t)sample << s;
    const int32_t a = q < 0 ? -q : q;
    size = k ? (a + size > 8 ? 3 : size) : a > 8 ? 3 : a > 2 ? 2 : a > 0;
    if (!k)
      first = sample;
  }
  return value;
}

static INLINE uint32_t code_literal(coder *c, pattern *p, const sc_residual_group *g, const uint32_t *v,
                                    uint32_t literals, uint32_t wanted, const int decoding) {
  if (p->colours) {
    const uint32_t i = code_tree(c, p->models.index[v[-1] & 15], wanted, p->index_bits, decoding);
    return i < (uint32_t)p->colours ? i : 0;
  }
  if (g->components == 1)
    return code_components(c, p, g, v, wanted, decoding);
  const uint32_t place = wanted * 0x9E3779B1u >> 24;
  uint32_t value;
  if (code_bit(c, p->models.cached + literals, p->cache[place] == wanted, decoding)) {
    value = p->cache[code_tree(c, p->models.cache_index, place, 8, decoding)];
  } else {
    value = code_components(c, p, g, v, wanted, decoding);
    p->cache[value * 0x9E3779B1u >> 24] = value;
  }
  return value;
}

/// One pixel, from the guesses of the tables and the neighbours.
static INLINE void code_pixel(coder *c, pattern *p, const sc_residual_group *g, uint32_t *v, uint8_t *history,
                              uint32_t wanted, const int decoding) {
  const ptrdiff_t s = p->stride;
  const uint32_t w = v[-1], n = v[-s], nw = v[-s - 1], ne = v[-s + 1], ww = v[-2], nn = v[-2 * s];
  const uint32_t h0 = mix(w * 0x9E3779B1u + n * 0x85EBCA77u);
  const uint32_t sum = w * 0x9E3779B1u + n * 0xC2B2AE3Du + nw * 0x27D4EB2Fu + ne * 0x165667B1u +
                       ww * 0xD6E8FEB9u + nn * 0xCC9E2D51u;
  const uint32_t h1 = mix(sum);
  const uint32_t h2 =
      mix(sum + v[-3] * 0x1B873593u + v[-s - 2] * 0xE6546B65u + v[-s + 2] * 0x2545F491u +
          v[-2 * s - 1] * 0x5BD1E995u + v[-2 * s + 1] * 0x7FEB352Du + v[-s + 3] * 0x846CA68Bu);
  entry *const large = p->large + (h2 >> (32 - LARGE_BITS));
  entry *const middle = p->middle + (h1 >> (32 - MIDDLE_BITS));
  entry *const small = p->small + (h0 >> (32 - SMALL_BITS));
  const uint32_t k2 = h2 & 255, k1 = h1 & 255, k0 = h0 & 255;
  const int has2 = large->seen && large->value >> 24 == k2;
  const int has1 = middle->seen && middle->value >> 24 == k1;
  const int has0 = small->seen && small->value >> 24 == k0;
  const uint32_t v2 = large->value & 0xFFFFFF, v1 = middle->value & 0xFFFFFF, v0 = small->value & 0xFFFFFF;

  const uint32_t kind = has2 ? 0 : has1 ? 1 : has0 ? 2 : 3;
  const uint32_t guess = has2 ? v2 : has1 ? v1 : has0 ? v0 : w;
  const uint32_t bucket = has2 ? bucket_of(large) : has1 ? bucket_of(middle) : has0 ? bucket_of(small) : 0;
  const uint32_t right = (history[-1] & 1u) | (history[-s] & 1u) << 1 | (history[-s + 1] & 1u) << 2;
  uint32_t value = guess;
  uint8_t mark = 1;
  if (!code_bit(c, &p->models.first[kind][bucket][right], is_near(p, g, guess, wanted), decoding)) {
    mark = 0;
    uint32_t list[CANDIDATES + 1];
    int32_t count = 0;
    list[CANDIDATES] = 0;
#define OFFER(is, candidate)                                                                                 \
  do {                                                                                                       \
    const uint32_t offered = (candidate);                                                                    \
    int is_new = (is) && offered != guess;                                                                   \
    for (int32_t i = 0; i < count; i++)                                                                      \
      is_new &= list[i] != offered;                                                                          \
    list[count] = offered;                                                                                   \
    count += is_new;                                                                                         \
  } while (0)
    OFFER(has1, v1);
    OFFER(has0, v0);
    OFFER(1, w);
    OFFER(1, n);
    OFFER(1, ne);
    OFFER(1, nw);
    OFFER(1, ww);
    OFFER(1, nn);
#undef OFFER
    const uint32_t literals =
        (uint32_t)((history[-1] >> 1) + (history[-s] >> 1) + (history[-s + 1] >> 1) + (history[-s - 1] >> 1));
    const uint32_t equal = (uint32_t)(w == n) | (uint32_t)(w == nw) << 1 | (uint32_t)(n == ne) << 2;
    int32_t at = count;
    if (!decoding) {
      at = 0;
      while (at < count && !is_near(p, g, list[at], wanted))
        at++;
    }
    const int is_literal =
        !count || code_bit(c, &p->models.literal[kind][literals][equal], at == count, decoding);
    if (is_literal) {
      mark = 2;
      value = code_literal(c, p, g, v, literals, wanted, decoding);
    } else {
      int32_t i = 0;
      while (i < count - 1 && !code_bit(c, &p->models.candidate[kind][i], at == i, decoding))
        i++;
      value = list[i];
    }
  }
  *v = value;
  *history = mark;
  learn(large, k2, value);
  learn(middle, k1, value);
  learn(small, k0, value);
}

static INLINE void code_palette(coder *c, pattern *p, const sc_residual_group *g, const int decoding) {
  const int has = (int)code_raw(c, 0, p->colours > 0, 1, decoding);
  if (!has) {
    p->colours = 0;
    return;
  }
  p->colours = 1 + (int32_t)code_raw(c, 0, (uint32_t)p->colours - 1, 8, decoding);
  p->index_bits = 0;
  while (1 << p->index_bits < p->colours)
    p->index_bits++;
  const int32_t shift = 8 * (g->components - 1);
  uint32_t before = 0;
  for (int32_t i = 0; i < p->colours; i++) {
    const uint32_t colour = p->palette[i];
    const uint32_t first =
        before + code_number(c, p->models.palette[0], (colour >> shift) - before, decoding);
    uint32_t value = (first & 255) << shift;
    for (int32_t k = 1; k < g->components; k++) {
      const int32_t s = shift - 8 * k;
      const int32_t d =
          code_signed(c, p->models.palette[k], (int32_t)(colour >> s & 255) - (int32_t)first, decoding);
      value |= (uint32_t)(((int32_t)first + d) & 255) << s;
    }
    before = first & 255;
    p->palette[i] = value;
  }
}

static int32_t blocks_of(int32_t size) { return (size + BLOCK - 1) / BLOCK; }

static INLINE void code_mask(coder *c, pattern *p, const sc_residual_group *g, const int decoding) {
  const int32_t across = p->across, down = blocks_of(g->height);
  for (int32_t y = 0; y < down; y++) {
    uint8_t *m = p->mask + (ptrdiff_t)y * across;
    for (int32_t x = 0; x < across; x++) {
      const int left = x > 0 && m[x - 1], above = y > 0 && m[x - across],
                right = y > 0 && x + 1 < across && m[x - across + 1];
      m[x] = (uint8_t)code_bit(c, p->models.mask + left + 2 * above + 4 * right, m[x], decoding);
    }
  }
}

/// Pixels first … last − 1 of a row, which are not in the mask.
static INLINE void leave(uint32_t *v, uint8_t *history, int32_t first, int32_t last) {
  memset(v + first, 0, (size_t)(last - first) * sizeof *v);
  memset(history + first, 1, (size_t)(last - first));
}

/// Adds what was coded since `from` to a block's cost: each decision rounded down, so that blocks never cost more than all.
static void charge(const coder *c, size_t from, uint32_t *cost) {
  for (size_t i = from; i < c->used && i < c->capacity; i++) {
    const uint32_t frequency = (c->symbols[i] >> 15 & (RANS_SLOTS - 1)) + 1;
    *cost += RANS_BITS * LOG_ONE - log2_of(frequency) - ((frequency & (frequency - 1)) != 0);
  }
}

static INLINE void code_pixels(coder *c, pattern *p, const sc_residual_group *g, const int masked,
                               const int decoding) {
  const int32_t width = g->width, height = g->height, across = p->across;
  const ptrdiff_t s = p->stride;
  int32_t same_rows = 0;
  for (int32_t y = 0; y < height; y++) {
    uint32_t *v = p->value + y * s;
    uint8_t *history = p->history + y * s;
    const uint32_t *wanted = decoding ? NULL : p->wanted + (size_t)y * (size_t)width;
    for (int32_t x = -MARGIN; x < 0; x++)
      v[x] = v[-s];
    history[-1] = history[-s];
    const uint8_t *mask = masked ? p->mask + (ptrdiff_t)(y / BLOCK) * across : NULL;
    uint32_t *costs = decoding || !g->costs ? NULL : g->costs + (ptrdiff_t)(y / BLOCK) * across;
    int is_same = 1, is_coded = !masked;
    for (int32_t b = 0; masked && b < across; b++)
      is_coded |= mask[b];
    if (!decoding)
      for (int32_t x = 0; x < width && is_same; x++)
        is_same = (masked && !mask[x / BLOCK]) || is_near(p, g, v[x - s], wanted[x]);
    if (is_coded) {
      is_same = code_bit(c, p->models.row + same_rows, is_same, decoding);
      same_rows = (same_rows << 1 | is_same) & 3;
    }
    if (is_same) {
      memcpy(v, v - s, (size_t)width * sizeof *v);
      for (int32_t x = 0; x < width; x++)
        history[x] = 1;
      for (int32_t b = 0; masked && b < across; b++)
        if (!mask[b])
          leave(v, history, b * BLOCK, b + 1 < across ? (b + 1) * BLOCK : width);
    } else {
      int32_t retry = 0, end = masked ? 0 : width; // of the coded blocks that x is in
      for (int32_t x = 0; x < width;) {
        if (masked && x >= end) {
          int32_t b = x / BLOCK;
          const int is_left = mask[b] == 0;
          while (b < across && (mask[b] == 0) == is_left)
            b++;
          end = b < across ? b * BLOCK : width;
          if (is_left) {
            leave(v, history, x, end);
            x = end;
            continue;
          }
        }
        const size_t from = c->used;
        if (x >= retry && v[x - 1] == v[x - s - 1] && p->run[x - 1] > SHORTEST) {
          int32_t size = SHORTEST << 2 * (RUNS - 1), level = 0;
          for (; level < RUNS; level++, size /= 4) {
            if (x + size > end || p->run[x - 1] <= (uint32_t)size)
              continue;
            int is_run = 1;
            if (!decoding)
              for (int32_t k = 0; k < size && is_run; k++)
                is_run = is_near(p, g, v[x - 1], wanted[x + k]);
            const uint32_t longer = p->run[x - 1] > (uint32_t)(size + size / 2);
            if (code_bit(c, &p->models.run[level][longer + 2 * (v[x - 2] == v[x - 1])], is_run, decoding))
              break;
          }
          if (level < RUNS) {
            for (int32_t k = 0; k < size; k++)
              v[x + k] = v[x - 1];
            memset(history + x, 1, (size_t)size);
            if (costs)
              charge(c, from, costs + x / BLOCK);
            x += size;
            continue;
          }
          retry = x + SHORTEST;
        }
        code_pixel(c, p, g, v + x, history + x, decoding ? 0 : wanted[x], decoding);
        if (costs)
          charge(c, from, costs + x / BLOCK);
        x++;
      }
    }
    for (int32_t x = 0; x < MARGIN; x++)
      v[width + x] = v[width - 1];
    history[width] = history[width - 1];
    uint32_t run = 0;
    for (int32_t x = width - 1; x >= -1; x--) {
      run = v[x] == v[x + 1] ? run + 1 : 1;
      p->run[x] = run;
    }
    if (decoding && c->next > c->count)
      return;
  }
}

static pattern *take_pattern(arena *a, const sc_residual_group *g, int masked, int encoding) {
  const ptrdiff_t stride = g->width + 2 * MARGIN;
  const size_t count = (size_t)stride * ((size_t)g->height + ROWS_ABOVE);
  pattern *p = arena_take(a, sizeof *p);
  uint32_t *value = arena_take(a, count * sizeof *value);
  uint8_t *history = arena_take(a, count);
  uint32_t *run = arena_take(a, ((size_t)g->width + 2) * sizeof *run);
  uint32_t *wanted = encoding ? arena_take(a, (size_t)g->width * (size_t)g->height * sizeof *wanted) : NULL;
  const int32_t across = blocks_of(g->width);
  uint8_t *mask = masked ? arena_take(a, (size_t)across * (size_t)blocks_of(g->height)) : NULL;
  if (!a->at)
    return p;
  memset(p->large, 0, sizeof p->large);
  memset(p->middle, 0, sizeof p->middle);
  memset(p->small, 0, sizeof p->small);
  memset(p->cache, 0, sizeof p->cache);
  memset(p->palette, 0, sizeof p->palette);
  bit_models_reset((bit_model *)&p->models, sizeof p->models / sizeof(bit_model));
  p->stride = stride;
  p->value = value + ROWS_ABOVE * stride + MARGIN;
  p->history = history + ROWS_ABOVE * stride + MARGIN;
  p->run = run + 1;
  p->wanted = wanted;
  p->mask = mask;
  p->across = across;
  memset(value, 0, (size_t)(ROWS_ABOVE * stride) * sizeof *value);
  memset(history, 1, (size_t)(ROWS_ABOVE * stride));
  for (int32_t x = -1; x < g->width; x++)
    p->run[x] = (uint32_t)(g->width - x);
  return p;
}

/// Room for the decisions of one payload: what asks for more is noise, and no business of this mode.
static size_t most_symbols(const sc_residual_group *g) {
  return 8 * (size_t)g->width * (size_t)g->height * (size_t)g->components + (1u << 16);
}

size_t sc_residual_pattern_memory(const sc_residual_group *g, int masked, int encoding) {
  arena a = {0};
  take_pattern(&a, g, masked, encoding);
  if (encoding)
    arena_take(&a, most_symbols(g) * sizeof(uint32_t));
  return a.used;
}

int sc_residual_pattern_decode(const sc_residual_group *g, int masked, const uint8_t *payload, size_t size,
                               void *memory) {
  coder c;
  if (sc_residual_rans_open(&c, payload, size, 1))
    return -1;
  arena a = {.at = memory};
  pattern *p = take_pattern(&a, g, masked, 0);
  code_palette(&c, p, g, 1);
  if (masked) {
    code_mask(&c, p, g, 1);
    code_pixels(&c, p, g, 1, 1);
  } else {
    code_pixels(&c, p, g, 0, 1);
  }
  if (sc_residual_rans_close(&c, 1))
    return -1;
  for (int32_t y = 0; y < g->height; y++) {
    const uint32_t *v = p->value + y * p->stride;
    const uint8_t *mask = masked ? p->mask + (ptrdiff_t)(y / BLOCK) * p->across : NULL;
    for (int32_t x = 0; x < g->width; x++)
      for (int32_t k = 0; k < g->components; k++) {
        const ptrdiff_t at = y * g->pitch + x * g->step;
        g->samples[k][at] = masked && !mask[x / BLOCK] ? g->base[k][at] : (uint8_t)part(p, g, v[x], k);
      }
  }
  return 0;
}

/// The palette, if there are few colours, and the pixels in its terms.
static void find_palette(pattern *p, const sc_residual_group *g, int32_t limit) {
  const size_t count = (size_t)g->width * (size_t)g->height;
  p->colours = 0;
  uint32_t last = UINT32_MAX;
  for (size_t i = 0; i < count; i++) {
    const uint32_t v = p->wanted[i];
    if (v == last)
      continue;
    last = v;
    int32_t low = 0, high = p->colours;
    while (low < high) {
      const int32_t middle = (low + high) / 2;
      if (p->palette[middle] < v)
        low = middle + 1;
      else
        high = middle;
    }
    if (low < p->colours && p->palette[low] == v)
      continue;
    if (p->colours == limit) {
      p->colours = 0;
      return;
    }
    memmove(p->palette + low + 1, p->palette + low, (size_t)(p->colours - low) * sizeof *p->palette);
    p->palette[low] = v;
    p->colours++;
  }
  for (size_t i = 0; i < count; i++) {
    int32_t low = 0, high = p->colours - 1;
    while (low < high) {
      const int32_t middle = (low + high) / 2;
      if (p->palette[middle] < p->wanted[i])
        low = middle + 1;
      else
        high = middle;
    }
    p->wanted[i] = (uint32_t)low;
  }
}

/// Pixels that are not coded become one that is, so that the palette has no colour for them.
static void hide_others(const pattern *p, const sc_residual_group *g) {
  const int32_t across = p->across, blocks = across * blocks_of(g->height);
  int32_t first = 0;
  while (first < blocks - 1 && !p->mask[first])
    first++;
  uint32_t shown =
      p->wanted[(size_t)(first / across * BLOCK) * (size_t)g->width + (size_t)(first % across * BLOCK)];
  for (int32_t y = 0; y < g->height; y++)
    for (int32_t x = 0; x < g->width; x++) {
      uint32_t *to = p->wanted + (size_t)y * (size_t)g->width + x;
      if (p->mask[y / BLOCK * across + x / BLOCK])
        shown = *to;
      else
        *to = shown;
    }
}

size_t sc_residual_pattern_encode(const sc_residual_group *g, int masked, void *memory, uint8_t *out,
                                  size_t capacity) {
  arena a = {.at = memory};
  pattern *p = take_pattern(&a, g, masked, 1);
  const size_t symbols = most_symbols(g);
  coder c = {.symbols = arena_take(&a, symbols * sizeof(uint32_t)), .capacity = symbols};
  for (int32_t y = 0; y < g->height; y++) {
    uint32_t *to = p->wanted + (size_t)y * (size_t)g->width;
    for (int32_t x = 0; x < g->width; x++) {
      to[x] = 0;
      for (int32_t k = 0; k < g->components; k++)
        to[x] = to[x] << 8 | g->samples[k][y * g->pitch + x * g->step];
    }
  }
  const size_t blocks = (size_t)p->across * (size_t)blocks_of(g->height);
  if (masked) {
    memcpy(p->mask, g->mask, blocks);
    hide_others(p, g);
  }
  if (g->costs)
    memset(g->costs, 0, blocks * sizeof *g->costs);
  find_palette(p, g, g->components == 1 ? 64 : COLOURS);
  code_palette(&c, p, g, 0);
  if (masked) {
    code_mask(&c, p, g, 0);
    code_pixels(&c, p, g, 1, 0);
  } else {
    code_pixels(&c, p, g, 0, 0);
  }
  return sc_residual_rans_write(&c, 1, out, capacity);
}
