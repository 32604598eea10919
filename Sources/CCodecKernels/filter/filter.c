// SPDX-License-Identifier: BSD-3-Clause
//
// A picture's filtering, band by band of rows of blocks. Rows come from the picture once, as 16-bit integers, before the
// rows above them are written, and stay in a ring for as long as they are seen.
#include <assert.h>

#include "filter_internal.h"

/// Rows of the ring, a power of two: a row of blocks sees 5 rows before it and 4 behind.
#define RING 16
#define BEFORE 5
#define BEHIND 4
#define PLANES 3

#if defined(__x86_64__)
static const sc_filter_kernels sse41 = {"sse41", sc_filter_sse41, sc_filter_activity_sse41,
                                        sc_filter_measure_sse41};
static const sc_filter_kernels avx2 = {"avx2", sc_filter_avx2, sc_filter_activity_avx2,
                                       sc_filter_measure_avx2};
#elif defined(__ARM_NEON)
static const sc_filter_kernels neon = {"neon", sc_filter_neon, sc_filter_activity_neon,
                                       sc_filter_measure_neon};
#elif defined(__wasm_simd128__)
static const sc_filter_kernels wasm128 = {"wasm128", sc_filter_wasm128, sc_filter_activity_wasm128,
                                          sc_filter_measure_wasm128};
#endif
static const sc_filter_kernels plain = {"c", sc_filter_c, sc_filter_activity_c, sc_filter_measure_c};

const sc_filter_kernels *sc_filter_kernels_get(sc_cpu cpu) {
  if (!sc_kernels_get(cpu))
    return NULL;
#if defined(__x86_64__)
  return cpu >= SC_CPU_AVX2 ? &avx2 : cpu == SC_CPU_SSE41 ? &sse41 : &plain;
#elif defined(__ARM_NEON)
  return cpu == SC_CPU_NEON ? &neon : &plain;
#elif defined(__wasm_simd128__)
  return cpu == SC_CPU_WASM128 ? &wasm128 : &plain;
#else
  return &plain;
#endif
}

// ---- Memory --------------------------------------------------------------------------------------------------------

typedef struct band {
  int32_t width, height; // of the job's grid
  int32_t blocks;        // in a row
  ptrdiff_t stride;
  int16_t *ring;            // [PLANES][RING][stride]
  int16_t *before, *behind; // [PLANES][BEFORE or BEHIND][stride]
  int16_t *delta;           // [PLANES][4][stride]; errors to measure
  uint16_t *sums;           // [3 rows of blocks][4][columns]
  uint8_t *shape, *skip;    // of a row of blocks
  sc_filter_sums_scratch *scratch;
} band;

static int32_t grid_width(const sc_filter_job *job) {
  return job->kind == SC_FILTER_CHROMA ? (job->width + 1) / 2 : job->width;
}
static int32_t grid_height(const sc_filter_job *job) {
  return job->kind == SC_FILTER_CHROMA ? (job->height + 1) / 2 : job->height;
}

int32_t sc_filter_block_rows(const sc_filter_job *job) { return (grid_height(job) + 3) / 4; }

static size_t take(size_t *used, size_t size) {
  const size_t at = *used;
  *used += (size + 63) / 64 * 64;
  return at;
}

static size_t lay(const sc_filter_job *job, int measures, uint8_t *memory, band *b) {
  b->width = grid_width(job);
  b->height = grid_height(job);
  b->blocks = (b->width + 3) / 4;
  const int32_t columns = sc_round_up(b->blocks, 4);
  b->stride = 4 * columns + 2 * SC_FILTER_MARGIN + 16;
  const size_t row = (size_t)b->stride * sizeof(int16_t);
  size_t used = 0;
  const size_t ring = take(&used, PLANES * RING * row), before = take(&used, PLANES * BEFORE * row),
               behind = take(&used, PLANES * BEHIND * row), delta = take(&used, PLANES * 4 * row),
               sums = take(&used, (size_t)3 * 4 * (size_t)columns * sizeof(uint16_t)),
               shape = take(&used, (size_t)columns), skip = take(&used, (size_t)columns),
               scratch = take(&used, measures ? PLANES * sizeof(sc_filter_sums_scratch) : 0);
  if (memory) {
    b->ring = (int16_t *)(memory + ring);
    b->before = (int16_t *)(memory + before);
    b->behind = (int16_t *)(memory + behind);
    b->delta = (int16_t *)(memory + delta);
    b->sums = (uint16_t *)(memory + sums);
    b->shape = memory + shape;
    b->skip = memory + skip;
    b->scratch = (sc_filter_sums_scratch *)(memory + scratch);
  }
  return used;
}

size_t sc_filter_memory(const sc_filter_job *job, int measures) {
  band b;
  return lay(job, measures, NULL, &b);
}

// ---- Rows ----------------------------------------------------------------------------------------------------------

static int32_t planes_of(const sc_filter_job *job) { return job->kind == SC_FILTER_LUMA ? 1 : PLANES; }

// Continues a row of `width` samples on both sides.
static void extend(int16_t *row, int32_t width, ptrdiff_t end) {
  for (int32_t i = 1; i <= SC_FILTER_MARGIN; i++)
    row[-i] = row[0];
  for (ptrdiff_t i = width; i < end; i++)
    row[i] = row[width - 1];
}

static const uint8_t *samples(const sc_component *c, int32_t y) { return c->base + y * c->row_stride; }

// Samples x … x + count − 1 of a row of a component as 16-bit integers.
static void widen(const sc_component *c, int32_t x, int32_t y, int32_t count, int16_t *restrict out) {
  const uint8_t *restrict p = samples(c, y) + x * c->step;
  if (c->step == 1)
    for (int32_t i = 0; i < count; i++)
      out[i] = p[i];
  else if (c->step == 3)
    for (int32_t i = 0; i < count; i++)
      out[i] = p[3 * i];
  else
    for (int32_t i = 0; i < count; i++)
      out[i] = p[i * c->step];
}

// Loads row y of all planes, the nearest one of the picture. out: [PLANES] rows, `next` apart.
static void load(const sc_filter_job *job, const band *b, int32_t y, int16_t *out, ptrdiff_t next) {
  y = sc_clamp(y, 0, b->height - 1);
  const sc_component *c = job->components;
  int16_t *restrict guide = out, *restrict first = out + next, *restrict second = out + 2 * next;
  switch (job->kind) {
  case SC_FILTER_LUMA:
    widen(&c[0], 0, y, b->width, guide);
    break;
  case SC_FILTER_RGB:
    widen(&c[0], 0, y, b->width, first);
    widen(&c[1], 0, y, b->width, guide);
    widen(&c[2], 0, y, b->width, second);
    for (int32_t x = 0; x < b->width; x++) {
      guide[x] = (int16_t)((first[x] + 2 * guide[x] + second[x] + 2) >> 2);
      first[x] = (int16_t)(first[x] - guide[x]);
      second[x] = (int16_t)(second[x] - guide[x]);
    }
    break;
  case SC_FILTER_CHROMA: {
    const uint8_t *upper = samples(&c[0], 2 * y),
                  *lower = samples(&c[0], 2 * y + 1 < job->height ? 2 * y + 1 : 2 * y);
    const ptrdiff_t step = c[0].step;
    for (int32_t x = 0; x < b->width; x++) {
      const ptrdiff_t left = 2 * x * step, right = 2 * x + 1 < job->width ? left + step : left;
      guide[x] = (int16_t)((upper[left] + upper[right] + lower[left] + lower[right] + 2) >> 2);
    }
    widen(&c[1], 0, y, b->width, first);
    widen(&c[2], 0, y, b->width, second);
    break;
  }
  }
  for (int32_t i = 0; i < planes_of(job); i++)
    extend(out + i * next, b->width, b->stride - SC_FILTER_MARGIN);
}

// The place of row y of a plane in the ring.
static int16_t *in_ring(const band *b, int32_t plane, int32_t y) {
  return b->ring + ((ptrdiff_t)plane * RING + (y & (RING - 1))) * b->stride + SC_FILTER_MARGIN;
}

void sc_filter_begin(const sc_filter_job *job, int32_t first, int32_t end, void *memory) {
  band b;
  lay(job, 0, memory, &b);
  for (int32_t i = 0; i < BEFORE; i++)
    load(job, &b, 4 * first - BEFORE + i, b.before + i * b.stride + SC_FILTER_MARGIN, BEFORE * b.stride);
  for (int32_t i = 0; i < BEHIND; i++)
    load(job, &b, 4 * end + i, b.behind + i * b.stride + SC_FILTER_MARGIN, BEHIND * b.stride);
}

// Row y of a band comes into the ring, which has lost row y − RING.
static void ring_row(const sc_filter_job *job, const band *b, int32_t first, int32_t end, int32_t y) {
  const int16_t *from = NULL;
  ptrdiff_t next = 0;
  if (y < 4 * first) {
    from = b->before + (y - 4 * first + BEFORE) * b->stride;
    next = BEFORE * b->stride;
  } else if (y >= 4 * end) {
    from = b->behind + (y - 4 * end) * b->stride;
    next = BEHIND * b->stride;
  }
  if (!from) {
    load(job, b, y, in_ring(b, 0, y), RING * b->stride);
    return;
  }
  for (int32_t i = 0; i < planes_of(job); i++)
    memcpy(in_ring(b, i, y) - SC_FILTER_MARGIN, from + i * next, (size_t)b->stride * sizeof *from);
}

// ---- Classes -------------------------------------------------------------------------------------------------------

static uint16_t *sums_row(const band *b, int32_t row, int32_t k) {
  const ptrdiff_t columns = sc_round_up(b->blocks, 4);
  return b->sums + (ptrdiff_t)(row % 3 * 4 + k) * columns;
}

static void activity(const sc_filter_job *job, const band *b, int32_t row) {
  const int16_t *rows[5];
  for (int32_t i = 0; i < 5; i++)
    rows[i] = in_ring(b, 0, 4 * row - 1 + i);
  uint16_t *sums[4];
  for (int32_t k = 0; k < 4; k++)
    sums[k] = sums_row(b, row, k);
  job->kernels->activity(rows, b->blocks, sums);
}

// From the sums over 3×3 blocks.
static uint8_t shape_of(uint32_t horizontal, uint32_t vertical, uint32_t falling, uint32_t rising) {
  const uint32_t all = horizontal + vertical;
  const uint32_t activity = (all >= 144) + (all >= 432) + (all >= 864) + (all >= 1728);
  const int exchanged = horizontal < vertical, mirrored = falling < rising;
  const uint64_t more = 1 + (exchanged ? vertical : horizontal),
                 less = 1 + (exchanged ? horizontal : vertical);
  const uint64_t more_diagonal = 1 + (mirrored ? rising : falling),
                 less_diagonal = 1 + (mirrored ? falling : rising);
  const int is_straight = more * less_diagonal > more_diagonal * less;
  const uint64_t a = is_straight ? more : more_diagonal, c = is_straight ? less : less_diagonal;
  const uint32_t direction = a < 2 * c ? 0 : (is_straight ? 1u : 3u) + (2 * a >= 9 * c);
  return (uint8_t)(SC_FILTER_TRANSFORMS * (5 * activity + direction) + (uint32_t)(2 * exchanged + mirrored));
}

static void classify(const band *b, int32_t row, int32_t rows) {
  const int32_t above = row > 0 ? row - 1 : 0, below = row + 1 < rows ? row + 1 : row;
  const uint16_t *p[4][3];
  for (int32_t k = 0; k < 4; k++) {
    p[k][0] = sums_row(b, above, k);
    p[k][1] = sums_row(b, row, k);
    p[k][2] = sums_row(b, below, k);
  }
  const int32_t last = b->blocks - 1;
  uint32_t left[4], middle[4];
#define COLUMN(k, x) ((uint32_t)p[k][0][x] + p[k][1][x] + p[k][2][x])
  for (int32_t k = 0; k < 4; k++)
    left[k] = middle[k] = COLUMN(k, 0);
  for (int32_t x = 0; x <= last; x++) {
    uint32_t sum[4];
    const int32_t next = x < last ? x + 1 : last;
    for (int32_t k = 0; k < 4; k++) {
      const uint32_t right = COLUMN(k, next);
      sum[k] = left[k] + middle[k] + right;
      left[k] = middle[k];
      middle[k] = right;
    }
    b->shape[x] = shape_of(sum[0], sum[1], sum[2], sum[3]);
  }
  for (int32_t x = last + 1; x < sc_round_up(b->blocks, 4); x++)
    b->shape[x] = b->shape[last];
}

// Brings the ring, the sums and the classes to a row of blocks of a band.
static void advance(const sc_filter_job *job, const band *b, int32_t first, int32_t end, int32_t row) {
  const int32_t rows = sc_filter_block_rows(job);
  if (row == first) {
    for (int32_t y = 4 * first - BEFORE; y < 4 * first + 4; y++)
      ring_row(job, b, first, end, y);
    if (first > 0)
      activity(job, b, first - 1);
  }
  for (int32_t y = 4 * row + 4; y < 4 * row + 4 + BEHIND; y++)
    ring_row(job, b, first, end, y);
  if (row == first)
    activity(job, b, first);
  if (row + 1 < rows)
    activity(job, b, row + 1);
  classify(b, row, rows);
}

static void window(const band *b, int32_t plane, int32_t row, const int16_t *rows[10]) {
  for (int32_t i = 0; i < 10; i++)
    rows[i] = in_ring(b, plane, 4 * row - 3 + i);
}

// ---- Application ---------------------------------------------------------------------------------------------------

#define CHUNK 64

static void put_samples(const uint8_t *samples, ptrdiff_t step, int32_t count, uint8_t *p) {
  if (step == 1)
    memcpy(p, samples, (size_t)count);
  else if (step == 3)
    for (int32_t i = 0; i < count; i++)
      p[3 * i] = samples[i];
  else
    for (int32_t i = 0; i < count; i++)
      p[step * i] = samples[i];
}

// Adds `delta`, all of whose elements up to CHUNK are there, to samples of a component.
static void change(const sc_component *c, int32_t x, int32_t y, int32_t count,
                   const int16_t *restrict delta) {
  int16_t old[CHUNK] = {0};
  uint8_t sample[CHUNK];
  widen(c, x, y, count, old);
  for (int32_t i = 0; i < CHUNK; i++) {
    const int16_t v = (int16_t)(old[i] + delta[i]);
    sample[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
  }
  put_samples(sample, c->step, count, c->base + y * c->row_stride + x * c->step);
}

static void write(const sc_filter_job *job, const band *b, int32_t row) {
  const sc_component *c = job->components;
  for (int32_t i = 0; i < 4 && 4 * row + i < b->height; i++) {
    const int32_t y = 4 * row + i;
    for (int32_t x = 0; x < b->width; x += CHUNK) {
      const int32_t count = b->width - x < CHUNK ? b->width - x : CHUNK;
      int16_t delta[PLANES][CHUNK] = {0};
      for (int32_t k = 0; k < PLANES; k++)
        memcpy(delta[k], b->delta + ((ptrdiff_t)4 * k + i) * b->stride + x, (size_t)count * sizeof **delta);
      if (job->kind == SC_FILTER_RGB) {
        int16_t red[CHUNK], green[CHUNK], blue[CHUNK];
        for (int32_t k = 0; k < CHUNK; k++) {
          red[k] = (int16_t)(delta[0][k] + delta[1][k]);
          green[k] = (int16_t)(delta[0][k] - ((delta[1][k] + delta[2][k]) >> 1));
          blue[k] = (int16_t)(delta[0][k] + delta[2][k]);
        }
        change(&c[0], x, y, count, red);
        change(&c[1], x, y, count, green);
        change(&c[2], x, y, count, blue);
      } else if (job->kind == SC_FILTER_LUMA) {
        change(&c[0], x, y, count, delta[0]);
      } else {
        change(&c[1], x, y, count, delta[1]);
        change(&c[2], x, y, count, delta[2]);
      }
    }
  }
}

void sc_filter_apply(const sc_filter_job *job, int32_t first, int32_t end, void *memory) {
  band b;
  lay(job, 0, memory, &b);
  memset(b.delta, 0, (size_t)PLANES * 4 * (size_t)b.stride * sizeof *b.delta);
  for (int32_t row = first; row < end; row++) {
    advance(job, &b, first, end, row);
    const int16_t *guide[10], *plane[10];
    window(&b, 0, row, guide);
    if (job->luma)
      job->kernels->filter(job->luma, SC_FILTER_LUMA_TAPS, guide, guide, b.shape, b.blocks, b.delta,
                           b.stride);
    for (int32_t k = 0; k < planes_of(job) - 1; k++) {
      if (!job->chroma[k])
        continue;
      window(&b, k + 1, row, plane);
      job->kernels->filter(job->chroma[k], SC_FILTER_CHROMA_TAPS, plane, guide, b.shape, b.blocks,
                           b.delta + (ptrdiff_t)4 * (k + 1) * b.stride, b.stride);
    }
    write(job, &b, row);
  }
}

// ---- Measurement ---------------------------------------------------------------------------------------------------

// Errors of row `i` of a row of blocks.
static void load_errors(const sc_filter_job *job, const band *b, const sc_component *original, int32_t row,
                        int32_t i) {
  const int32_t y = 4 * row + i;
  const sc_component *c = job->components, *o = original;
  int16_t *e[PLANES];
  for (int32_t k = 0; k < PLANES; k++)
    e[k] = b->delta + ((ptrdiff_t)4 * k + i) * b->stride;
  if (job->kind == SC_FILTER_RGB) {
    for (int32_t x = 0; x < b->width; x++) {
      int32_t d[3];
      for (int32_t k = 0; k < 3; k++)
        d[k] = samples(&o[k], y)[x * o[k].step] - samples(&c[k], y)[x * c[k].step];
      const int32_t all = d[0] + d[1] + d[2];
      e[0][x] = (int16_t)all;
      e[1][x] = (int16_t)(3 * d[0] - all);
      e[2][x] = (int16_t)(3 * d[2] - all);
    }
    return;
  }
  const int32_t chroma = job->kind == SC_FILTER_CHROMA;
  for (int32_t k = chroma; k <= 2 * chroma; k++)
    for (int32_t x = 0; x < b->width; x++)
      e[k][x] = (int16_t)(samples(&o[k], y)[x * o[k].step] - samples(&c[k], y)[x * c[k].step]);
}

void sc_filter_measure(const sc_filter_job *job, const sc_component *original, const uint8_t *skip,
                       int32_t every, int32_t first, int32_t end, void *memory, int64_t *const sums[3]) {
  band b;
  lay(job, 1, memory, &b);
  memset(b.scratch, 0, PLANES * sizeof *b.scratch);
  sc_filter_begin(job, first, end, memory);
  // Partial blocks do not count.
  const int32_t blocks = b.width / 4, rows = b.height / 4;
  const int32_t flags = (job->width + 15) / 16, size = job->kind == SC_FILTER_CHROMA ? 2 : 4;
  for (int32_t row = first; row < end && row < rows; row++) {
    advance(job, &b, first, end, row);
    for (int32_t i = 0; i < 4; i++)
      load_errors(job, &b, original, row, i);
    for (int32_t x = 0; x < blocks; x++)
      b.skip[x] = (skip && skip[(ptrdiff_t)(row / size) * flags + x / size]) || (row + x / 4) % every;
    const int16_t *guide[10], *plane[10], *error[4];
    window(&b, 0, row, guide);
    for (int32_t k = 0; k < planes_of(job); k++) {
      if (!sums[k])
        continue;
      window(&b, k, row, plane);
      for (int32_t i = 0; i < 4; i++)
        error[i] = b.delta + ((ptrdiff_t)4 * k + i) * b.stride;
      job->kernels->measure(k ? SC_FILTER_CHROMA_TAPS : SC_FILTER_LUMA_TAPS, plane, guide, b.shape, b.skip,
                            blocks, error, &b.scratch[k], sums[k]);
    }
  }
  for (int32_t k = 0; k < planes_of(job); k++)
    if (sums[k])
      sc_filter_flush(k ? SC_FILTER_CHROMA_TAPS : SC_FILTER_LUMA_TAPS, &b.scratch[k], sums[k]);
}
