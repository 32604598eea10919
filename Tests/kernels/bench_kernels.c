// SPDX-License-Identifier: BSD-3-Clause
//
// Times every layer of the paper's networks, row by row as the executor calls it, against the machine's own
// register-only multiply-add peak measured between the repetitions. Output is compared with the reference
// first.
//
//   bench_kernels [--cpu NAME] [--repeat N] [--zeros PERCENT, -1: as in latents of a low rate] [--layer TEXT]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "random.h"
#include "sc_kernels.h"

typedef struct layer {
  const char *net, *name;
  int transposed, k, ci, co, width, height; // of the input
} layer;

static const layer layers[] = {
    {"g_s", "t5x5/2 192>128", 1, 5, 192, 128, 48, 32},
    {"g_s", "t5x5/2 128>128 a", 1, 5, 128, 128, 96, 64},
    {"g_s", "t5x5/2 128>128 b", 1, 5, 128, 128, 192, 128},
    {"g_s", "t5x5/2 128>3", 1, 5, 128, 3, 384, 256},
    {"g_a", "5x5/2 3>128", 0, 5, 3, 128, 768, 512},
    {"g_a", "5x5/2 128>128 a", 0, 5, 128, 128, 384, 256},
    {"g_a", "5x5/2 128>128 b", 0, 5, 128, 128, 192, 128},
    {"g_a", "5x5/2 128>192", 0, 5, 128, 192, 96, 64},
    {"s48", "t5x5/2 96>48", 1, 5, 96, 48, 48, 32},
    {"s48", "t5x5/2 48>48", 1, 5, 48, 48, 96, 64},
    {"s48", "t5x5/2 48>3", 1, 5, 48, 3, 384, 256},
    {"a48", "5x5/2 48>48", 0, 5, 48, 48, 192, 128},
    {"s64", "t5x5/2 128>64", 1, 5, 128, 64, 48, 32},
    {"s64", "t5x5/2 64>64", 1, 5, 64, 64, 96, 64},
    {"a64", "5x5/2 64>64", 0, 5, 64, 64, 192, 128},
    {"mix", "1x1 96>144", 2, 1, 96, 144, 96, 64},
    {"mix", "3x3 64>64", 2, 3, 64, 64, 96, 64},
};

uint64_t random_state = 0x9E3779B97F4A7C15u;

static int16_t *aligned(size_t elements) {
  void *p = aligned_alloc(64, (elements * 2 + 63) / 64 * 64);
  memset(p, 0, elements * 2);
  return p;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// Of this thread only: other programs on the machine do not count.
static uint64_t cpu_ns(void) {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
#else
  return sc_clock_ns();
#endif
}

static const char *processor(void) {
  static char line[256];
  FILE *f = fopen("/proc/cpuinfo", "r");
  while (f && fgets(line, sizeof line, f)) {
    if (!strncmp(line, "model name", 10)) {
      line[strcspn(line, "\n")] = 0;
      fclose(f);
      return strchr(line, ':') ? strchr(line, ':') + 2 : line;
    }
  }
  if (f)
    fclose(f);
  return "unknown processor";
}

typedef struct phase {
  sc_conv conv, reference;
  int dy, dx, oy, ox; // first input row and column of output (0, 0); where the output goes
} phase;

enum { MARGIN = 2, RING = 16 }; // rows of output that are kept: like the executor, which stays in the cache

// The cheap operations, on a row of 384 pixels of 128 channels.
static void bench_others(const sc_kernels *k, int repeat) {
  enum { CHANNELS = 128, PIXELS = 384, SIZE = CHANNELS * PIXELS, ROUNDS = 20 };
  int32_t bias[CHANNELS] = {0}, shift[CHANNELS];
  for (int i = 0; i < CHANNELS; i++)
    shift[i] = 8;
  const sc_requant q = {.bias = bias, .shift = shift, .lo = 0, .hi = 2047, .leaky = 0};
  enum { SIDE = 9, KINDS = 6 }; // of the largest depthwise kernel
  int16_t *weights = aligned(SIDE * SIDE * CHANNELS), *out = aligned(SIZE), *in[SIDE];
  for (int r = 0; r < SIDE; r++) {
    in[r] = aligned(SIZE + (SIDE - 1) * CHANNELS + SC_ROW_SLACK);
    for (int i = 0; i < SIZE + (SIDE - 1) * CHANNELS; i++)
      in[r][i] = (int16_t)(next() % 2048);
  }
  for (int i = 0; i < SIDE * SIDE * CHANNELS; i++)
    weights[i] = (int16_t)(next() % 256);
  const sc_gain gain = {.gain = weights, .channels = CHANNELS, .requant = q};
  double ns[KINDS][99];
  for (int t = 0; t < repeat; t++) {
    for (int what = 0; what < KINDS; what++) {
      const uint64_t a = cpu_ns();
      for (int i = 0; i < ROUNDS; i++) {
        if (what < 4) {
          const sc_depthwise depthwise = {
              .weights = weights, .kh = 3 + 2 * what, .kw = 3 + 2 * what, .channels = CHANNELS, .requant = q};
          k->depthwise(&depthwise, (const int16_t *const *)in, CHANNELS, out, CHANNELS, PIXELS);
        }
        if (what == 4)
          k->gain(&gain, in[0], out, PIXELS);
        if (what == 5)
          k->add(in[0], in[1], out, SIZE, 0, 1, -2048, 2047);
      }
      ns[what][t] = (double)(cpu_ns() - a) / ROUNDS / SIZE;
    }
  }
  const char *const names[] = {"depthwise 3x3", "depthwise 5x5", "depthwise 7x7",
                               "depthwise 9x9", "gain",          "add"};
  for (int what = 0; what < KINDS; what++) {
    qsort(ns[what], (size_t)repeat, sizeof **ns, by_value);
    printf("%-23s min %.3f median %.3f ns/element\n", names[what], ns[what][0], ns[what][repeat / 2]);
  }
  for (int r = 0; r < SIDE; r++)
    free(in[r]);
  free(weights), free(out);
}

int main(int argc, char **argv) {
  const sc_kernels *k = sc_kernels_best(), *ref = sc_kernels_get(SC_CPU_SCALAR);
  int repeat = 15, zeros = 0;
  const char *only = "";
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--cpu")) {
      k = NULL;
      for (int c = 0; c < SC_CPU_COUNT; c++) {
        if (!strcmp(sc_cpu_name(c), argv[i + 1]))
          k = sc_kernels_get((sc_cpu)c);
      }
      if (!k)
        return fprintf(stderr, "%s: not on this processor\n", argv[i + 1]), 1;
    }
    if (!strcmp(argv[i], "--repeat"))
      repeat = atoi(argv[i + 1]);
    if (!strcmp(argv[i], "--zeros"))
      zeros = atoi(argv[i + 1]);
    if (!strcmp(argv[i], "--layer"))
      only = argv[i + 1];
  }
  repeat = repeat < 1 ? 1 : repeat > 99 ? 99 : repeat;
  printf("%s, %s, %d repetitions, %d %% zeros\n", processor(), k->name, repeat, zeros);
  printf("%-4s %-18s %8s %9s %9s %9s  %s\n", "net", "layer", "MMAC", "min ms", "med ms", "GMAC/s",
         "of peak: best median");
  double net_ns = 0, net_ideal = 0;
  for (size_t l = 0; l < sizeof layers / sizeof *layers; l++) {
    const layer *L = &layers[l];
    char full[64];
    snprintf(full, sizeof full, "%s %s", L->net, L->name);
    if (!strstr(full, only))
      continue;
    const int stride = L->transposed == 0 ? 2 : 1, up = L->transposed == 1 ? 2 : 1;
    const size_t row = (size_t)(L->width + 2 * MARGIN) * (size_t)L->ci;
    int16_t *in = aligned(row * (size_t)(L->height + 2 * MARGIN) + SC_ROW_SLACK);
    for (size_t i = 0; i < row * (size_t)(L->height + 2 * MARGIN); i++) {
      const int rare =
          zeros >= 0 ? zeros : 100 - 60 * 12 / (12 + (int)(i % (size_t)L->ci)); // few channels are active
      in[i] = (int)(next() % 100) < rare ? 0 : (int16_t)(next() % 2048) - 1024;
    }
    const int ow = L->width * up / stride, oh = L->height * up / stride;
    int16_t *out = aligned((size_t)ow * RING * (size_t)L->co), *want = aligned((size_t)ow * (size_t)L->co);
    int32_t bias[512] = {0}, shift[512];
    for (int i = 0; i < 512; i++)
      shift[i] = 12, bias[i] = i < L->co ? (int)(next() % 100000) - 50000 : 0;
    sc_requant q = {.bias = bias, .shift = shift, .lo = 0, .hi = 2047, .leaky = 0};
    phase phases[4];
    int count = 0;
    double macs = 0;
    for (int oy = 0; oy < up; oy++) {
      for (int ox = 0; ox < up; ox++, count++) {
        // Output 2i of a transposed 5x5 takes inputs i - 1 ... i + 1, output 2i + 1 inputs i and i + 1.
        const int kh = up == 2 ? (oy ? L->k / 2 : (L->k + 1) / 2) : L->k;
        const int kw = up == 2 ? (ox ? L->k / 2 : (L->k + 1) / 2) : L->k;
        phase *p = &phases[count];
        const int run = kw * L->ci;
        int16_t *w = aligned((size_t)kh * (size_t)run * (size_t)L->co);
        for (size_t i = 0; i < (size_t)kh * (size_t)run * (size_t)L->co; i++)
          w[i] = (int16_t)(next() % 256) - 128;
        p->conv = (sc_conv){.rows = kh, .run = run, .out_channels = L->co, .requant = q};
        p->reference = p->conv;
        int16_t *packed = aligned(k->conv_packed_size(kh, run, L->co) / 2);
        k->conv_pack(packed, w, kh, run, L->co);
        p->conv.weights = packed;
        int16_t *plain = aligned(ref->conv_packed_size(kh, run, L->co) / 2);
        ref->conv_pack(plain, w, kh, run, L->co);
        p->reference.weights = plain;
        free(w);
        p->dy = MARGIN - (up == 2 ? (oy ? 0 : 1) : L->k / 2);
        p->dx = MARGIN - (up == 2 ? (ox ? 0 : 1) : L->k / 2);
        p->oy = oy, p->ox = ox;
        macs += (double)kh * run * L->co * (ow / up) * (oh / up);
      }
    }
    double ns[99], fraction[99], best_peak = 0;
    for (int t = -1; t < repeat; t++) {
      uint64_t a = cpu_ns(), done = k->peak(k->cpu == SC_CPU_SCALAR ? 3000000 : 400000), b = cpu_ns();
      const double peak = (double)done / (double)(b - a);
      if (peak > best_peak)
        best_peak = peak;
      a = cpu_ns();
      for (int y = 0; y < oh; y++) {
        for (int i = 0; i < count; i++) {
          const phase *p = &phases[i];
          if (y % up != p->oy)
            continue;
          const int16_t *rows[8];
          for (int r = 0; r < p->conv.rows; r++) {
            rows[r] = in + (size_t)(y / up * stride + p->dy + r) * row + (size_t)(p->dx * L->ci);
          }
          int16_t *to = out + ((size_t)(y % RING) * (size_t)ow + (size_t)p->ox) * (size_t)L->co;
          if (t >= 0) {
            k->conv(&p->conv, rows, stride * L->ci, to, up * L->co, (size_t)(ow / up));
          } else if (y < 2 || y >= oh - 2) {
            k->conv(&p->conv, rows, stride * L->ci, to, up * L->co, (size_t)(ow / up));
            ref->conv(&p->reference, rows, stride * L->ci, want, L->co, (size_t)(ow / up));
            for (int x = 0; x < ow / up; x++) {
              if (memcmp(want + x * L->co, to + x * up * L->co, (size_t)L->co * 2)) {
                return fprintf(stderr, "%s: wrong output, not timed\n", full), 1;
              }
            }
          }
        }
      }
      b = cpu_ns();
      if (t >= 0)
        ns[t] = (double)(b - a), fraction[t] = macs / ns[t] / peak;
    }
    qsort(ns, (size_t)repeat, sizeof *ns, by_value);
    qsort(fraction, (size_t)repeat, sizeof *fraction, by_value);
    printf("%-4s %-18s %8.0f %9.2f %9.2f %9.1f  %5.1f %% %5.1f %%\n", L->net, L->name, macs / 1e6,
           ns[0] / 1e6, ns[repeat / 2] / 1e6, macs / ns[0], 100 * macs / ns[0] / best_peak,
           100 * fraction[repeat / 2]);
    net_ns += ns[0], net_ideal += macs / best_peak;
    if (l + 1 == sizeof layers / sizeof *layers || strcmp(layers[l + 1].net, L->net)) {
      printf("%-4s %-18s %27.2f ms %19.1f %%  (peak %.1f GMAC/s)\n", L->net, "all", net_ns / 1e6,
             100 * net_ideal / net_ns, best_peak);
      net_ns = net_ideal = 0;
    }
    for (int i = 0; i < count; i++)
      free((void *)phases[i].conv.weights), free((void *)phases[i].reference.weights);
    free(in), free(out), free(want);
  }
  if (!*only || !strcmp(only, "others"))
    bench_others(k, repeat);
  return 0;
}
