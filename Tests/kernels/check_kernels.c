// SPDX-License-Identifier: BSD-3-Clause
//
// Every variant of every kernel against the plain C reference, bit for bit.
//
//   check_kernels [--seed N] [--cases N] [--cpu NAME]
//
// A variant that this processor lacks is reported as SKIP. Fails when nothing but the reference could run.
// Buffers have exactly the sizes of the contracts, so that AddressSanitizer sees a read or write too many.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "sc_layout.h"

uint64_t random_state;
long check_ran;
char check_what[400];

void *allocate(size_t bytes) {
  void *p = NULL;
  if (posix_memalign(&p, 64, bytes ? bytes : 1))
    abort();
  return p;
}

int16_t value(int fill, int32_t lo, int32_t hi, size_t i) {
  switch (fill) {
  case MAXIMUM:
    return (int16_t)hi;
  case MINIMUM:
    return (int16_t)lo;
  case ALTERNATING:
    return (int16_t)(i & 1 ? lo : hi);
  case SPARSE:
    return (int16_t)(next() % 10 ? 0 : between(lo, hi));
  default:
    return (int16_t)between(lo, hi);
  }
}

int16_t *guarded(size_t count) {
  int16_t *p = allocate(count * 2);
  for (size_t i = 0; i < count; i++)
    p[i] = GUARD;
  return p;
}

int same(const int16_t *want, const int16_t *got, size_t count) {
  check_ran++;
  for (size_t i = 0; i < count; i++) {
    if (want[i] != got[i]) {
      printf("FAIL %s: element %zu is %d, not %d\n", check_what, i, got[i], want[i]);
      return 0;
    }
  }
  return 1;
}

int holds(int condition, const char *text) {
  check_ran++;
  if (!condition)
    printf("FAIL %s: %s\n", check_what, text);
  return condition;
}

// ---- Layers that keep the loader's promise -------------------------------------------------------------------------

static int32_t padded(int32_t channels) { return (channels + SC_LANES - 1) / SC_LANES * SC_LANES; }

static sc_requant make_requant(int32_t channels) {
  int32_t *bias = allocate((size_t)padded(channels) * 4), *shift = allocate((size_t)padded(channels) * 4);
  const int32_t leaky = next() % 2 ? 0 : between(1, 8), bits = between(1, 15), extreme = next() % 4;
  for (int32_t c = 0; c < padded(channels); c++) {
    int32_t most = leaky ? 31 - leaky : 30;
    shift[c] = c >= channels ? 1 : extreme == 0 ? most : extreme == 1 ? 1 : between(1, most);
    bias[c] = 0;
  }
  return (sc_requant){.bias = bias,
                      .shift = shift,
                      .lo = next() % 2 ? 0 : -(INT32_C(1) << bits),
                      .hi = (INT32_C(1) << bits) - 1,
                      .leaky = leaky};
}

// Fills the taps of one channel, `stride` apart, so that |bias| + sum |w| * 2^bits + 2^(s + k - 1) < 2^31,
// often barely.
static void make_channel(sc_requant *q, int32_t c, int16_t *w, size_t taps, size_t stride, int32_t bits,
                         int fill) {
  int64_t budget = (INT64_C(1) << 31) - 1 - (INT64_C(1) << (q->shift[c] + q->leaky - 1));
  int64_t bias = budget / PICK(1, 2, 100, 1000000) * between(-100, 100) / 100;
  budget -= bias < 0 ? -bias : bias;
  ((int32_t *)q->bias)[c] = (int32_t)bias;
  const int64_t most = budget >> bits;
  int64_t sum = 0;
  const int32_t amplitude = PICK(32767, 32767, 255, 3);
  for (size_t i = 0; i < taps; i++) {
    w[i * stride] = value(fill, amplitude == 32767 ? -32768 : -amplitude, amplitude, i);
    sum += abs(w[i * stride]);
  }
  if (sum > most) {
    int64_t kept = 0;
    for (size_t i = 0; i < taps; i++) {
      w[i * stride] = (int16_t)(w[i * stride] * most / sum);
      kept += abs(w[i * stride]);
    }
    for (size_t n = 0; n < 4 && kept < most; n++) { // the rest onto a few taps
      int16_t *one = &w[next() % taps * stride];
      int64_t room = 32767 - abs(*one), more = most - kept < room ? most - kept : room;
      kept += more;
      *one = (int16_t)(*one + (*one < 0 ? -more : more));
    }
  }
}

static void free_requant(sc_requant *q) { free((void *)q->bias), free((void *)q->shift); }

// ---- Cases ---------------------------------------------------------------------------------------------------------

enum { ROWS = SC_DEPTHWISE_SIDE };

static void make_rows(int16_t **rows, int32_t count, size_t elements, int32_t bits) {
  const int fill = between(0, FILLS - 1);
  for (int32_t r = 0; r < count; r++) {
    rows[r] = allocate((elements + SC_ROW_SLACK) * 2);
    for (size_t i = 0; i < elements + SC_ROW_SLACK; i++) {
      rows[r][i] = i < elements ? value(fill, -(1 << bits), (1 << bits) - 1, i) : (int16_t)next();
    }
  }
}

static int check_conv(const sc_kernels *k, const sc_kernels *ref) {
  const int32_t rows = next() % 2 ? between(1, 5) : between(1, ROWS), small = next() % 3;
  const int32_t run = small == 0   ? between(1, 70)
                      : small == 1 ? PICK(1, 2, 15, 16, 27, 32, 63, 64, 65, 96, 127, 128, 129, 192)
                                   : PICK(319, 320, 321, 640, 641, 960, 1025);
  const int32_t co =
      next() % 2 ? between(1, 70) : PICK(1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 48, 64, 65, 96, 97, 129);
  const size_t pixels =
      next() % 8 ? (size_t)between(1, 25) : (size_t)PICK(26, 47, 48, 49, 50, 53, 95, 97, 101);
  const ptrdiff_t in_step = next() % 4 ? between(1, run) : between(run, run + 40);
  const ptrdiff_t out_step = co + (next() % 2 ? 0 : between(1, 70));
  const int32_t bits = PICK(8, 10, 11, 15);
  const int fill = between(0, FILLS - 1);
  snprintf(check_what, sizeof check_what,
           "%s conv rows %d run %d out_channels %d pixels %zu in_step %td out_step %td bits %d fill %d",
           k->name, rows, run, co, pixels, in_step, out_step, bits, fill);
  sc_requant q = make_requant(co);
  const size_t taps = (size_t)rows * (size_t)run;
  int16_t *w = allocate(taps * (size_t)co * 2), *in[ROWS];
  for (int32_t c = 0; c < co; c++)
    make_channel(&q, c, w + (size_t)c * taps, taps, 1, bits, fill);
  make_rows(in, rows, (pixels - 1) * (size_t)in_step + (size_t)run, bits);
  const size_t size = (pixels - 1) * (size_t)out_step + (size_t)co, around = 40;
  int16_t *want = guarded(size + 2 * around), *got = guarded(size + 2 * around);
  const sc_kernels *both[] = {ref, k};
  for (int i = 0; i < 2; i++) {
    int16_t *packed = allocate(both[i]->conv_packed_size(rows, run, co));
    both[i]->conv_pack(packed, w, rows, run, co);
    const sc_conv conv = {.weights = packed, .rows = rows, .run = run, .out_channels = co, .requant = q};
    both[i]->conv(&conv, (const int16_t *const *)in, in_step, (i ? got : want) + around, out_step, pixels);
    free(packed);
  }
  const int good = same(want, got, size + 2 * around);
  for (int32_t r = 0; r < rows; r++)
    free(in[r]);
  free(w), free(want), free(got), free_requant(&q);
  return good;
}

static int check_depthwise(const sc_kernels *k, const sc_kernels *ref) {
  const int32_t side = PICK(3, 5, 7, 9), odd = next() % 4;
  const int32_t kh = odd ? side : between(1, ROWS), kw = odd ? side : between(1, ROWS);
  const int32_t channels = next() % 2 ? between(1, 70) : PICK(8, 16, 32, 48, 96, 100, 130);
  const size_t pixels = (size_t)between(1, 25);
  const ptrdiff_t in_step = next() % 2 ? channels : between(1, 3 * channels);
  const ptrdiff_t out_step = channels + (next() % 2 ? 0 : between(1, 70));
  const int32_t bits = PICK(8, 10, 11, 15);
  const int fill = between(0, FILLS - 1);
  snprintf(check_what, sizeof check_what,
           "%s depthwise %dx%d channels %d pixels %zu in_step %td out_step %td bits %d fill %d", k->name, kh,
           kw, channels, pixels, in_step, out_step, bits, fill);
  sc_requant q = make_requant(channels);
  const size_t stride = (size_t)padded(channels);
  int16_t *w = allocate((size_t)(kh * kw) * stride * 2), *in[ROWS];
  memset(w, 0, (size_t)(kh * kw) * stride * 2);
  for (int32_t c = 0; c < channels; c++)
    make_channel(&q, c, w + c, (size_t)(kh * kw), stride, bits, fill);
  make_rows(in, kh, (pixels - 1) * (size_t)in_step + (size_t)(kw * channels), bits);
  const sc_depthwise conv = {.weights = w, .kh = kh, .kw = kw, .channels = channels, .requant = q};
  const size_t size = (pixels - 1) * (size_t)out_step + (size_t)channels, around = 40;
  int16_t *want = guarded(size + 2 * around), *got = guarded(size + 2 * around);
  ref->depthwise(&conv, (const int16_t *const *)in, in_step, want + around, out_step, pixels);
  k->depthwise(&conv, (const int16_t *const *)in, in_step, got + around, out_step, pixels);
  const int good = same(want, got, size + 2 * around);
  for (int32_t r = 0; r < kh; r++)
    free(in[r]);
  free(w), free(want), free(got), free_requant(&q);
  return good;
}

static int check_gain(const sc_kernels *k, const sc_kernels *ref) {
  const int32_t channels = next() % 2 ? between(1, 70) : PICK(8, 16, 32, 48, 96, 100, 130);
  const size_t pixels = (size_t)between(1, 25), size = pixels * (size_t)channels, all = size + SC_ROW_SLACK;
  const int32_t bits = PICK(8, 10, 11, 15), in_place = next() % 2;
  const int fill = between(0, FILLS - 1);
  snprintf(check_what, sizeof check_what, "%s gain channels %d pixels %zu bits %d fill %d%s", k->name,
           channels, pixels, bits, fill, in_place ? " in place" : "");
  sc_requant q = make_requant(channels);
  int16_t *gain = allocate((size_t)padded(channels) * 2), *in;
  memset(gain, 0, (size_t)padded(channels) * 2);
  for (int32_t c = 0; c < channels; c++)
    make_channel(&q, c, gain + c, 1, 1, bits, fill);
  make_rows(&in, 1, size, bits);
  const sc_gain layer = {.gain = gain, .channels = channels, .requant = q};
  int16_t *want = guarded(all), *got = guarded(all);
  if (in_place)
    memcpy(want, in, all * 2), memcpy(got, in, all * 2);
  ref->gain(&layer, in_place ? want : in, want, pixels);
  k->gain(&layer, in_place ? got : in, got, pixels);
  const int good = same(want, got, all);
  free(in), free(gain), free(want), free(got), free_requant(&q);
  return good;
}

static int check_add(const sc_kernels *k, const sc_kernels *ref) {
  const size_t count = (size_t)between(1, 130), all = count + 40;
  const int32_t sa = between(0, 15), sb = next() % 2 ? 0 : between(0, 15), bits = between(1, 15),
                alias = PICK(0, 1, 2);
  const int32_t hi = (INT32_C(1) << bits) - 1, lo = next() % 2 ? 0 : -hi - 1;
  snprintf(check_what, sizeof check_what, "%s add count %zu shifts %d %d alias %d", k->name, count, sa, sb,
           alias);
  int16_t *a = allocate(all * 2), *b = allocate(all * 2), *results[2];
  const int fill_a = between(0, FILLS - 1), fill_b = between(0, FILLS - 1);
  const sc_kernels *both[] = {ref, k};
  for (size_t i = 0; i < all; i++)
    a[i] = value(fill_a, -32768, 32767, i), b[i] = value(fill_b, -32768, 32767, i);
  for (int i = 0; i < 2; i++) {
    results[i] = guarded(all);
    if (alias)
      memcpy(results[i], alias == 1 ? a : b, all * 2);
    both[i]->add(alias == 1 ? results[i] : a, alias == 2 ? results[i] : b, results[i], count, sa, sb, lo, hi);
  }
  const int good = same(results[0], results[1], all);
  free(a), free(b), free(results[0]), free(results[1]);
  return good;
}

// ---- Hand-checked values, so that the reference itself is pinned ---------------------------------------------------

static int check_reference(const sc_kernels *k) {
  const int32_t bias[SC_LANES] = {0}, shift[SC_LANES] = {1, 2, 3};
  const sc_requant q = {.bias = bias, .shift = shift, .lo = -100, .hi = 100, .leaky = 2};
  int16_t gain[SC_LANES] = {1, 1, 1},
          in[12 + SC_ROW_SLACK] = {3, 3, 4, -3, -3, -12, 30000, 30000, 30000, 1, 2, 3}, out[12];
  // 3/2 and 3/4 round half up; a negative value of slope 1/4 is shifted by two more: -3/8, -3/16, -12/32.
  const int16_t want[12] = {2, 1, 1, 0, 0, 0, 100, 100, 100, 1, 1, 0};
  const sc_gain layer = {.gain = gain, .channels = 3, .requant = q};
  k->gain(&layer, in, out, 4);
  snprintf(check_what, sizeof check_what, "%s by hand", k->name);
  return same(want, out, 12);
}

static int check_crc(void) {
  check_ran++;
  // Long ones go in three parts at a time, short ones do not.
  enum { LONG = 250001 };
  static uint8_t bytes[LONG];
  uint32_t pieces = 0;
  for (size_t i = 0; i < LONG; i++) {
    bytes[i] = (uint8_t)(i * i >> 7 ^ i);
  }
  for (size_t i = 0; i < LONG; i += 1000) {
    pieces = sc_crc32c(pieces, bytes + i, LONG - i < 1000 ? LONG - i : 1000);
  }
  if (sc_crc32c(0, "123456789", 9) == 0xE3069283u &&
      sc_crc32c(sc_crc32c(0, "1234", 4), "56789", 5) == 0xE3069283u && sc_crc32c(0, bytes, LONG) == pieces) {
    return 1;
  }
  return printf("FAIL crc32c\n"), 0;
}

// ---- Layouts: one variant, against their formulas ---------------------------------------------------------------

static int32_t clamped(int32_t v, int32_t lo, int32_t hi) { return v < lo ? lo : v > hi ? hi : v; }

static int16_t *random_elements(size_t count) {
  int16_t *p = allocate(2 * count);
  for (size_t i = 0; i < count; i++)
    p[i] = value(next() % 8 ? RANDOM : ALTERNATING, -32768, 32767, i);
  return p;
}

#define EXPECT(condition, name)                                                                              \
  if (!(condition)) {                                                                                        \
    printf("FAIL %s: channels %d, width %d, plane %zu\n", name, channels, width, plane);                     \
    good = 0;                                                                                                \
  }

static int check_layouts(void) {
  int good = 1;
  const int32_t channels = between(1, 40), width = between(1, 40);
  const size_t plane = (size_t)(width + between(0, 9)), c_count = (size_t)channels, w_count = (size_t)width;
  int16_t *planes = random_elements(c_count * plane), *row = allocate(2 * c_count * w_count),
          *back = random_elements(c_count * plane);
  sc_planes_to_row(planes, plane, row, channels, w_count);
  sc_row_to_planes(row, back, plane, channels, w_count);
  for (size_t c = 0; c < c_count; c++)
    for (size_t x = 0; x < w_count; x++) {
      EXPECT(row[x * c_count + c] == planes[c * plane + x], "planes to row")
      EXPECT(back[c * plane + x] == planes[c * plane + x], "row to planes")
    }

  int16_t *parameters = random_elements(2 * c_count * w_count);
  for (size_t i = 0; i < 2 * c_count * w_count; i += 2)
    parameters[i] = (int16_t)between(-300, 600);
  uint8_t *scales = allocate(c_count * plane);
  sc_row_to_parameters(parameters, back, scales, plane, channels, w_count);
  for (size_t c = 0; c < c_count; c++)
    for (size_t x = 0; x < w_count; x++) {
      const int16_t *p = parameters + 2 * x * c_count;
      EXPECT(back[c * plane + x] == p[c], "means")
      EXPECT(scales[c * plane + x] == clamped(p[c_count + c], 0, 255), "scales")
    }

  const int32_t shift = between(0, 15), bits = between(1, 15), lo = next() % 2 ? 0 : -(1 << bits),
                hi = (1 << bits) - 1;
  const size_t step = c_count + (size_t)between(0, 5);
  int16_t *from = random_elements(step * w_count), *copy = guarded(step * w_count);
  sc_copy_channels(from, (ptrdiff_t)step, copy, (ptrdiff_t)step, channels, w_count, shift, lo, hi);
  for (size_t x = 0; x < w_count; x++)
    for (size_t c = 0; c < step; c++) {
      const int32_t v = (from[x * step + c] + (shift ? 1 << (shift - 1) : 0)) >> shift;
      EXPECT(copy[x * step + c] == (c < c_count ? clamped(v, lo, hi) : GUARD), "copied channels")
    }

  const int32_t factor = 1 << between(1, 3), deep = next() % 2 ? 3 : between(1, 5);
  const size_t f = (size_t)factor, d = (size_t)deep, square = f * f;
  int16_t *whole = random_elements(w_count * d * square), *line = allocate(2 * w_count * d * f),
          *again = allocate(2 * w_count * d * square);
  for (size_t i = 0; i < f; i++) {
    sc_pixel_shuffle(whole, line, deep, factor, (int32_t)i, w_count);
    for (size_t x = 0; x < w_count; x++)
      for (size_t j = 0; j < f; j++)
        for (size_t c = 0; c < d; c++)
          EXPECT(line[(x * f + j) * d + c] == whole[x * d * square + c * square + i * f + j], "pixel shuffle")
    sc_pixel_unshuffle(line, again, deep, factor, (int32_t)i, w_count);
  }
  EXPECT(!memcmp(whole, again, 2 * w_count * d * square), "pixel unshuffle")
  free(planes), free(row), free(back), free(parameters), free(scales), free(from), free(copy), free(whole);
  free(line), free(again);
  return good;
}

int main(int argc, char **argv) {
  uint64_t seed = sc_clock_ns();
  long cases = 2000;
  const char *only = NULL;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--seed"))
      seed = strtoull(argv[i + 1], NULL, 0);
    if (!strcmp(argv[i], "--cases"))
      cases = atol(argv[i + 1]);
    if (!strcmp(argv[i], "--cpu"))
      only = argv[i + 1];
  }
  printf("seed %llu\n", (unsigned long long)seed);
  const sc_kernels *ref = sc_kernels_get(SC_CPU_SCALAR);
  random_state = seed | 1;
  int good = check_reference(ref) & check_crc(), variants = 0;
  // The reference with itself: what it codes it decodes, and damage is noticed.
  for (long i = 0; good && i < cases; i++)
    good &= check_entropy(ref, ref);
  for (long i = 0; good && i < cases; i++)
    good &= check_layouts();
  for (int cpu = SC_CPU_SCALAR + 1; cpu < SC_CPU_COUNT; cpu++) {
    if (only && strcmp(only, sc_cpu_name(cpu)))
      continue;
    const sc_kernels *k = sc_kernels_get((sc_cpu)cpu);
    if (!k) {
      printf("SKIP %s: not on this processor\n", sc_cpu_name(cpu));
      continue;
    }
    random_state = (seed ^ 0x9E3779B97F4A7C15u) | 1;
    check_ran = 0;
    int fine = check_reference(k);
    for (long i = 0; fine && i < cases; i++)
      fine &= check_conv(k, ref);
    for (long i = 0; fine && i < cases; i++) {
      fine &= check_depthwise(k, ref) & check_gain(k, ref) & check_add(k, ref);
    }
    long before = check_ran;
    for (long i = 0; fine && i < cases; i++)
      fine &= check_entropy(k, ref);
    fine &= check_ran > before && before > 1; // a test of nothing fails
    printf("%s %s: %ld cases\n", fine ? "ok  " : "FAIL", k->name, check_ran);
    good &= fine;
    variants++;
  }
  if (!variants)
    printf("FAIL: no variant but the reference could run\n");
  return good && variants ? 0 : 1;
}
