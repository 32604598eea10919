// SPDX-License-Identifier: BSD-3-Clause
//
// Motion: every variant of every kernel against plain C, compensation against its specification, the code of vectors
// there and back, hostile streams, and the same search on every variant.
//
//   check_motion [--seed N] [--cases N] [--tables FILE]
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "sc_motion.h"

uint64_t random_state;
static long ran;
static void *allocate(size_t bytes) {
  void *p = NULL;
  if (posix_memalign(&p, 64, bytes ? bytes : 1))
    abort();
  return p;
}

static __attribute__((format(printf, 1, 2))) int fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("FAIL ");
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
  return 0;
}

enum { RANDOM, BLACK, WHITE, STRIPES, SMOOTH, FILLS };
static void fill(uint8_t *p, size_t n) {
  const int32_t kind = between(0, FILLS - 1);
  for (size_t i = 0; i < n; i++)
    p[i] = (uint8_t)(kind == BLACK     ? 0
                     : kind == WHITE   ? 255
                     : kind == STRIPES ? (next() % 64 ? (i & 1) * 255 : next())
                     : kind == SMOOTH  ? i / 7 + next() % 3
                                       : next());
}

// Every table that this processor has, without those that are the same as the one before.
static int32_t variants(const sc_motion_kernels *out[SC_CPU_COUNT]) {
  int32_t n = 0;
  for (int cpu = 0; cpu < SC_CPU_COUNT; cpu++) {
    const sc_motion_kernels *k = sc_motion_kernels_get((sc_cpu)cpu);
    if (k && (!n || out[n - 1] != k))
      out[n++] = k;
  }
  return n;
}

// ---- Kernels -------------------------------------------------------------------------------------------------------

enum { SIDE = 64, AT = 16, GUARD = 0xA5 };

static int check_kernels(const sc_motion_kernels *ref, const sc_motion_kernels *k) {
  uint8_t in[SIDE * SIDE], other[SIDE * SIDE], want[20 * 20], got[20 * 20];
  fill(in, sizeof in);
  fill(other, sizeof other);
  const uint8_t *a = in + AT * SIDE + AT + between(0, 7), *b = other + AT * SIDE + AT + between(0, 7);
  for (int32_t chroma = 0; chroma < 2; chroma++) {
    const int32_t size = (next() % 2 ? 16 : 8) >> chroma, last = chroma ? 7 : 3;
    for (int32_t f = 0; f < (last + 1) * (last + 1); f++) {
      memset(want, GUARD, sizeof want);
      memset(got, GUARD, sizeof got);
      (chroma ? ref->chroma : ref->luma)(want + 42, 20, a, SIDE, size, f & last, f / (last + 1));
      (chroma ? k->chroma : k->luma)(got + 42, 20, a, SIDE, size, f & last, f / (last + 1));
      ran++;
      if (memcmp(want, got, sizeof want))
        return fail("%s %s size %d fraction %d %d", k->name, chroma ? "chroma" : "luma", size, f & last,
                    f / (last + 1));
    }
  }
  for (int32_t size = 8; size <= 16; size += 8)
    if (ref->squares(a, SIDE, b, SIDE, size) != k->squares(a, SIDE, b, SIDE, size))
      return fail("%s sum of squares, size %d", k->name, size);
  uint32_t sums[2][4];
  ref->sad16(a, SIDE, b, SIDE, sums[0]);
  k->sad16(a, SIDE, b, SIDE, sums[1]);
  uint16_t rows[2][8];
  ref->sad8_row(a, SIDE, b, SIDE, rows[0]);
  k->sad8_row(a, SIDE, b, SIDE, rows[1]);
  if (memcmp(sums[0], sums[1], sizeof sums[0]) || memcmp(rows[0], rows[1], sizeof rows[0]) ||
      ref->sad8(a, SIDE, b, SIDE) != k->sad8(a, SIDE, b, SIDE))
    return fail("%s sums of absolute differences", k->name);
  memset(in, 0, sizeof in);
  memset(other, 255, sizeof other);
  for (int32_t size = 8; size <= 16; size += 8) {
    const uint32_t most = 255u * 255u * (uint32_t)(size * size);
    if (ref->squares(a, SIDE, b, SIDE, size) != most || k->squares(a, SIDE, b, SIDE, size) != most)
      return fail("%s sum of the largest squares", k->name);
  }
  return 1;
}

// ---- Frames --------------------------------------------------------------------------------------------------------

typedef struct scene {
  int32_t width, height;
  void *memory, *vectors, *previous, *modes;
  uint8_t *coded;    // blocks of second vectors, for fields that take it
  uint8_t *tight[2]; // planes of the reference without padding; of the current frame
  sc_motion_frame plain, padded;
  sc_motion_field field;
} scene;

static size_t tight_size(int32_t w, int32_t h) {
  return (size_t)w * (size_t)h + 2 * (size_t)((w + 1) / 2) * (size_t)((h + 1) / 2);
}

static sc_motion_frame frame_of(uint8_t *samples, int32_t w, int32_t h) {
  const int32_t cw = (w + 1) / 2, ch = (h + 1) / 2;
  const size_t luma = (size_t)w * (size_t)h, chroma = (size_t)cw * (size_t)ch;
  return (sc_motion_frame){
      .plane = {{.samples = samples, .stride = w, .width = w, .height = h},
                {.samples = samples + luma, .stride = cw, .width = cw, .height = ch},
                {.samples = samples + luma + chroma, .stride = cw, .width = cw, .height = ch}}};
}

static scene make_scene(void) {
  static const int32_t sizes[][2] = {{1, 1}, {3, 5}, {17, 33}, {16, 16}, {15, 64}, {2, 31}, {48, 32}};
  const uint32_t which = next() % 12;
  scene s = {.width = which < 7 ? sizes[which][0] : between(1, 120),
             .height = which < 7 ? sizes[which][1] : between(1, 90)};
  const size_t bytes = tight_size(s.width, s.height);
  s.memory = allocate(sc_motion_frame_size(s.width, s.height));
  s.padded = sc_motion_frame_make(s.memory, s.width, s.height);
  for (int i = 0; i < 2; i++) {
    s.tight[i] = allocate(bytes);
    fill(s.tight[i], bytes);
  }
  // Sometimes the current frame is a moved reference.
  if (next() % 2) {
    const int32_t dx = between(-9, 9), dy = between(-9, 9);
    for (int32_t y = 0; y < s.height; y++) {
      for (int32_t x = 0; x < s.width; x++) {
        const int32_t fx = x + dx < 0 ? 0 : x + dx >= s.width ? s.width - 1 : x + dx;
        const int32_t fy = y + dy < 0 ? 0 : y + dy >= s.height ? s.height - 1 : y + dy;
        s.tight[1][y * s.width + x] = s.tight[0][fy * s.width + fx];
      }
    }
  }
  s.plain = frame_of(s.tight[0], s.width, s.height);
  for (int i = 0; i < 3; i++)
    sc_motion_plane_load(&s.padded.plane[i], s.plain.plane[i].samples, s.plain.plane[i].stride);
  s.field.blocks_x = sc_motion_blocks(s.width);
  s.field.blocks_y = sc_motion_blocks(s.height);
  const size_t blocks = (size_t)s.field.blocks_x * (size_t)s.field.blocks_y;
  s.vectors = s.field.vectors = allocate(blocks * 4 * sizeof(sc_vector));
  s.previous = allocate(blocks * 4 * sizeof(sc_vector));
  s.modes = s.field.modes = allocate(blocks);
  s.coded = allocate(blocks);
  const uint32_t share = next() % 4;
  for (size_t i = 0; i < blocks; i++)
    s.coded[i] = next() % 4 <= share;
  return s;
}

static void free_scene(scene *s) {
  free(s->memory), free(s->vectors), free(s->previous), free(s->modes), free(s->coded), free(s->tight[0]),
      free(s->tight[1]);
}

static sc_vector random_vector(void) {
  switch (next() % 8) {
  case 0:
    return (sc_vector){(int16_t)(next() % 2 ? SC_VECTOR_LIMIT : -SC_VECTOR_LIMIT),
                       (int16_t)between(-SC_VECTOR_LIMIT, SC_VECTOR_LIMIT)};
  case 1:
    return (sc_vector){(int16_t)between(-SC_VECTOR_LIMIT, SC_VECTOR_LIMIT),
                       (int16_t)(next() % 2 ? SC_VECTOR_LIMIT : -SC_VECTOR_LIMIT)};
  case 2:
    return (sc_vector){(int16_t)between(-300, 300), (int16_t)between(-300, 300)};
  case 3:
    return (sc_vector){0, 0};
  default:
    return (sc_vector){(int16_t)between(-20, 20), (int16_t)between(-20, 20)};
  }
}

static void random_field(const sc_motion_field *f, sc_vector *vectors) {
  const int32_t stride = 2 * f->blocks_x;
  for (int32_t y = 0; y < 2 * f->blocks_y; y++) {
    for (int32_t x = 0; x < stride; x++) {
      sc_vector *v = vectors + (ptrdiff_t)y * stride + x;
      const uint32_t kind = next() % 8;
      if ((x | y) & 1 && kind) // mostly as the block's first
        *v = vectors[(ptrdiff_t)(y & ~1) * stride + (x & ~1)];
      else if (x > 0 && kind < 4)
        *v = v[-1];
      else if (y > 0 && kind < 6)
        *v = v[-stride];
      else
        *v = random_vector();
    }
  }
}

static int check_compensation(const sc_motion_kernels *k) {
  scene s = make_scene();
  random_field(&s.field, s.field.vectors);
  const size_t bytes = tight_size(s.width, s.height);
  uint8_t *want = allocate(bytes), *got = allocate(bytes);
  const sc_motion_frame a = frame_of(want, s.width, s.height), b = frame_of(got, s.width, s.height);
  sc_motion_compensate_c(&s.plain, &s.field, &a);
  memset(got, GUARD, bytes);
  const int32_t middle = between(0, s.field.blocks_y);
  sc_motion_compensate(k, &s.padded, &s.field, middle, s.field.blocks_y, &b);
  sc_motion_compensate(k, &s.padded, &s.field, 0, middle, &b);
  ran++;
  int good = !memcmp(want, got, bytes);
  if (!good)
    fail("%s compensation %d × %d", k->name, s.width, s.height);
  // Where second vectors begin.
  const ptrdiff_t cells = 4 * (ptrdiff_t)s.field.blocks_x * s.field.blocks_y;
  sc_vector *given = allocate((size_t)cells * sizeof *given);
  const sc_vector *previous = s.previous;
  random_field(&s.field, s.previous);
  sc_motion_second_vectors(&s.field, previous, given);
  for (ptrdiff_t i = 0; i < cells; i++) {
    const int32_t sum[2] = {s.field.vectors[i].x + previous[i].x, s.field.vectors[i].y + previous[i].y},
                  got_sum[2] = {given[i].x, given[i].y};
    for (int c = 0; c < 2; c++)
      if (got_sum[c] != (abs(sum[c]) <= SC_VECTOR_LIMIT ? sum[c]
                         : sum[c] < 0                   ? -SC_VECTOR_LIMIT
                                                        : SC_VECTOR_LIMIT))
        good = fail("where second vectors begin, %d × %d", s.width, s.height);
  }
  ran++;
  free(given);
  // A second prediction of some blocks.
  uint8_t *other = allocate(bytes);
  const sc_motion_frame c = frame_of(other, s.width, s.height);
  random_field(&s.field, s.field.vectors);
  sc_motion_compensate_c(&s.plain, &s.field, &c);
  for (int i = 0; i < 3; i++) {
    const sc_motion_plane *p = &a.plane[i];
    for (int32_t y = 0; y < p->height; y++) {
      for (int32_t x = 0; x < p->width; x++) {
        const int32_t size = i ? 8 : 16;
        uint8_t *v = p->samples + y * p->stride + x;
        if (s.coded[y / size * s.field.blocks_x + x / size])
          *v = (uint8_t)((*v + c.plane[i].samples[y * p->stride + x] + 1) / 2);
      }
    }
  }
  s.field.coded = s.coded;
  sc_motion_compensate_second(k, &s.padded, &s.field, middle, s.field.blocks_y, &b);
  sc_motion_compensate_second(k, &s.padded, &s.field, 0, middle, &b);
  ran++;
  if (memcmp(want, got, bytes))
    good = fail("%s second prediction %d × %d", k->name, s.width, s.height);
  free(want), free(got), free(other);
  free_scene(&s);
  return good;
}

// ---- The code of vectors -------------------------------------------------------------------------------------------

static void random_tables(sc_motion_tables *t) {
  static sc_motion_counts counts;
  const int32_t scale = between(0, 3);
  for (int32_t i = 0; i < SC_MOTION_TABLES; i++)
    for (int32_t s = 0; s < SC_MOTION_ALPHABET; s++)
      counts.count[i][s] = scale == 0 || s >= sc_motion_alphabet(i) ? 0
                           : scale == 1                             ? next() % 50
                           : scale == 2                             ? next() % 20 ? 0 : next() % 1000000
                                                                    : (s == 0) * 4000000u;
  sc_motion_tables_fit(t, &counts);
}

typedef struct list {
  const sc_motion_symbol *symbols;
  size_t count, at;
} list;
static int32_t list_symbol(void *context, int32_t table) {
  list *l = context;
  if (l->at == l->count || l->symbols[l->at].table != table)
    return -1;
  return l->symbols[l->at++].symbol;
}
static int32_t list_raw(void *context, int32_t bits) {
  list *l = context;
  if (l->at == l->count || l->symbols[l->at].table != SC_MOTION_RAW || l->symbols[l->at].bits != bits)
    return -1;
  return l->symbols[l->at++].symbol;
}

static int32_t random_symbol(void *context, int32_t table) {
  (void)context;
  return next() % 1000 ? (int32_t)(next() % (uint32_t)sc_motion_alphabet(table)) : -1;
}
static int32_t random_raw(void *context, int32_t bits) {
  (void)context;
  return (int32_t)(next() & ((1u << bits) - 1));
}

// What is known of a field before its symbols: vectors of blocks that are not coded.
static void begin(const sc_motion_field *f, const sc_vector *known) {
  const ptrdiff_t stride = 2 * f->blocks_x;
  for (ptrdiff_t i = 0; i < 4 * (ptrdiff_t)f->blocks_x * f->blocks_y; i++) {
    const ptrdiff_t block = i / stride / 2 * f->blocks_x + i % stride / 2;
    f->vectors[i] = f->coded && !f->coded[block] ? known[i] : (sc_vector){257, 257};
  }
}

static int within(const sc_motion_field *f) {
  for (ptrdiff_t i = 0; i < 4 * (ptrdiff_t)f->blocks_x * f->blocks_y; i++)
    if (abs(f->vectors[i].x) > SC_VECTOR_LIMIT || abs(f->vectors[i].y) > SC_VECTOR_LIMIT)
      return 0;
  return 1;
}

static int check_code(void) {
  scene s = make_scene();
  sc_motion_field f = s.field;
  const size_t blocks = (size_t)f.blocks_x * (size_t)f.blocks_y, bytes = blocks * 4 * sizeof(sc_vector);
  random_field(&f, f.vectors);
  random_field(&f, s.previous);
  const sc_vector *previous = next() % 3 ? s.previous : NULL;
  f.coded = next() % 2 ? s.coded : NULL;
  static sc_motion_tables tables, all[SC_MOTION_SETS];
  random_tables(&tables);
  // A section there and back.
  uint8_t *section = allocate(sc_motion_tables_size(1));
  sc_motion_tables_write(section, &tables, 1);
  int good = sc_motion_tables_read(all, section, sc_motion_tables_size(1)) == 1 &&
             !memcmp(all, &tables, sizeof tables);
  if (!good)
    fail("section");
  section[next() % sc_motion_tables_size(1)] ^= (uint8_t)(1 << next() % 8);
  if (sc_motion_tables_read(all, section, sc_motion_tables_size(1)) >= 0)
    good = fail("a section with a flipped bit was read");
  free(section);

  sc_motion_symbol *symbols = allocate(blocks * SC_MOTION_SYMBOLS_PER_BLOCK * sizeof *symbols);
  const size_t count = sc_motion_symbols(&f, previous, symbols);
  if (count > blocks * SC_MOTION_SYMBOLS_PER_BLOCK)
    good = fail("%zu symbols of %zu blocks", count, blocks);
  sc_vector *vectors = allocate(bytes);
  uint8_t *modes = allocate(blocks);
  const sc_motion_field back = {
      .blocks_x = f.blocks_x, .blocks_y = f.blocks_y, .vectors = vectors, .modes = modes, .coded = f.coded};
  list l = {symbols, count, 0};
  begin(&back, f.vectors);
  const sc_motion_source from_list = {list_symbol, list_raw, &l};
  ran++;
  if (sc_motion_rebuild(&from_list, &back, previous) || l.at != count || memcmp(vectors, f.vectors, bytes) ||
      memcmp(modes, f.modes, blocks))
    good = fail("field → symbols → field, %d × %d", s.width, s.height);

  // The rANS payload, whole, cut and with flipped bits.
  sc_rans_encoder encoder = {.symbols = allocate(count * 4), .capacity = count};
  const int lane = (int)(next() % 4);
  sc_motion_encode(&encoder, lane, &tables, symbols, count);
  const size_t bound = sc_rans_payload_bound(count);
  uint8_t *out = allocate(bound), *payload = allocate(bound + SC_RANS_SLACK);
  const int lanes = next() % 2 ? SC_RANS_LANES : 1;
  const size_t size = sc_rans_encoder_finish(&encoder, lanes, out, bound);
  memset(payload, 0, bound + SC_RANS_SLACK);
  memcpy(payload, out + bound - size, size);
  sc_rans_decoder decoder;
  begin(&back, f.vectors);
  if (sc_rans_decoder_init(&decoder, lanes, payload, size) ||
      sc_motion_decode(&decoder, lane, &tables, &back, previous) || sc_rans_decoder_finish(&decoder) ||
      memcmp(vectors, f.vectors, bytes))
    good = fail("rANS there and back");
  // Its length is the sum of the costs, up to the states and the rounding of costs.
  static sc_motion_costs costs;
  sc_motion_costs_make(&costs, &tables);
  const uint64_t bits = sc_motion_bits(symbols, count, &costs) / 256;
  if (size * 8 > bits + 8 * 16 + 32 + count / 100 || size * 8 + 32 + count / 16 < bits)
    good = fail("%zu bytes for %llu bits", size, (unsigned long long)bits);
  for (int i = 0; i < 8; i++) {
    size_t n = size;
    if (next() % 2)
      payload[next() % size] ^= (uint8_t)(1 << next() % 8);
    else
      n = next() % (size + 1);
    if (!sc_rans_decoder_init(&decoder, lanes, payload, n) &&
        !sc_motion_decode(&decoder, lane, &tables, &back, previous) && !within(&back))
      good = fail("a vector beyond the limit");
  }
  const sc_motion_source any = {random_symbol, random_raw, NULL};
  if (!sc_motion_rebuild(&any, &back, previous) && !within(&back))
    good = fail("a vector beyond the limit");
  free(symbols), free(vectors), free(modes), free(encoder.symbols), free(out), free(payload);
  free_scene(&s);
  return good;
}

// Every difference, as one block that follows zeros.
static int check_differences(void) {
  static sc_vector vectors[2][8];
  uint8_t modes[2];
  sc_motion_symbol symbols[2 * SC_MOTION_SYMBOLS_PER_BLOCK];
  for (int32_t d = -2 * SC_VECTOR_LIMIT; d <= 2 * SC_VECTOR_LIMIT; d++) {
    const int32_t first = d < 0 ? SC_VECTOR_LIMIT : -SC_VECTOR_LIMIT;
    const int32_t second = abs(first + d) <= SC_VECTOR_LIMIT ? first + d : 0;
    for (int i = 0; i < 8; i++)
      vectors[0][i] = (i & 2) ? (sc_vector){(int16_t)second, (int16_t)-second}
                              : (sc_vector){(int16_t)first, (int16_t)-first};
    const sc_motion_field f = {.blocks_x = 2, .blocks_y = 1, .vectors = vectors[0], .modes = modes};
    const sc_motion_field back = {.blocks_x = 2, .blocks_y = 1, .vectors = vectors[1], .modes = modes};
    list l = {symbols, sc_motion_symbols(&f, NULL, symbols), 0};
    const sc_motion_source source = {list_symbol, list_raw, &l};
    ran++;
    if (sc_motion_rebuild(&source, &back, NULL) || memcmp(vectors[0], vectors[1], sizeof vectors[0]))
      return fail("difference %d", d);
  }
  return 1;
}

// ---- Search --------------------------------------------------------------------------------------------------------

static int check_search(const sc_motion_kernels *const *kernels, int32_t count) {
  scene s = make_scene();
  static sc_motion_tables tables;
  static sc_motion_costs costs;
  random_tables(&tables);
  sc_motion_costs_make(&costs, &tables);
  random_field(&s.field, s.previous);
  const size_t bytes = (size_t)s.field.blocks_x * (size_t)s.field.blocks_y * 4 * sizeof(sc_vector);
  const size_t blocks = bytes / 4 / sizeof(sc_vector);
  void *memory = allocate(sc_motion_search_size(s.width, s.height)), *first = allocate(bytes),
       *modes = allocate(blocks);
  sc_motion_symbol *symbols = allocate(blocks * SC_MOTION_SYMBOLS_PER_BLOCK * sizeof *symbols);
  sc_motion_search search = sc_motion_search_make(memory, s.width, s.height);
  search.costs = &costs;
  search.reference = &s.padded.plane[0];
  search.previous = next() % 2 ? s.previous : NULL;
  search.lambda = next() % 2 ? next() % (SC_MOTION_LAMBDA_LIMIT + 1) : next() % 2000;
  search.effort = between(0, 2);
  // Second vectors, beside a prediction that resembles the frame more or less.
  void *single_memory = allocate(sc_motion_plane_size(s.width, s.height));
  sc_motion_plane single = sc_motion_plane_make(single_memory, s.width, s.height);
  if (next() % 2) {
    search.single = &single;
    search.previous = s.previous;
    s.field.coded = s.coded;
    const int32_t noise = between(0, 60);
    for (int32_t y = 0; y < s.height; y++) {
      for (int32_t x = 0; x < s.width; x++) {
        const int32_t v = s.tight[1][y * s.width + x] + between(-noise, noise);
        single.samples[y * single.stride + x] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
      }
    }
    for (int i = 0; i < 3; i++)
      search.flag_cost[i][0] = (uint16_t)(next() % 2000), search.flag_cost[i][1] = (uint16_t)(next() % 2000);
  }
  int good = 1;
  for (int32_t i = 0; i < count && good; i++) {
    search.kernels = kernels[i];
    sc_motion_search_all(&search, s.tight[1], s.width, &s.field);
    ran++;
    if (i == 0)
      memcpy(first, s.field.vectors, bytes);
    else if (memcmp(first, s.field.vectors, bytes))
      good = fail("%s finds other vectors than %s, %d × %d", kernels[i]->name, kernels[0]->name, s.width,
                  s.height);
  }
  // In parts, the lower ones first, as threads may take them.
  memset(memory, 0xA5, sc_motion_search_size(s.width, s.height));
  const int32_t rows = s.field.blocks_y, cut = between(0, rows);
  sc_motion_search_load(&search, s.tight[1], s.width, cut, rows);
  sc_motion_search_load(&search, s.tight[1], s.width, 0, cut);
  sc_motion_search_pad(&search);
  sc_motion_search_coarse(&search, cut, rows);
  sc_motion_search_coarse(&search, 0, cut);
  sc_motion_search_whole(&search, cut, rows);
  sc_motion_search_whole(&search, 0, cut);
  for (int32_t row = 0; row < rows; row++) {
    const int32_t middle = between(0, s.field.blocks_x);
    sc_motion_search_decide(&search, &s.field, row, 0, middle);
    sc_motion_search_decide(&search, &s.field, row, middle, s.field.blocks_x);
  }
  ran++;
  if (good && memcmp(first, s.field.vectors, bytes))
    good = fail("other vectors where the search is done in parts, %d × %d", s.width, s.height);
  if (!within(&s.field))
    good = fail("search beyond the limit");
  // The modes that it assumed are those of the code.
  memcpy(modes, s.field.modes, blocks);
  sc_motion_symbols(&s.field, search.previous, symbols);
  if (memcmp(modes, s.field.modes, blocks))
    good = fail("modes of the search, %d × %d", s.width, s.height);
  if (search.single)
    for (size_t i = 0; i < blocks; i++) {
      const size_t stride = 2 * (size_t)s.field.blocks_x,
                   at = i / (stride / 2) * 2 * stride + i % (stride / 2) * 2;
      if (s.coded[i] > 1 ||
          (!s.coded[i] && memcmp(s.field.vectors + at, (sc_vector *)s.previous + at, 2 * sizeof(sc_vector))))
        good = fail("a block without second vectors, %d × %d", s.width, s.height);
    }
  free(memory), free(first), free(modes), free(symbols), free(single_memory);
  free_scene(&s);
  return good;
}

// ---- Choices of the encoder ----------------------------------------------------------------------------------------

// The frame's samples may stand apart, as in NV12.
static int check_choices(void) {
  scene s = make_scene();
  const ptrdiff_t step = between(1, 2);
  const size_t samples = tight_size(s.width, s.height), blocks = (size_t)s.field.blocks_x;
  uint8_t *apart = allocate(samples * (size_t)step), *decoded = allocate(samples);
  int64_t *gains = allocate(blocks * sizeof *gains), *want = allocate(blocks * sizeof *want);
  fill(decoded, samples);
  for (size_t i = 0; i < samples; i++)
    apart[i * (size_t)step] = s.tight[1][i];
  const sc_motion_frame frame = frame_of(s.tight[1], s.width, s.height),
                        other = frame_of(decoded, s.width, s.height);
  sc_component components[3];
  for (int c = 0; c < 3; c++)
    components[c] = (sc_component){.base = apart + (frame.plane[c].samples - s.tight[1]) * step,
                                   .step = step,
                                   .row_stride = frame.plane[c].stride * step};
  int good = 1;
  for (int32_t row = 0; row < s.field.blocks_y && good; row++) {
    memset(want, 0, blocks * sizeof *want);
    for (int c = 0; c < 3; c++) {
      const int32_t size = c ? 8 : 16;
      const sc_motion_plane *f = &frame.plane[c], *p = &s.padded.plane[c], *d = &other.plane[c];
      for (int32_t y = size * row; y < size * (row + 1) && y < f->height; y++) {
        for (int32_t x = 0; x < f->width; x++) {
          const int32_t v = f->samples[y * f->stride + x], a = v - p->samples[y * p->stride + x],
                        b = v - d->samples[y * d->stride + x];
          want[x / size] += (c ? 8 : 3) * (b * b - a * a);
        }
      }
    }
    sc_motion_skip_gain(components, &s.padded, &other, row, gains);
    ran++;
    if (memcmp(gains, want, blocks * sizeof *gains))
      good = fail("gains of skipping, %d × %d", s.width, s.height);
  }
  // Any cut into rows has the same sums.
  uint64_t whole[2] = {0, 0}, parts[2] = {0, 0}, sums[2];
  for (int32_t y = 2; y < s.height; y += 2) {
    for (int32_t x = 0; x < s.width; x += 2) {
      const uint8_t *f = s.tight[1] + y * s.width + x;
      const sc_motion_plane *p = &s.padded.plane[0];
      whole[0] += (uint64_t)abs(f[0] - p->samples[y * p->stride + x]);
      whole[1] += (uint64_t)abs(f[0] - f[-2 * s.width]);
    }
  }
  for (int32_t y = 0, end; y < s.height; y = end) {
    end = between(y + 1, s.height);
    sc_motion_scene(&components[0], &s.padded.plane[0], y, end, sums);
    parts[0] += sums[0], parts[1] += sums[1];
  }
  ran++;
  if (memcmp(whole, parts, sizeof whole))
    good = fail("sums of a new scene, %d × %d", s.width, s.height);
  free(apart), free(decoded), free(gains), free(want);
  free_scene(&s);
  return good;
}

static int check_predict(void) {
  scene s = make_scene();
  const size_t bytes = tight_size(s.width, s.height);
  uint8_t *out = allocate(bytes), *want = allocate(bytes);
  void *memory = allocate(sc_motion_predict_size(s.width, s.height));
  const sc_motion_frame a = frame_of(out, s.width, s.height), b = frame_of(want, s.width, s.height);
  const uint8_t *reference[3];
  uint8_t *prediction[3];
  for (int i = 0; i < 3; i++)
    reference[i] = s.plain.plane[i].samples, prediction[i] = a.plane[i].samples;
  const int64_t bits =
      sc_motion_predict_frame(memory, s.width, s.height, s.tight[1], reference, NULL, NULL, 0, -1, 8 << 8,
                              SC_MOTION_MEDIUM, -1, NULL, s.field.vectors, prediction);
  sc_motion_compensate_c(&s.plain, &s.field, &b);
  int good = bits >= 0 && !memcmp(out, want, bytes);
  // The frame itself as the second reference: the mean has a quarter of the squared error, or less, and its rounding.
  const uint8_t *second[3];
  for (int i = 0; i < 3; i++)
    second[i] = frame_of(s.tight[1], s.width, s.height).plane[i].samples;
  const size_t vectors = 4 * (size_t)s.field.blocks_x * (size_t)s.field.blocks_y * sizeof(sc_vector);
  memset(s.previous, 0, vectors);
  uint64_t errors[2] = {0, 0};
  for (int two = 0; two < 2; two++) {
    if (sc_motion_predict_frame(memory, s.width, s.height, s.tight[1], reference, two ? second : NULL, NULL,
                                0, 0, 1, SC_MOTION_MEDIUM, -1, s.previous, s.field.vectors, prediction) < 0)
      good = 0;
    for (int32_t i = 0; i < s.width * s.height; i++) {
      const int32_t d = s.tight[1][i] - out[i];
      errors[two] += (uint64_t)(d * d);
    }
  }
  if (errors[1] > errors[0] / 2 + (uint64_t)(s.width * s.height) * 2)
    good = 0;
  if (sc_motion_predict_frame(memory, s.width, s.height, s.tight[1], reference, second, NULL, 0, 0, 1,
                              SC_MOTION_MEDIUM, -1, NULL, s.field.vectors, prediction) >= 0)
    good = 0;
  if (!good)
    fail("prediction of a frame %d × %d", s.width, s.height);
  free(out), free(want), free(memory);
  free_scene(&s);
  return good;
}

static int check_tables(const char *path) {
  static uint8_t bytes[1 << 16], again[1 << 16];
  static sc_motion_tables tables[SC_MOTION_SETS];
  FILE *f = fopen(path, "rb");
  const size_t size = f ? fread(bytes, 1, sizeof bytes, f) : 0;
  if (f)
    fclose(f);
  const int32_t sets = sc_motion_tables_read(tables, bytes, size);
  if (sets < 0)
    return fail("%s is not a MOTN section", path);
  sc_motion_tables_write(again, tables, sets);
  return memcmp(bytes, again, size) ? fail("%s, read and written", path) : 1;
}

int main(int argc, char **argv) {
  uint64_t seed = 1;
  long cases = 1000;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!strcmp(argv[i], "--seed"))
      seed = strtoull(argv[i + 1], NULL, 0);
    else if (!strcmp(argv[i], "--cases"))
      cases = atol(argv[i + 1]);
    else if (!strcmp(argv[i], "--tables") && !check_tables(argv[i + 1]))
      return 1;
  }
  const sc_motion_kernels *kernels[SC_CPU_COUNT];
  const int32_t count = variants(kernels);
  printf("seed %llu, variants:", (unsigned long long)seed);
  for (int32_t i = 0; i < count; i++)
    printf(" %s", kernels[i]->name);
  printf("\n");
  if (!check_differences())
    return 1;
  for (long i = 0; i < cases; i++) {
    random_state = (seed + (uint64_t)i) * 0x9E3779B97F4A7C15u | 1;
    for (int warm = 0; warm < 8; warm++)
      next();
    int good = check_code() & check_search(kernels, count) & check_choices() & check_predict();
    for (int32_t k = 0; k < count; k++)
      good &= check_kernels(kernels[0], kernels[k]) & check_compensation(kernels[k]);
    if (!good) {
      printf("again: --seed %llu --cases 1\n", (unsigned long long)seed + (unsigned long long)i);
      return 1;
    }
  }
  printf("%ld comparisons are equal\n", ran);
  return ran ? 0 : 1;
}
