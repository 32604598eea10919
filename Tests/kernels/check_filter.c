// SPDX-License-Identifier: BSD-3-Clause
//
// The adaptive filter: every variant against the specification on random planes, and pictures of any size in one band and in
// several, in every layout. check_filter [--seed N] [--cases N] [--bench]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "filter_internal.h"
#include "random.h"

uint64_t random_state = 1;
static long ran;
static void expect(int good, const char *what, const char *variant) {
  ran++;
  if (good)
    return;
  printf("FAILED: %s, %s\n", what, variant);
  exit(1);
}

// Valid taps, of any size.
static void random_taps(int8_t *taps, int32_t count) {
  for (int32_t c = 0; c < SC_FILTER_CLASSES; c++) {
    const int32_t most = (int32_t[]){0, 3, 10, 63}[next() % 4];
    do
      for (int32_t i = 0; i < count; i++)
        taps[c * count + i] = (int8_t)(next() % 3 ? between(-most, most) : 0);
    while (!sc_filter_is_valid(taps + c * count, count));
  }
}

enum { ROWS = 10, MOST = 80, STRIDE = MOST + 2 * SC_FILTER_MARGIN + 16 };

static void random_rows(int16_t *memory, const int16_t **rows, int32_t count, int chroma) {
  const int32_t kind = between(0, 2), low = chroma ? -255 : 0;
  for (int32_t i = 0; i < count * STRIDE; i++)
    memory[i] = (int16_t)(kind == 0   ? between(low, 255)
                          : kind == 1 ? (next() % 2 ? low : 255)
                                      : 100 + between(-12, 12));
  for (int32_t i = 0; i < count; i++)
    rows[i] = memory + i * STRIDE + SC_FILTER_MARGIN;
}

static void check_kernels(const sc_filter_kernels *k) {
  static int16_t a[ROWS * STRIDE], b[ROWS * STRIDE], e[4 * STRIDE];
  const int16_t *plane[ROWS], *guide[ROWS], *error[4];
  const int32_t blocks = between(1, MOST / 4),
                count = next() % 2 ? SC_FILTER_LUMA_TAPS : SC_FILTER_CHROMA_TAPS;
  random_rows(a, plane, ROWS, count == SC_FILTER_CHROMA_TAPS);
  random_rows(b, guide, ROWS, 0);
  if (count == SC_FILTER_LUMA_TAPS)
    memcpy(guide, plane, sizeof guide);
  uint8_t shape[MOST / 4], skip[MOST / 4];
  for (int32_t i = 0; i < MOST / 4; i++) {
    shape[i] = (uint8_t)between(0, SC_FILTER_CLASSES * SC_FILTER_TRANSFORMS - 1);
    skip[i] = next() % 4 == 0;
  }
  int8_t plain[SC_FILTER_CLASSES * SC_FILTER_LUMA_TAPS];
  random_taps(plain, count);
  static sc_filter_taps taps;
  sc_filter_prepare(plain, count, &taps);
  static int16_t want[4 * MOST], got[4 * MOST];
  memset(want, 0, sizeof want);
  memset(got, 0, sizeof got);
  sc_filter_c(&taps, count, plane, guide, shape, blocks, want, MOST);
  k->filter(&taps, count, plane, guide, shape, blocks, got, MOST);
  expect(!memcmp(want, got, sizeof want), "filter", k->name);

  static uint16_t first[4][MOST / 4], second[4][MOST / 4];
  memset(first, 0, sizeof first);
  memset(second, 0, sizeof second);
  sc_filter_activity_c(guide, blocks, (uint16_t *[]){first[0], first[1], first[2], first[3]});
  k->activity(guide, blocks, (uint16_t *[]){second[0], second[1], second[2], second[3]});
  expect(!memcmp(first, second, sizeof first), "activity", k->name);

  for (int32_t i = 0; i < 4 * STRIDE; i++)
    e[i] = (int16_t)(next() % 3 ? between(-20, 20) : between(-1020, 1020));
  for (int32_t i = 0; i < 4; i++)
    error[i] = e + i * STRIDE + SC_FILTER_MARGIN;
  const size_t sums = (size_t)SC_FILTER_CLASSES * SC_FILTER_SUMS(SC_FILTER_LUMA_TAPS);
  int64_t *s = calloc(sums, sizeof *s), *t = calloc(sums, sizeof *t);
  void *scratch = calloc(1, sc_filter_scratch());
  sc_filter_measure_c(count, plane, guide, shape, skip, blocks, error, NULL, s);
  k->measure(count, plane, guide, shape, skip, blocks, error, scratch, t);
  sc_filter_flush(count, scratch, t);
  expect(!memcmp(s, t, sums * sizeof *s), "measure", k->name);
  free(s);
  free(t);
  free(scratch);
}

// What the specification says of a picture, sample by sample, without bands and rings. Chroma is not in it.
static int32_t at(const uint8_t *p, int32_t w, int32_t h, int32_t x, int32_t y) {
  return p[sc_clamp(y, 0, h - 1) * w + sc_clamp(x, 0, w - 1)];
}
static void sums_of(const uint8_t *p, int32_t w, int32_t h, int32_t bx, int32_t by, uint32_t *sum) {
  for (int32_t y = 4 * by; y < 4 * by + 4; y += 2)
    for (int32_t x = 4 * bx; x < 4 * bx + 4; x++) {
      const int32_t dx[4] = {1, 0, 1, -1}, dy[4] = {0, 1, 1, 1};
      for (int32_t k = 0; k < 4; k++)
        sum[k] += (uint32_t)abs(2 * at(p, w, h, x, y) - at(p, w, h, x - dx[k], y - dy[k]) -
                                at(p, w, h, x + dx[k], y + dy[k]));
    }
}
static void filter_plainly(const uint8_t *in, uint8_t *out, int32_t w, int32_t h, const int8_t *taps) {
  const int32_t columns = (w + 3) / 4, rows = (h + 3) / 4;
  for (int32_t by = 0; by < rows; by++)
    for (int32_t bx = 0; bx < columns; bx++) {
      uint32_t s[4] = {0};
      for (int32_t j = -1; j <= 1; j++)
        for (int32_t i = -1; i <= 1; i++)
          sums_of(in, w, h, sc_clamp(bx + i, 0, columns - 1), sc_clamp(by + j, 0, rows - 1), s);
      const uint32_t all = s[0] + s[1];
      const int32_t activity = (all >= 144) + (all >= 432) + (all >= 864) + (all >= 1728);
      const double hv = (1.0 + (s[0] < s[1] ? s[1] : s[0])) / (1.0 + (s[0] < s[1] ? s[0] : s[1]));
      const double diagonal = (1.0 + (s[2] < s[3] ? s[3] : s[2])) / (1.0 + (s[2] < s[3] ? s[2] : s[3]));
      const int straight = hv > diagonal;
      const double ratio = straight ? hv : diagonal;
      const int32_t class = 5 * activity + (ratio < 2 ? 0 : (straight ? 1 : 3) + (ratio >= 4.5));
      const int8_t *t = taps + class * SC_FILTER_LUMA_TAPS;
      for (int32_t y = 4 * by; y < 4 * by + 4 && y < h; y++)
        for (int32_t x = 4 * bx; x < 4 * bx + 4 && x < w; x++) {
          int32_t sum = 32;
          for (int32_t i = 0; i < SC_FILTER_LUMA_TAPS; i++) {
            const sc_filter_place o = i < 12 ? sc_filter_wide[i] : sc_filter_narrow[i - 12];
            int32_t dx = o.x, dy = o.y;
            if (s[2] < s[3])
              dx = -dx;
            if (s[0] < s[1]) {
              const int32_t swap = dx;
              dx = dy;
              dy = swap;
            }
            const int32_t clip = i < 12 ? SC_FILTER_CLIP : SC_FILTER_GUIDE_CLIP, middle = at(in, w, h, x, y);
            sum += t[i] * (sc_clamp(at(in, w, h, x + dx, y + dy) - middle, -clip, clip) +
                           sc_clamp(at(in, w, h, x - dx, y - dy) - middle, -clip, clip));
          }
          out[y * w + x] = (uint8_t)sc_clamp(in[y * w + x] + (sum >> 6), 0, 255);
        }
    }
}

static void fill(uint8_t *samples, size_t count) {
  const int32_t kind = between(0, 2);
  int32_t v = 128;
  for (size_t i = 0; i < count; i++) {
    v = sc_clamp(v + between(-9, 9), 0, 255);
    samples[i] = (uint8_t)(kind == 0 ? v : kind == 1 ? between(0, 255) : between(0, 1) * 255);
  }
}

// Filters a picture in some bands.
static void apply(const sc_filter_job *job, int32_t bands) {
  const int32_t rows = sc_filter_block_rows(job);
  if (bands > rows)
    bands = rows;
  void *memory[8];
  for (int32_t i = 0; i < bands; i++) {
    memory[i] = malloc(sc_filter_memory(job, 0));
    sc_filter_begin(job, i * rows / bands, (i + 1) * rows / bands, memory[i]);
  }
  for (int32_t i = bands - 1; i >= 0; i--) {
    sc_filter_apply(job, i * rows / bands, (i + 1) * rows / bands, memory[i]);
    free(memory[i]);
  }
}

static void check_picture(const sc_filter_kernels *k, const sc_filter_kernels *plain) {
  const int32_t w = between(1, 70), h = between(1, 70), cw = (w + 1) / 2, ch = (h + 1) / 2;
  const size_t size = 3 * (size_t)w * (size_t)h;
  uint8_t *a = malloc(size), *b = malloc(size), *c = malloc(size), *o = malloc(size);
  fill(a, size);
  memcpy(b, a, size);
  fill(o, size);
  int8_t luma[SC_FILTER_CLASSES * SC_FILTER_LUMA_TAPS], chroma[2][SC_FILTER_CLASSES * SC_FILTER_CHROMA_TAPS];
  static sc_filter_taps taps[3];
  random_taps(luma, SC_FILTER_LUMA_TAPS);
  sc_filter_prepare(luma, SC_FILTER_LUMA_TAPS, &taps[0]);
  for (int32_t i = 0; i < 2; i++) {
    random_taps(chroma[i], SC_FILTER_CHROMA_TAPS);
    sc_filter_prepare(chroma[i], SC_FILTER_CHROMA_TAPS, &taps[1 + i]);
  }
  const sc_filter_kind kind = (sc_filter_kind)(next() % 3);
  sc_component of_a[3], of_b[3], of_o[3];
  for (int32_t i = 0; i < 3; i++) {
    uint8_t *const base[3] = {a, b, o};
    sc_component *const to[3] = {&of_a[i], &of_b[i], &of_o[i]};
    for (int32_t j = 0; j < 3; j++) {
      if (kind == SC_FILTER_RGB)
        *to[j] = (sc_component){base[j] + i, 3, 3 * w};
      else
        *to[j] =
            i ? (sc_component){base[j] + w * h + (i - 1) * cw * ch, 1, cw} : (sc_component){base[j], 1, w};
    }
  }
  sc_filter_job job = {.kernels = k, .kind = kind, .width = w, .height = h, .components = of_a};
  if (kind != SC_FILTER_CHROMA && next() % 4)
    job.luma = &taps[0];
  for (int32_t i = 0; i < 2; i++)
    if (kind != SC_FILTER_LUMA && next() % 4)
      job.chroma[i] = &taps[1 + i];

  // Sums do not depend on bands either.
  const size_t sums = (size_t)SC_FILTER_CLASSES * SC_FILTER_SUMS(SC_FILTER_LUMA_TAPS);
  int64_t *s = calloc(6 * sums, sizeof *s);
  uint8_t skip[25];
  for (int32_t i = 0; i < 25; i++)
    skip[i] = next() % 3 == 0;
  void *memory = malloc(sc_filter_memory(&job, 1));
  const int32_t rows = sc_filter_block_rows(&job), cut = between(0, rows), every = 1 << between(0, 2);
  for (int32_t j = 0; j < 2; j++) {
    int64_t *parts[3] = {s + 3 * (size_t)j * sums, s + (3 * (size_t)j + 1) * sums,
                         s + (3 * (size_t)j + 2) * sums};
    sc_filter_job other = job;
    other.kernels = j ? k : plain;
    if (kind == SC_FILTER_CHROMA)
      parts[0] = NULL;
    if (j && cut > 0 && cut < rows) {
      sc_filter_measure(&other, of_o, skip, every, 0, cut, memory, parts);
      sc_filter_measure(&other, of_o, skip, every, cut, rows, memory, parts);
    } else {
      sc_filter_measure(&other, of_o, skip, every, 0, rows, memory, parts);
    }
  }
  expect(!memcmp(s, s + 3 * sums, 3 * sums * sizeof *s), "sums of bands", k->name);
  free(memory);
  free(s);

  apply(&job, between(1, 8));
  job.kernels = plain;
  job.components = of_b;
  apply(&job, 1);
  expect(!memcmp(a, b, size), "bands", k->name);
  if (kind == SC_FILTER_LUMA && job.luma) {
    fill(a, size);
    memcpy(c, a, size);
    job.components = of_a;
    apply(&job, 1);
    filter_plainly(c, b, w, h, luma);
    expect(!memcmp(a, b, (size_t)w * (size_t)h), "the picture, sample by sample", k->name);
  }
  free(a);
  free(b);
  free(c);
  free(o);
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void bench(const sc_filter_kernels *k) {
  const int32_t w = 1536, h = 1024;
  const size_t size = 3 * (size_t)w * (size_t)h;
  uint8_t *a = malloc(size), *o = malloc(size);
  fill(a, size);
  fill(o, size);
  int8_t luma[SC_FILTER_CLASSES * SC_FILTER_LUMA_TAPS];
  static sc_filter_taps taps;
  random_taps(luma, SC_FILTER_CHROMA_TAPS);
  sc_filter_prepare(luma, SC_FILTER_CHROMA_TAPS, &taps);
  sc_component c[3], d[3];
  for (int32_t i = 0; i < 3; i++) {
    c[i] = (sc_component){a + i, 3, 3 * w};
    d[i] = (sc_component){o + i, 3, 3 * w};
  }
  sc_filter_job job = {k, SC_FILTER_RGB, w, h, c, &taps, {&taps, &taps}};
  const double pixels = 1e-6 * w * h, begun = seconds();
  apply(&job, 1);
  const double applied = seconds();
  const size_t sums = (size_t)SC_FILTER_CLASSES * SC_FILTER_SUMS(SC_FILTER_LUMA_TAPS);
  int64_t *s = calloc(3 * sums, sizeof *s);
  void *memory = malloc(sc_filter_memory(&job, 1));
  const double start = seconds();
  sc_filter_measure(&job, d, NULL, 1, 0, h / 4, memory, (int64_t *[]){s, s + sums, s + 2 * sums});
  printf("%-8s filter RGB %.1f ms/MP, measure %.1f ms/MP\n", k->name, 1e3 * (applied - begun) / pixels,
         1e3 * (seconds() - start) / pixels);
  free(memory);
  free(s);
  free(a);
  free(o);
}

int main(int argc, char **argv) {
  long cases = 2000;
  int speed = 0;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--seed") && i + 1 < argc)
      random_state = strtoull(argv[++i], NULL, 10) | 1;
    else if (!strcmp(argv[i], "--cases") && i + 1 < argc)
      cases = atol(argv[++i]);
    else if (!strcmp(argv[i], "--bench"))
      speed = 1;
    else
      return 2;
  }
  const sc_filter_kernels *plain = sc_filter_kernels_get(SC_CPU_SCALAR), *last = NULL;
  for (int cpu = 0; cpu < SC_CPU_COUNT; cpu++) {
    const sc_filter_kernels *k = sc_filter_kernels_get((sc_cpu)cpu);
    if (!k || k == last)
      continue;
    last = k;
    if (speed) {
      bench(k);
      continue;
    }
    const uint64_t begun = random_state;
    for (long i = 0; i < cases; i++) {
      check_kernels(k);
      check_picture(k, plain);
    }
    random_state = begun;
    printf("%s: good\n", k->name);
  }
  if (!speed)
    printf("%ld comparisons\n", ran);
  return 0;
}
