// SPDX-License-Identifier: BSD-3-Clause
//
// Speed and quality of motion, and the fit of its tables.
//
//   bench_motion [--tables FILE] [--lambda N]… [--effort N] [--cpu NAME] [--frames N] CLIP.y4m…
//   bench_motion --fit FILE [--sets N] [--rounds N] …
//
// Each frame is predicted from the frame before as it is in the clip. CLIP is 4:2:0 with 8 bits; - is the standard
// input, which may hold several clips one after another. λ is in squared differences a bit. A fit searches with
// the tables of the round before, then forms sets of frames that share tables, by the lengths of their vectors.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sc_motion.h"

typedef struct clip {
  char name[64];
  int32_t width, height, frames;
  uint8_t *samples;
} clip;

static clip *clips;
static size_t clip_count;
static int32_t frame_limit = INT32_MAX;

static void *allocate(size_t bytes) {
  void *p = NULL;
  if (posix_memalign(&p, 64, bytes ? bytes : 1))
    abort();
  return p;
}

static void stop(const char *text, const char *what) {
  fprintf(stderr, "bench_motion: %s: %s\n", what, text);
  exit(1);
}

static size_t chroma_size(const clip *c) {
  return (size_t)((c->width + 1) / 2) * (size_t)((c->height + 1) / 2);
}
static size_t frame_size(const clip *c) { return (size_t)c->width * (size_t)c->height + 2 * chroma_size(c); }

static void read_clips(const char *path) {
  FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
  if (!f)
    stop("cannot be opened", path);
  char line[512];
  clip *c = NULL;
  while (fgets(line, sizeof line, f)) {
    if (!strncmp(line, "YUV4MPEG2", 9)) {
      clips = realloc(clips, (clip_count + 1) * sizeof *clips);
      c = &clips[clip_count++];
      *c = (clip){.width = 0};
      const char *slash = strrchr(path, '/');
      snprintf(c->name, sizeof c->name, "%s", slash ? slash + 1 : path);
      for (char *at = strtok(line + 9, " \n"); at; at = strtok(NULL, " \n")) {
        if (*at == 'W')
          c->width = atoi(at + 1);
        if (*at == 'H')
          c->height = atoi(at + 1);
        if (*at == 'C' && strncmp(at, "C420", 4))
          stop("not 4:2:0", path);
      }
      if (c->width < 1 || c->height < 1 || c->width > 16384 || c->height > 16384)
        stop("bad size", path);
    } else if (c && !strncmp(line, "FRAME", 5)) {
      const size_t size = frame_size(c);
      c->samples = realloc(c->samples, (size_t)(c->frames + 1) * size);
      if (fread(c->samples + (size_t)c->frames * size, 1, size, f) != size)
        stop("ends within a frame", path);
      c->frames += c->frames < frame_limit;
    } else {
      stop("not Y4M", path);
    }
  }
  if (f != stdin)
    fclose(f);
}

static sc_motion_tables tables[SC_MOTION_SETS];
static sc_motion_costs costs[SC_MOTION_SETS];
static int32_t sets = 1;

static void make_costs(void) {
  for (int32_t i = 0; i < sets; i++)
    sc_motion_costs_make(&costs[i], &tables[i]);
}

static int32_t best_set(const sc_motion_symbol *symbols, size_t count) {
  int32_t best = 0;
  for (int32_t i = 1; i < sets; i++)
    if (sc_motion_bits(symbols, count, &costs[i]) < sc_motion_bits(symbols, count, &costs[best]))
      best = i;
  return best;
}

typedef struct result {
  double psnr, bits, error, search_ms, compensation_ms; // means over frames
} result;

typedef void visit(const sc_motion_symbol *symbols, size_t count);

static result run(const clip *c, const sc_motion_kernels *kernels, uint32_t lambda, int32_t effort,
                  visit *each) {
  const int32_t w = c->width, h = c->height, cw = (w + 1) / 2, ch = (h + 1) / 2;
  const size_t luma = (size_t)w * (size_t)h;
  void *frame_memory = allocate(sc_motion_frame_size(w, h)), *memory = allocate(sc_motion_search_size(w, h));
  sc_motion_frame reference = sc_motion_frame_make(frame_memory, w, h);
  sc_motion_search s = sc_motion_search_make(memory, w, h);
  const size_t blocks = (size_t)s.blocks_x * (size_t)s.blocks_y;
  sc_vector *previous = allocate(blocks * 4 * sizeof *previous),
            *vectors = allocate(blocks * 4 * sizeof *vectors);
  sc_motion_symbol *symbols = allocate(blocks * SC_MOTION_SYMBOLS_PER_BLOCK * sizeof *symbols);
  uint8_t *modes = allocate(blocks), *prediction = allocate(frame_size(c));
  const sc_motion_frame out = {
      .plane = {{.samples = prediction, .stride = w, .width = w, .height = h},
                {.samples = prediction + luma, .stride = cw, .width = cw, .height = ch},
                {.samples = prediction + luma + chroma_size(c), .stride = cw, .width = cw, .height = ch}}};
  result r = {0};
  int32_t set = 0;
  for (int32_t i = 1; i < c->frames; i++) {
    const uint8_t *before = c->samples + (size_t)(i - 1) * frame_size(c), *now = before + frame_size(c);
    sc_motion_plane_load(&reference.plane[0], before, w);
    sc_motion_plane_load(&reference.plane[1], before + luma, cw);
    sc_motion_plane_load(&reference.plane[2], before + luma + chroma_size(c), cw);
    sc_motion_field field = {
        .blocks_x = s.blocks_x, .blocks_y = s.blocks_y, .vectors = vectors, .modes = modes};
    s.kernels = kernels;
    s.costs = &costs[set];
    s.reference = &reference.plane[0];
    s.previous = i > 1 ? previous : NULL;
    s.lambda = lambda;
    s.effort = effort;
    const uint64_t t0 = sc_thread_clock_ns();
    sc_motion_search_all(&s, now, w, &field);
    const uint64_t t1 = sc_thread_clock_ns();
    sc_motion_compensate(kernels, &reference, &field, 0, field.blocks_y, &out);
    const uint64_t t2 = sc_thread_clock_ns();
    const size_t count = sc_motion_symbols(&field, s.previous, symbols);
    set = best_set(symbols, count);
    if (each)
      each(symbols, count);
    double error = 0;
    for (size_t k = 0; k < luma; k++) {
      const int32_t d = now[k] - prediction[k];
      error += d * d;
    }
    r.psnr += 10 * log10(255.0 * 255.0 * (double)luma / (error > 0 ? error : 1));
    r.error += error;
    r.bits += (double)sc_motion_bits(symbols, count, &costs[set]) / 256;
    r.search_ms += (double)(t1 - t0) / 1e6;
    r.compensation_ms += (double)(t2 - t1) / 1e6;
    sc_vector *swap = previous;
    previous = vectors;
    vectors = swap;
  }
  const double n = c->frames - 1;
  free(frame_memory), free(memory), free(previous), free(vectors), free(symbols), free(modes),
      free(prediction);
  return (result){r.psnr / n, r.bits / n, r.error / n, r.search_ms / n, r.compensation_ms / n};
}

// ---- Fit -----------------------------------------------------------------------------------------------------------

// The symbols of every frame of a round, one after another.
static struct {
  sc_motion_symbol *symbols;
  size_t count, capacity, *ends, frames, frame_capacity;
  int32_t *set;
} seen;

static void collect(const sc_motion_symbol *symbols, size_t count) {
  if (seen.count + count > seen.capacity) {
    seen.capacity = 2 * (seen.count + count);
    seen.symbols = realloc(seen.symbols, seen.capacity * sizeof *seen.symbols);
  }
  if (seen.frames == seen.frame_capacity) {
    seen.frame_capacity = 2 * seen.frame_capacity + 1024;
    seen.ends = realloc(seen.ends, seen.frame_capacity * sizeof *seen.ends);
    seen.set = realloc(seen.set, seen.frame_capacity * sizeof *seen.set);
  }
  if (!seen.symbols || !seen.ends || !seen.set)
    abort();
  memcpy(seen.symbols + seen.count, symbols, count * sizeof *symbols);
  seen.ends[seen.frames++] = seen.count += count;
}

static const sc_motion_symbol *frame_symbols(size_t i, size_t *count) {
  const size_t start = i ? seen.ends[i - 1] : 0;
  *count = seen.ends[i] - start;
  return seen.symbols + start;
}

static void fit_sets(void) {
  static sc_motion_counts counts[SC_MOTION_SETS];
  memset(counts, 0, sizeof counts);
  for (size_t i = 0; i < seen.frames; i++) {
    size_t count;
    const sc_motion_symbol *symbols = frame_symbols(i, &count);
    sc_motion_count(&counts[seen.set[i]], symbols, count);
  }
  for (int32_t k = 0; k < sets; k++)
    sc_motion_tables_fit(&tables[k], &counts[k]);
  make_costs();
}

static double *frame_weight;
static int by_weight(const void *a, const void *b) {
  const double x = frame_weight[*(const size_t *)a], y = frame_weight[*(const size_t *)b];
  return (x > y) - (x < y);
}

// k-means over frames: sets of tables, and of the frames that each codes in the fewest bits.
static double cluster(int32_t wanted) {
  size_t *order = allocate(seen.frames * sizeof *order);
  frame_weight = allocate(seen.frames * sizeof *frame_weight);
  for (size_t i = 0; i < seen.frames; i++) {
    size_t count;
    const sc_motion_symbol *symbols = frame_symbols(i, &count);
    size_t blocks = 0;
    for (size_t k = 0; k < count; k++)
      blocks += symbols[k].table < SC_MOTION_TABLE_CELL;
    frame_weight[i] = (double)count / (double)blocks;
    order[i] = i;
  }
  qsort(order, seen.frames, sizeof *order, by_weight);
  sets = wanted;
  for (size_t i = 0; i < seen.frames; i++)
    seen.set[order[i]] = (int32_t)(i * (size_t)sets / seen.frames);
  double total = 0;
  for (int round = 0; round < 12; round++) {
    fit_sets();
    total = 0;
    for (size_t i = 0; i < seen.frames; i++) {
      size_t count;
      const sc_motion_symbol *symbols = frame_symbols(i, &count);
      seen.set[i] = best_set(symbols, count);
      total += (double)sc_motion_bits(symbols, count, &costs[seen.set[i]]) / 256;
    }
  }
  free(order), free(frame_weight);
  return total;
}

int main(int argc, char **argv) {
  const char *fit = NULL, *section = NULL;
  int32_t lambdas[16] = {800, 400, 220, 110, 60, 30, 16, 8}, lambda_count = 0, effort = SC_MOTION_MEDIUM,
          wanted = 4, rounds = 3;
  const sc_kernels *variant = sc_kernels_best();
  for (int i = 1; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    if (strncmp(argv[i], "--", 2)) {
      read_clips(argv[i]);
      continue;
    }
    i++;
    if (!strcmp(argv[i - 1], "--fit"))
      fit = value;
    else if (!strcmp(argv[i - 1], "--tables"))
      section = value;
    else if (!strcmp(argv[i - 1], "--sets"))
      wanted = atoi(value);
    else if (!strcmp(argv[i - 1], "--rounds"))
      rounds = atoi(value);
    else if (!strcmp(argv[i - 1], "--frames"))
      frame_limit = atoi(value);
    else if (!strcmp(argv[i - 1], "--effort"))
      effort = atoi(value);
    else if (!strcmp(argv[i - 1], "--lambda") && lambda_count < 16)
      lambdas[lambda_count++] = atoi(value);
    else if (!strcmp(argv[i - 1], "--cpu")) {
      variant = NULL;
      for (int cpu = 0; cpu < SC_CPU_COUNT; cpu++)
        if (!strcmp(value, sc_cpu_name(cpu)))
          variant = sc_kernels_get((sc_cpu)cpu);
      if (!variant)
        stop("not on this processor", value);
    } else {
      stop("unknown option", argv[i - 1]);
    }
  }
  if (!lambda_count)
    lambda_count = 8;
  if (!clip_count || wanted < 1 || wanted > SC_MOTION_SETS)
    stop("no clips, or sets outside of 1…8", "usage");
  const sc_motion_kernels *kernels = sc_motion_kernels_get(variant->cpu);

  static sc_motion_counts none;
  sc_motion_tables_fit(&tables[0], &none);
  if (section) {
    FILE *f = fopen(section, "rb");
    static uint8_t bytes[1 << 16];
    if (!f)
      stop("cannot be opened", section);
    sets = sc_motion_tables_read(tables, bytes, fread(bytes, 1, sizeof bytes, f));
    fclose(f);
    if (sets < 0)
      stop("not a MOTN section", section);
  }
  make_costs();

  if (fit) {
    for (int32_t round = 0; round < rounds; round++) {
      seen.count = seen.frames = 0;
      // Each clip at half of the λ, in turns.
      for (size_t i = 0; i < clip_count; i++)
        for (int32_t l = (int32_t)(i % 2); l<lambda_count; l += lambda_count> 1 ? 2 : 1)
          run(&clips[i], kernels, (uint32_t)lambdas[l] << 4, effort, collect);
      const double one = cluster(1), more = cluster(wanted);
      printf("round %d: %zu frames, %zu symbols, %.0f bits with one set, %.0f with %d\n", round, seen.frames,
             seen.count, one, more, wanted);
      fflush(stdout);
    }
    static uint8_t bytes[1 << 16];
    sc_motion_tables_write(bytes, tables, sets);
    FILE *f = fopen(fit, "wb");
    const size_t size = sc_motion_tables_size(sets);
    if (!f || fwrite(bytes, 1, size, f) != size || fclose(f))
      stop("cannot be written", fit);
    printf("%s: %d sets, %zu bytes\n", fit, sets, size);
    return 0;
  }

  printf("%s, effort %d, %d sets\n%-24s %4s %8s %10s %8s %9s %9s\n", kernels->name, effort, sets, "clip", "λ",
         "PSNR Y", "bit/pixel", "cost", "search", "compens.");
  for (size_t i = 0; i < clip_count; i++) {
    for (int32_t l = 0; l < lambda_count && clips[i].frames > 1; l++) {
      const result r = run(&clips[i], kernels, (uint32_t)lambdas[l] << 4, effort, NULL);
      const double pixels = (double)clips[i].width * clips[i].height;
      printf("%-24s %3d %8.2f %10.5f %8.4f %6.1f ms %6.2f ms\n", clips[i].name, lambdas[l], r.psnr,
             r.bits / pixels, (r.error + lambdas[l] * r.bits) / pixels, r.search_ms, r.compensation_ms);
    }
  }
  return 0;
}
