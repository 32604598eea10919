// SPDX-License-Identifier: BSD-3-Clause
//
// The residual layer's kernels: every group comes back within its bound, the vector code writes the same bytes as plain
// C, and damaged payloads harm nothing (run under AddressSanitizer).
//   check_residual [--seed N] [--cases N] [--mutations N]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "sc_residual.h"

size_t plain_residual_encode(const sc_residual_group *group, int32_t mode, int32_t effort, void *memory,
                             uint8_t *out, size_t capacity);
int plain_residual_decode(const sc_residual_group *group, const uint8_t *payload, size_t size, void *memory);

uint64_t random_state;

enum { FLAT, SLOPES, NOISE, EDGES, EXTREMES, FEW, FILLS };

static uint8_t fill_value(int fill, int32_t x, int32_t y, int32_t k) {
  switch (fill) {
  case FLAT:
    return 200;
  case SLOPES:
    return (uint8_t)((x * 3 + y * 2 + 10 * k) / 4 + (int32_t)(next() % 5));
  case NOISE:
    return (uint8_t)next();
  case EDGES:
    return (uint8_t)((x / 6 ^ y / 5) & 1 ? 17 * k + 30 : 240);
  case EXTREMES:
    return next() & 1 ? 255 : 0;
  default:
    return (uint8_t)(next() % 3 * 100);
  }
}

static void *take(size_t size) {
  // A garbage fill shows reads of what nobody wrote.
  void *p = aligned_alloc(64, (size + 63) / 64 * 64);
  if (!p)
    exit(3);
  memset(p, (int)(next() & 255), size);
  return p;
}

static void fail(const char *what, uint64_t seed, const sc_residual_group *g) {
  fprintf(stderr, "%s: seed %llu, %d × %d × %d, δ %d\n", what, (unsigned long long)seed, g->width, g->height,
          g->components, g->delta);
  exit(1);
}

static void view(sc_residual_group *g, uint8_t *samples, const uint8_t *base, int interleaved) {
  const size_t plane = (size_t)g->width * (size_t)g->height;
  g->step = interleaved ? g->components : 1;
  g->pitch = g->width * g->step;
  for (int32_t k = 0; k < g->components; k++) {
    const size_t at = interleaved ? (size_t)k : plane * (size_t)k;
    g->samples[k] = samples + at;
    g->base[k] = base ? base + at : NULL;
  }
}

/// One group in every mode, each payload decoded by both builds, then damaged `mutations` times.
static void check(uint64_t seed, long mutations) {
  random_state = seed * 2654435761u | 1;
  sc_residual_group g = {.width = 1 + (int32_t)(next() % 70), .height = 1 + (int32_t)(next() % 50)};
  if (next() % 4 == 0)
    g.width = 1 + (int32_t)(next() % 4);
  g.components = 1 + (int32_t)(next() % 3);
  g.delta = next() & 1 ? 0 : (int32_t)(next() % 16);
  const int fill = (int)(next() % FILLS), interleaved = next() & 1, has_base = next() & 1;
  const size_t count = (size_t)g.width * (size_t)g.height * (size_t)g.components;
  // Exactly as large as they have to be, for the sanitizer.
  uint8_t *samples = malloc(count), *decoded = malloc(count), *base = malloc(count);
  if (!samples || !decoded || !base)
    exit(3);
  view(&g, samples, has_base ? base : NULL, interleaved);
  for (int32_t y = 0; y < g.height; y++)
    for (int32_t x = 0; x < g.width; x++)
      for (int32_t k = 0; k < g.components; k++) {
        const ptrdiff_t at = g.samples[k] - samples + y * g.pitch + x * g.step;
        samples[at] = fill_value(fill, x, y, k);
        base[at] = next() % 8 ? (uint8_t)(samples[at] + next() % 5) : (uint8_t)next();
      }
  const size_t blocks = (size_t)((g.width + 15) / 16) * (size_t)((g.height + 15) / 16);
  uint8_t *mask = malloc(blocks);
  uint32_t *costs = malloc(blocks * sizeof *costs);
  if (!mask || !costs)
    exit(3);
  for (size_t i = 0; i < blocks; i++)
    mask[i] = next() % 4 != 0;
  const size_t capacity = sc_residual_payload_bound(&g);
  uint8_t *first = take(capacity), *second = take(capacity);
  for (int32_t mode = 0; mode < 2 + has_base; mode++) {
    view(&g, samples, has_base ? base : NULL, interleaved);
    g.mask = mask;
    g.costs = next() & 1 ? costs : NULL;
    const int32_t effort = (int32_t)(next() % 3);
    void *memory = take(sc_residual_encode_memory(&g, mode));
    const size_t size = sc_residual_encode(&g, mode, effort, memory, first, capacity);
    free(memory);
    memory = take(sc_residual_encode_memory(&g, mode));
    if (plain_residual_encode(&g, mode, effort, memory, second, capacity) != size ||
        memcmp(first, second, size))
      fail("plain C writes other bytes", seed, &g);
    free(memory);
    if (g.costs && mode != SC_RESIDUAL_PREDICTIVE) {
      uint64_t sum = 0;
      for (size_t i = 0; i < blocks; i++)
        sum += costs[i];
      // What is no pixel's, parameters and rows that repeat, is in no block.
      if (size && sum > 8192 * (uint64_t)size)
        fail("blocks take more than all", seed, &g);
    }
    g.mask = NULL;
    g.costs = NULL;
    if (!size) {
      if (mode == SC_RESIDUAL_PREDICTIVE)
        fail("no payload", seed, &g);
      continue;
    }
    uint8_t *payload = malloc(size);
    if (!payload)
      exit(3);
    memcpy(payload, first, size);
    for (int plain = 0; plain < 2; plain++) {
      memset(decoded, 0x5a, count);
      view(&g, decoded, has_base ? base : NULL, interleaved);
      memory = take(sc_residual_decode_memory(&g, mode));
      if ((plain ? plain_residual_decode : sc_residual_decode)(&g, payload, size, memory))
        fail("refuses its own payload", seed, &g);
      free(memory);
      for (int32_t y = 0; y < g.height; y++)
        for (int32_t x = 0; x < g.width; x++)
          for (int32_t k = 0; k < g.components; k++) {
            const ptrdiff_t at = g.samples[k] - decoded + y * g.pitch + x * g.step;
            const int is_left = mode == SC_RESIDUAL_MASKED && !mask[y / 16 * ((g.width + 15) / 16) + x / 16];
            if (is_left ? decoded[at] != base[at] : abs(samples[at] - decoded[at]) > g.delta)
              fail(is_left ? "not the base" : "error above the bound", seed, &g);
          }
    }
    for (long m = 0; m < mutations; m++) {
      const size_t shorter = next() % 8 ? size : next() % size;
      uint8_t *damaged = malloc(shorter ? shorter : 1);
      if (!damaged)
        exit(3);
      memcpy(damaged, payload, shorter);
      for (uint32_t n = next() % 4; shorter && n < 4; n++)
        damaged[next() % shorter] = (uint8_t)next();
      memory = take(sc_residual_decode_memory(&g, shorter ? damaged[0] : 0));
      sc_residual_decode(&g, damaged, shorter, memory);
      free(memory);
      free(damaged);
    }
    free(payload);
  }
  free(samples);
  free(decoded);
  free(base);
  free(mask);
  free(costs);
  free(first);
  free(second);
}

int main(int argc, char **argv) {
  uint64_t seed = 1;
  long cases = 300, mutations = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--seed"))
      seed = strtoull(argv[i + 1], NULL, 10);
    else if (!strcmp(argv[i], "--cases"))
      cases = strtol(argv[i + 1], NULL, 10);
    else if (!strcmp(argv[i], "--mutations"))
      mutations = strtol(argv[i + 1], NULL, 10);
  }
  for (long i = 0; i < cases; i++)
    check(seed + (uint64_t)i, (mutations + 2 * cases - 1) / (2 * cases));
  printf("residual: %ld groups from seed %llu, %ld mutations\n", cases, (unsigned long long)seed, mutations);
  return cases > 0 ? 0 : 1;
}
