// SPDX-License-Identifier: BSD-3-Clause
//
// The entropy kernels of a variant against the plain C reference: random planes with random distributions, whole and
// damaged payloads, and sums over sources.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

enum { MARGIN = SC_MAGNITUDE_MARGIN, BEYOND = 64, SIDE = 8 };

// ---- Distributions -------------------------------------------------------------------------------------------------

// `symbols` frequencies, each at least 1, that sum up to 2^15: flat, steep, or all but the least in one place.
static void make_frequencies(uint16_t *frequency, int32_t symbols) {
  const int shape = between(0, 2);
  int32_t left = (1 << SC_RANS_BITS) - symbols;
  for (int32_t i = 0; i < symbols; i++)
    frequency[i] = 1;
  if (shape == 0)
    for (int32_t i = 0; i < symbols; i++)
      frequency[i] = (uint16_t)(frequency[i] + left / symbols);
  for (int32_t i = 0; shape == 1 && i < 40; i++) {
    const int32_t more = between(0, left);
    frequency[next() % (uint32_t)symbols] += (uint16_t)more;
    left -= more;
  }
  if (shape == 0)
    left %= symbols;
  frequency[next() % (uint32_t)symbols] += (uint16_t)left;
}

// Aligned to 8; `memory` is what to free.
static sc_cdf *make_cdf(void **memory, int32_t symbols, const uint8_t *table, int32_t start_shift) {
  uint16_t frequency[256];
  int32_t minimum = 0;
  if (symbols == 1) {
    frequency[0] = 1 << SC_RANS_BITS;
  } else {
    make_frequencies(frequency, symbols);
    minimum = next() % 8 ? -between(0, symbols) : between(-32768, 32767 - symbols);
  }
  uint8_t *p = allocate(sc_cdf_starts(start_shift) + sc_cdf_size(symbols));
  *memory = p;
  sc_cdf *cdf = (sc_cdf *)(void *)(p + sc_cdf_starts(start_shift));
  sc_cdf_init(cdf, minimum, frequency, symbols, table, start_shift);
  return cdf;
}

// ---- Planes --------------------------------------------------------------------------------------------------------

typedef struct planes {
  int16_t *values, *samples;
  uint8_t *magnitudes;
  size_t size, padded;
} planes;

static planes make_planes(int32_t width, int32_t height) {
  planes p = {.size = (size_t)width * (size_t)height,
              .padded = (size_t)(width + 2 * MARGIN) * (size_t)(height + 2 * MARGIN)};
  p.values = guarded(p.size);
  p.samples = guarded(p.padded + SC_PLANE_SLACK);
  p.magnitudes = allocate(p.padded + SC_PLANE_SLACK);
  memset(p.magnitudes, GUARD & 255, p.padded + SC_PLANE_SLACK);
  return p;
}

static void free_planes(planes *p) { free(p->values), free(p->samples), free(p->magnitudes); }

static void use_planes(sc_plane *plane, const planes *p, int with_samples) {
  plane->values = p->values;
  plane->samples = with_samples ? p->samples : NULL;
  plane->magnitudes = plane->magnitude_kind == SC_MAGNITUDE_NONE ? NULL : p->magnitudes;
}

// Whether values, and the padded planes but for their outer margin, agree, and nothing behind them was written.
static int same_planes(const planes *want, const planes *got, int32_t width, int32_t height) {
  int good = same(want->values, got->values, want->size);
  const int32_t stride = width + 2 * MARGIN;
  for (int32_t y = 1; good && y < height + 2 * MARGIN - 1; y++)
    for (int32_t x = 1; good && x < stride - 1; x++) {
      const size_t at = (size_t)y * (size_t)stride + (size_t)x;
      good &= holds(want->samples[at] == got->samples[at], "padded samples differ");
      good &= holds(want->magnitudes[at] == got->magnitudes[at], "padded magnitudes differ");
    }
  for (size_t i = want->padded; good && i < want->padded + SC_PLANE_SLACK; i++)
    good &= holds(got->samples[i] == GUARD && got->magnitudes[i] == (GUARD & 255), "written behind a plane");
  return good;
}

static void fill_values(int16_t *values, size_t count) {
  const int32_t reach = PICK(0, 1, 3, 20, 200, 32767);
  const int fill = between(0, FILLS - 1);
  const int escapes = next() % 3 == 0;
  for (size_t i = 0; i < count; i++) {
    values[i] = value(fill, -reach, reach, i);
    if (escapes && next() % 16 == 0)
      values[i] = (int16_t)PICK(-32768, 32767, -1000, 1000, between(-32768, 32767));
  }
}

typedef struct payload {
  uint8_t *bytes; // SC_RANS_SLACK more than the size
  size_t size;
} payload;

static payload copy_payload(const uint8_t *bytes, size_t size) {
  payload p = {.bytes = allocate(size + SC_RANS_SLACK), .size = size};
  memcpy(p.bytes, bytes, size);
  for (size_t i = 0; i < SC_RANS_SLACK; i++)
    p.bytes[size + i] = (uint8_t)next();
  return p;
}

// −1 for a payload that is refused at its start, in its middle, or at its end.
static int decode(const sc_kernels *k, sc_plane *plane, const payload *p, int lanes) {
  sc_rans_decoder decoder;
  if (sc_rans_decoder_init(&decoder, lanes, p->bytes, p->size) != 0)
    return -1;
  return k->decode_plane(&decoder, plane) != 0 || sc_rans_decoder_finish(&decoder) != 0 ? -1 : 0;
}

static int check_payload(const sc_kernels *k, const sc_kernels *ref, sc_plane *plane, const planes *original,
                         const uint8_t *bytes, size_t size, int lanes, int with_samples) {
  int good = 1;
  // Whole; cut off; too long; with some bits turned over.
  for (int damage = 0; good && damage < 6; damage++) {
    size_t length = size;
    if (damage == 1 || damage == 2)
      length = damage == 1 ? size - 2 : next() % size;
    payload p = copy_payload(bytes, length);
    if (damage == 3) {
      payload longer = copy_payload(p.bytes, size + 2);
      free(p.bytes);
      p = longer;
    }
    for (int32_t flips = damage > 3 ? between(1, 4) : 0; flips > 0; flips--)
      p.bytes[next() % size] ^= (uint8_t)(1 << next() % 8);
    planes want = make_planes(plane->width, plane->height), got = make_planes(plane->width, plane->height);
    use_planes(plane, &want, with_samples);
    const int expected = decode(ref, plane, &p, lanes);
    use_planes(plane, &got, with_samples);
    const int result = decode(k, plane, &p, lanes);
    good &= holds(result == expected, "one accepts the payload, the other does not");
    if (damage < 4)
      good &=
          holds(expected == (damage ? -1 : 0), "whole payloads are read, shorter and longer ones refused");
    if (expected == 0)
      good &= same_planes(&want, &got, plane->width, plane->height);
    if (damage == 0)
      good &= same(original->values, got.values, original->size);
    free_planes(&want), free_planes(&got), free(p.bytes);
  }
  return good;
}

/// −log2 of the shares of the range that symbols take, in bits: the mantissa is squared again and again.
static double information_of(const uint32_t *symbols, size_t count) {
  enum { FRACTION = 20 };
  uint64_t sum = 0;
  for (size_t i = 0; i < count; i++) {
    const uint32_t frequency = symbols[i] >> SC_RANS_BITS & ((1u << SC_RANS_BITS) - 1);
    const int whole = 31 - __builtin_clz(frequency);
    uint64_t mantissa = (uint64_t)frequency << (31 - whole), log2 = (uint64_t)whole;
    for (int bit = 0; bit < FRACTION; bit++) {
      mantissa = mantissa * mantissa >> 31;
      const uint64_t carry = mantissa >> 32;
      log2 = log2 << 1 | carry;
      mantissa >>= carry;
    }
    sum += ((uint64_t)SC_RANS_BITS << FRACTION) - log2;
  }
  return (double)sum / (1 << FRACTION);
}

/// A state x ≥ 2f grows by ⌊x/f⌋ or ⌊x/f⌋ + 1 times what is not f, in place of x/f times: a symbol costs 2/3 to 3/2 of its
/// information. Each lane's last state, of 32 bits, holds 0 to 16 of them.
static int has_size(size_t size, int lanes, double information) {
  const double bits = 8 * (double)size;
  return bits >= information * 2 / 3 + 16 * lanes - 1 && bits <= information * 3 / 2 + 32 * lanes + 1;
}

static int check_plane(const sc_kernels *k, const sc_kernels *ref) {
  const int32_t width = next() % 4 ? between(1, 2 * SIDE + 1) : PICK(18, 31, 32, 33, 48, 67);
  const int32_t height = next() % 4 ? between(1, 2 * SIDE + 1) : PICK(18, 23, 24, 25, 32, 40);
  enum { STATIC, THRESHOLD, TABLE, MEAN };
  const int kind = between(STATIC, MEAN);
  const int32_t start_shift = between(1, 12), phase_bits = kind == MEAN ? between(0, 3) : 0;
  const int32_t levels = kind == STATIC ? 1 : between(1, 9), indices = levels << phase_bits;
  const int with_samples = kind == MEAN || next() % 2, with_base = next() % 2, with_mean_base = next() % 2;
  snprintf(check_what, sizeof check_what, "%s plane %dx%d kind %d levels %d phase bits %d start shift %d",
           k->name, width, height, kind, levels, phase_bits, start_shift);

  uint8_t table[64];
  const int32_t most = PICK(0, 1, 20, 127);
  for (int i = 0; i < 64; i++)
    table[i] = (uint8_t)between(0, most);
  enum { DISTINCT = 6 };
  const sc_cdf *distinct[DISTINCT], *cdfs[9 * 8 + 1];
  void *memory[DISTINCT + 1];
  for (int i = 0; i < DISTINCT; i++)
    distinct[i] = make_cdf(&memory[i], PICK(2, 3, 5, 30, 255, 256), table, start_shift);
  for (int32_t i = 0; i < indices; i++)
    cdfs[i] = distinct[next() % DISTINCT];
  cdfs[indices] = make_cdf(&memory[DISTINCT], 1, table, start_shift);

  const sc_wavefront wavefront = sc_wavefront_of(width, height);
  const size_t places = 8 * wavefront.line;
  uint16_t *base = allocate(2 * places), level_of[SC_LEVEL_SUMS + 1];
  int32_t *mean_base = allocate(4 * places);
  uint8_t *scratch = allocate(sc_plane_scratch(width, height));
  memset(scratch, 0, sc_plane_scratch(width, height));
  sc_plane plane = {
      .width = width,
      .height = height,
      .magnitude_kind = kind == STATIC      ? PICK(SC_MAGNITUDE_NONE, SC_MAGNITUDE_TABLE)
                        : kind == THRESHOLD ? SC_MAGNITUDE_THRESHOLD
                                            : SC_MAGNITUDE_TABLE,
      .low = between(-3, 0),
      .high = between(0, 3),
      .table = table,
      .cdfs = cdfs,
      .start_shift = start_shift,
      .scratch = scratch,
  };
  int32_t weights = 0;
  for (int i = 0; kind != STATIC && i < 6; i++) {
    plane.weight[i] = next() % 4 ? between(0, 80) : 0;
    weights += plane.weight[i];
  }
  // Sums up to exactly 65535.
  const int32_t room = 65535 - weights * (kind == THRESHOLD ? 1 : 127), reach = PICK(room, 1023, 30);
  for (size_t i = 0; i < places; i++) {
    base[i] = (uint16_t)(next() % 8 ? between(0, reach) : reach);
    mean_base[i] = between(-500000000, 500000000) / PICK(1, 1000, 1000000);
  }
  // Any level for any sum, so that a sum that is off by one is seen; or in steps, as in models.
  const int steps = next() % 4 == 0;
  for (int32_t i = 0; i < SC_LEVEL_SUMS; i++)
    level_of[i] = (uint16_t)((steps ? i * levels / SC_LEVEL_SUMS : between(0, levels - 1)) << phase_bits);
  level_of[SC_LEVEL_SUMS] = (uint16_t)indices;
  if (kind != STATIC) {
    plane.level_of = level_of;
    plane.shift = next() % 2 ? between(0, 4) : between(0, 15);
    plane.base = with_base ? base : NULL;
  }
  if (kind == MEAN) {
    plane.mean_shift = between(phase_bits ? phase_bits : 1, 15);
    plane.phase_bits = phase_bits;
    plane.mean_base = with_mean_base ? mean_base : NULL;
    const int32_t amplitude = PICK(0, 30, 2000);
    for (int i = 0; i < 6; i++)
      plane.mean_weight[i] = between(-amplitude, amplitude);
  }

  planes want = make_planes(width, height), got = make_planes(width, height);
  fill_values(want.values, want.size);
  memcpy(got.values, want.values, 2 * want.size);
  const size_t capacity = want.size * SC_RANS_SYMBOLS_PER_VALUE;
  uint32_t *symbols[2];
  sc_rans_encoder encoders[2];
  for (int i = 0; i < 2; i++) {
    symbols[i] = allocate(4 * (capacity + 3 + BEYOND));
    memset(symbols[i], 0x5A, 4 * (capacity + 3 + BEYOND));
    encoders[i] = (sc_rans_encoder){.symbols = symbols[i], .capacity = capacity + 3};
    use_planes(&plane, i ? &got : &want, with_samples);
    (i ? k : ref)->encode_plane(&encoders[i], &plane);
  }
  int good = holds(encoders[0].count == encoders[1].count && encoders[0].count <= capacity &&
                       !memcmp(symbols[0], symbols[1], 4 * (capacity + 3 + BEYOND)),
                   "symbols differ");
  good &= same_planes(&want, &got, width, height);

  const size_t bound = sc_rans_payload_bound(encoders[0].count);
  uint8_t *out = allocate(bound);
  const size_t size = sc_rans_encoder_finish(&encoders[0], SC_RANS_LANES, out, bound);
  if (good)
    good &= check_payload(k, ref, &plane, &want, out + bound - size, size, SC_RANS_LANES, with_samples);
  const size_t short_size = sc_rans_encoder_finish(&encoders[0], 1, out, bound);
  const double information = information_of(symbols[0], encoders[0].count);
  good &= holds(has_size(size, SC_RANS_LANES, information) && has_size(short_size, 1, information),
                "a payload's size is not that of its information");
  if (good)
    good &= check_payload(k, ref, &plane, &want, out + bound - short_size, short_size, 1, with_samples);

  free(out), free(symbols[0]), free(symbols[1]), free_planes(&want), free_planes(&got);
  free(base), free(mean_base), free(scratch);
  for (int i = 0; i <= DISTINCT; i++)
    free(memory[i]);
  return good;
}

// ---- Sums over sources ---------------------------------------------------------------------------------------------

static int check_sums(const sc_kernels *k, const sc_kernels *ref) {
  const int32_t width = next() % 4 ? between(1, 2 * SIDE + 1) : PICK(31, 32, 33, 48, 63, 64, 65, 100, 129);
  const int32_t height = between(1, 2 * SIDE + 1), count = PICK(0, 1, 2, 3, 16);
  const int with_scales = next() % 2;
  snprintf(check_what, sizeof check_what, "%s sums %dx%d of %d sources%s", k->name, width, height, count,
           with_scales ? " and scales" : "");
  const size_t padded = (size_t)(width + 2 * MARGIN) * (size_t)(height + 2 * MARGIN);
  const size_t places = 8 * sc_wavefront_of(width, height).line, area = (size_t)width * (size_t)height;
  uint8_t *magnitudes[SC_CONTEXT_SOURCES], *scales = allocate(area), weights[SC_CONTEXT_SOURCES][9];
  int16_t *samples[SC_CONTEXT_SOURCES], mean_weights[SC_CONTEXT_SOURCES][9];
  sc_context_source sources[SC_CONTEXT_SOURCES];
  sc_mean_source mean_sources[SC_CONTEXT_SOURCES];
  const int32_t most = count ? 65535 / 2 / 127 / 9 / count : 0, heaviest = count ? 32767 / 9 / count : 0;
  const int fill = between(0, FILLS - 1), sample_fill = between(0, FILLS - 1), one = next() % 4 == 0;
  for (int32_t i = 0; i < count; i++) {
    magnitudes[i] = allocate(padded + SC_PLANE_SLACK);
    samples[i] = allocate(2 * (padded + SC_PLANE_SLACK));
    for (size_t j = 0; j < padded + SC_PLANE_SLACK; j++) {
      magnitudes[i][j] = (uint8_t)value(fill, 0, 127, j);
      samples[i][j] = value(sample_fill, -32768, 32767, j);
    }
    for (int j = 0; j < 9; j++) {
      weights[i][j] = next() % 3 ? (uint8_t)between(0, most < 127 ? most : 127) : 0;
      mean_weights[i][j] = next() % 3 ? (int16_t)between(-heaviest, heaviest) : 0;
    }
    if (one && count == 1) { // the greatest weights there are
      memset(weights[i], 0, 9), memset(mean_weights[i], 0, 18);
      weights[i][next() % 9] = 127;
      mean_weights[i][next() % 9] = (int16_t)PICK(32767, -32767);
    }
    sources[i] = (sc_context_source){.magnitudes = magnitudes[i], .weight = weights[i]};
    mean_sources[i] = (sc_mean_source){.samples = samples[i], .weight = mean_weights[i]};
  }
  for (size_t i = 0; i < area; i++)
    scales[i] = (uint8_t)next();
  uint8_t *scratch = allocate(sc_plane_scratch(width, height));
  memset(scratch, 0, sc_plane_scratch(width, height));
  uint16_t *base[2];
  int32_t *mean_base[2];
  for (int i = 0; i < 2; i++) {
    const sc_kernels *kernels = i ? k : ref;
    base[i] = (uint16_t *)(void *)guarded(places);
    mean_base[i] = (int32_t *)(void *)guarded(2 * places);
    kernels->context_base(base[i], width, height, sources, count, with_scales ? scales : NULL, 127, scratch);
    kernels->mean_base(mean_base[i], width, height, mean_sources, count, scratch);
  }
  // What is between the rows is not written.
  int good = same((const int16_t *)base[0], (const int16_t *)base[1], places);
  good &= same((const int16_t *)mean_base[0], (const int16_t *)mean_base[1], 2 * places);
  for (int i = 0; i < 2; i++)
    free(base[i]), free(mean_base[i]);
  for (int32_t i = 0; i < count; i++)
    free(magnitudes[i]), free(samples[i]);
  free(scales), free(scratch);
  return good;
}

int check_entropy(const sc_kernels *k, const sc_kernels *ref) {
  return check_plane(k, ref) & check_sums(k, ref);
}
