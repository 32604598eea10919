// SPDX-License-Identifier: BSD-3-Clause
//
// The code of vectors: contexts, symbols, tables.
#include <string.h>

#include "motion_internal.h"

#define LOW (1u << 16)
#define SLOTS (1u << SC_RANS_BITS)

// ---- Contexts ------------------------------------------------------------------------------------------------------

static int16_t median(int32_t a, int32_t b, int32_t c) {
  const int32_t low = a < b ? a : b, high = a < b ? b : a;
  return (int16_t)sc_motion_clamp(c, low, high);
}

static int32_t apart(sc_vector a, sc_vector b) {
  const int32_t x = sc_motion_magnitude(a.x - b.x), y = sc_motion_magnitude(a.y - b.y);
  return x > y ? x : y;
}

static void add(sc_motion_context *c, sc_vector v) {
  for (int32_t i = 0; i < c->count; i++)
    if (sc_vector_equal(c->candidate[i], v))
      return;
  c->candidate[c->count++] = v;
}

// Candidates of `size` cells in a square at x, y. `right` says whether the cell above and right of them is known.
static sc_motion_context context(const sc_motion_field *field, const sc_vector *previous, int32_t x,
                                 int32_t y, int right, int32_t difference_table) {
  const ptrdiff_t stride = 2 * (ptrdiff_t)field->blocks_x;
  const sc_vector *at = field->vectors + y * stride + x, zero = {0, 0};
  const int32_t size = difference_table == SC_MOTION_TABLE_DIFFERENCE ? 2 : 1;
  sc_vector left = zero, top = zero, corner = zero;
  if (x > 0)
    left = at[-1];
  if (y > 0)
    top = at[-stride];
  else
    top = left;
  if (x == 0)
    left = top;
  if (y > 0 && right)
    corner = at[size - stride];
  else
    corner = x > 0 && y > 0 ? at[-stride - 1] : top;
  sc_motion_context c = {.count = 0};
  add(&c, (sc_vector){median(left.x, top.x, corner.x), median(left.y, top.y, corner.y)});
  add(&c, left);
  add(&c, top);
  add(&c, corner);
  if (previous)
    add(&c, previous[y * stride + x]);
  add(&c, zero);
  const int32_t a = apart(left, top), b = apart(top, corner), spread = a > b ? a : b;
  c.x_table = difference_table + (spread > 3) + (spread > 15);
  c.y_table = difference_table + 3;
  return c;
}

sc_motion_context sc_motion_block_context(const sc_motion_field *field, const sc_vector *previous, int32_t bx,
                                          int32_t by) {
  sc_motion_context c =
      context(field, previous, 2 * bx, 2 * by, bx + 1 < field->blocks_x, SC_MOTION_TABLE_DIFFERENCE);
  const uint8_t *mode = field->modes + (ptrdiff_t)by * field->blocks_x + bx;
  const int32_t left = bx > 0 ? mode[-1] : by > 0 ? mode[-field->blocks_x] : 0;
  const int32_t top = by > 0 ? mode[-field->blocks_x] : left;
  c.mode_table = SC_MOTION_TABLE_MODE + (c.count - 1) * 7 + left + top;
  return c;
}

sc_motion_context sc_motion_cell_context(const sc_motion_field *field, const sc_vector *previous, int32_t bx,
                                         int32_t by, int32_t cell) {
  const int right = cell == 0 || cell == 2 || (cell == 1 && bx + 1 < field->blocks_x);
  sc_motion_context c = context(field, previous, 2 * bx + (cell & 1), 2 * by + (cell >> 1), right,
                                SC_MOTION_TABLE_DIFFERENCE + 7);
  c.mode_table = SC_MOTION_TABLE_CELL + (c.count - 1) * 4 + cell;
  return c;
}

// ---- A field's symbols ---------------------------------------------------------------------------------------------

static sc_motion_symbol *put_difference(sc_motion_symbol *out, int32_t table, int32_t d) {
  int32_t bits;
  const int32_t m = sc_motion_magnitude(d), symbol = sc_motion_class(m, &bits);
  *out++ = (sc_motion_symbol){.table = (uint8_t)table, .symbol = (uint16_t)symbol};
  if (d)
    *out++ = (sc_motion_symbol){.table = SC_MOTION_RAW,
                                .bits = (uint8_t)(bits + 1),
                                .symbol = (uint16_t)((m & ((1 << bits) - 1)) << 1 | (d < 0))};
  return out;
}

// Appends the symbols of a vector; returns its place among the candidates, or SC_MOTION_SYMBOL_NEW.
static int32_t put_vector(sc_motion_symbol **out, const sc_motion_context *c, sc_vector v) {
  int32_t i = 0;
  while (i < c->count && !sc_vector_equal(c->candidate[i], v))
    i++;
  const int32_t symbol = i < c->count ? i : SC_MOTION_SYMBOL_NEW;
  *(*out)++ = (sc_motion_symbol){.table = (uint8_t)c->mode_table, .symbol = (uint16_t)symbol};
  if (symbol == SC_MOTION_SYMBOL_NEW) {
    const int32_t x = v.x - c->candidate[0].x, y = v.y - c->candidate[0].y;
    *out = put_difference(*out, c->x_table, x);
    *out = put_difference(*out, c->y_table + sc_motion_y_context(x), y);
  }
  return symbol;
}

size_t sc_motion_symbols(const sc_motion_field *field, const sc_vector *previous, sc_motion_symbol *out) {
  const sc_motion_symbol *const first = out;
  const ptrdiff_t stride = 2 * (ptrdiff_t)field->blocks_x;
  for (int32_t by = 0; by < field->blocks_y; by++) {
    for (int32_t bx = 0; bx < field->blocks_x; bx++) {
      const sc_vector *v = field->vectors + 2 * by * stride + 2 * bx;
      uint8_t *mode = field->modes + (ptrdiff_t)by * field->blocks_x + bx;
      if (!sc_motion_is_coded(field, bx, by)) {
        *mode = SC_MOTION_MERGED;
        continue;
      }
      const sc_motion_context c = sc_motion_block_context(field, previous, bx, by);
      if (sc_vector_equal(v[0], v[1]) && sc_vector_equal(v[0], v[stride]) &&
          sc_vector_equal(v[0], v[stride + 1])) {
        const int32_t symbol = put_vector(&out, &c, v[0]);
        *mode = symbol == 0                      ? SC_MOTION_MERGED
                : symbol == SC_MOTION_SYMBOL_NEW ? SC_MOTION_NEW
                                                 : SC_MOTION_OTHER;
        continue;
      }
      *mode = SC_MOTION_SPLIT;
      *out++ = (sc_motion_symbol){.table = (uint8_t)c.mode_table, .symbol = SC_MOTION_SYMBOL_SPLIT};
      for (int32_t cell = 0; cell < 4; cell++) {
        const sc_motion_context k = sc_motion_cell_context(field, previous, bx, by, cell);
        put_vector(&out, &k, v[(cell >> 1) * stride + (cell & 1)]);
      }
    }
  }
  return (size_t)(out - first);
}

// ---- A field from symbols ------------------------------------------------------------------------------------------

typedef int32_t next_fn(void *context, int32_t argument);

// A component from its prediction; outside of the limit if the source ends.
SC_MOTION_INLINE int32_t take_difference(next_fn *symbol, next_fn *raw, void *context, int32_t table) {
  const int32_t s = symbol(context, table);
  if (s <= 0)
    return s < 0 ? INT16_MAX : 0;
  const int32_t bits = s < 16 ? 0 : (s - 16) / 2 + 3, base = s < 16 ? s : (2 + (s & 1)) << bits;
  const int32_t rest = raw(context, bits + 1);
  if (rest < 0)
    return INT16_MAX;
  const int32_t m = base + (rest >> 1);
  return rest & 1 ? -m : m;
}

// 0, or −1 for a vector that is not valid.
SC_MOTION_INLINE int take_vector(next_fn *symbol, next_fn *raw, void *context, const sc_motion_context *c,
                                 int32_t s, sc_vector *v) {
  if (s != SC_MOTION_SYMBOL_NEW) {
    if (s < 0 || s >= c->count)
      return -1;
    *v = c->candidate[s];
    return 0;
  }
  const int32_t x = take_difference(symbol, raw, context, c->x_table);
  const int32_t y = take_difference(symbol, raw, context, c->y_table + sc_motion_y_context(x));
  const int32_t vx = c->candidate[0].x + x, vy = c->candidate[0].y + y;
  if (sc_motion_magnitude(vx) > SC_VECTOR_LIMIT || sc_motion_magnitude(vy) > SC_VECTOR_LIMIT)
    return -1;
  *v = (sc_vector){(int16_t)vx, (int16_t)vy};
  return 0;
}

SC_MOTION_INLINE int rebuild(next_fn *symbol, next_fn *raw, void *context, const sc_motion_field *field,
                             const sc_vector *previous) {
  const ptrdiff_t stride = 2 * (ptrdiff_t)field->blocks_x;
  for (int32_t by = 0; by < field->blocks_y; by++) {
    for (int32_t bx = 0; bx < field->blocks_x; bx++) {
      sc_vector *v = field->vectors + 2 * by * stride + 2 * bx;
      uint8_t *mode = field->modes + (ptrdiff_t)by * field->blocks_x + bx;
      if (!sc_motion_is_coded(field, bx, by)) {
        *mode = SC_MOTION_MERGED;
        continue;
      }
      const sc_motion_context c = sc_motion_block_context(field, previous, bx, by);
      const int32_t s = symbol(context, c.mode_table);
      if (s != SC_MOTION_SYMBOL_SPLIT) {
        if (take_vector(symbol, raw, context, &c, s, v))
          return -1;
        v[1] = v[stride] = v[stride + 1] = v[0];
        *mode = s == 0 ? SC_MOTION_MERGED : s == SC_MOTION_SYMBOL_NEW ? SC_MOTION_NEW : SC_MOTION_OTHER;
        continue;
      }
      *mode = SC_MOTION_SPLIT;
      for (int32_t cell = 0; cell < 4; cell++) {
        const sc_motion_context k = sc_motion_cell_context(field, previous, bx, by, cell);
        if (take_vector(symbol, raw, context, &k, symbol(context, k.mode_table),
                        v + (cell >> 1) * stride + (cell & 1)))
          return -1;
      }
    }
  }
  return 0;
}

int sc_motion_rebuild(const sc_motion_source *source, const sc_motion_field *field,
                      const sc_vector *previous) {
  return rebuild(source->symbol, source->raw, source->context, field, previous);
}

// ---- rANS ----------------------------------------------------------------------------------------------------------

typedef struct rans_source {
  sc_rans_decoder *decoder;
  const sc_motion_tables *tables;
  int lane;
} rans_source;

// Removes a symbol from the lane's state; −1 past the end of the payload, which is then not read further.
static int32_t advance(sc_rans_decoder *d, int lane, uint32_t start, uint32_t frequency) {
  const uint32_t state = d->state[lane];
  uint32_t x = frequency * (state >> SC_RANS_BITS) + (state & (SLOTS - 1)) - start;
  if (x < LOW) {
    if (d->next >= d->count)
      return -1;
    const uint8_t *word = d->words + 2 * d->next++;
    x = x << 16 | (uint32_t)word[0] | (uint32_t)word[1] << 8;
  }
  d->state[lane] = x;
  return 0;
}

static int32_t rans_symbol(void *context, int32_t table) {
  const rans_source *r = context;
  const uint16_t *start = r->tables->start[table];
  const uint32_t slot = r->decoder->state[r->lane] & (SLOTS - 1);
  int32_t s = 0;
  while (start[s + 1] <= slot)
    s++;
  return advance(r->decoder, r->lane, start[s], (uint32_t)start[s + 1] - start[s]) ? -1 : s;
}

static int32_t rans_raw(void *context, int32_t bits) {
  const rans_source *r = context;
  const uint32_t frequency = SLOTS >> bits;
  const uint32_t value = (r->decoder->state[r->lane] & (SLOTS - 1)) / frequency;
  return advance(r->decoder, r->lane, value * frequency, frequency) ? -1 : (int32_t)value;
}

int sc_motion_decode(sc_rans_decoder *decoder, int lane, const sc_motion_tables *tables,
                     const sc_motion_field *field, const sc_vector *previous) {
  rans_source source = {.decoder = decoder, .tables = tables, .lane = lane & (decoder->lanes - 1)};
  return rebuild(rans_symbol, rans_raw, &source, field, previous);
}

void sc_motion_encode(sc_rans_encoder *encoder, int lane, const sc_motion_tables *tables,
                      const sc_motion_symbol *symbols, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t start, frequency;
    if (symbols[i].table == SC_MOTION_RAW) {
      frequency = SLOTS >> symbols[i].bits;
      start = symbols[i].symbol * frequency;
    } else {
      const uint16_t *s = tables->start[symbols[i].table] + symbols[i].symbol;
      start = s[0];
      frequency = (uint32_t)s[1] - s[0];
    }
    encoder->symbols[encoder->count++] = start | frequency << 15 | (uint32_t)lane << 30;
  }
}

// ---- Tables --------------------------------------------------------------------------------------------------------

static uint32_t load16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }

size_t sc_motion_tables_size(int32_t sets) {
  size_t numbers = 0;
  for (int32_t t = 0; t < SC_MOTION_TABLES; t++)
    numbers += 1 + (size_t)sc_motion_alphabet(t);
  return 2 + 2 * numbers * (size_t)sets;
}

int32_t sc_motion_tables_read(sc_motion_tables *tables, const uint8_t *bytes, size_t size) {
  if (size < 2 || bytes[0] < 1 || bytes[0] > SC_MOTION_SETS || bytes[1] != SC_MOTION_TABLES ||
      size != sc_motion_tables_size(bytes[0]))
    return -1;
  const int32_t sets = bytes[0];
  bytes += 2;
  for (int32_t i = 0; i < sets; i++) {
    for (int32_t t = 0; t < SC_MOTION_TABLES; t++) {
      const int32_t symbols = sc_motion_alphabet(t);
      if (load16(bytes) != (uint32_t)symbols)
        return -1;
      bytes += 2;
      uint16_t *start = tables[i].start[t];
      uint32_t sum = 0;
      for (int32_t s = 0; s < symbols; s++, bytes += 2) {
        const uint32_t frequency = load16(bytes);
        start[s] = (uint16_t)sum;
        sum += frequency;
        if (!frequency || sum > SLOTS)
          return -1;
      }
      if (sum != SLOTS)
        return -1;
      for (int32_t s = symbols; s <= SC_MOTION_ALPHABET; s++)
        start[s] = SLOTS;
    }
  }
  return sets;
}

void sc_motion_tables_write(uint8_t *bytes, const sc_motion_tables *tables, int32_t sets) {
  *bytes++ = (uint8_t)sets;
  *bytes++ = SC_MOTION_TABLES;
#define PUT(v) (*bytes++ = (uint8_t)(v), *bytes++ = (uint8_t)((v) >> 8))
  for (int32_t i = 0; i < sets; i++) {
    for (int32_t t = 0; t < SC_MOTION_TABLES; t++) {
      const int32_t symbols = sc_motion_alphabet(t);
      PUT(symbols);
      for (int32_t s = 0; s < symbols; s++) {
        const uint16_t *start = tables[i].start[t] + s;
        PUT(start[1] - start[0]);
      }
    }
  }
#undef PUT
}

// What a symbol of a kind of tables counts before anything has been seen.
static uint32_t prior(int32_t table, int32_t symbol) {
  static const uint8_t mode[8] = {160, 24, 12, 6, 4, 4, 32, 14}, cell[7] = {40, 24, 16, 12, 8, 8, 40};
  if (table < SC_MOTION_TABLE_CELL)
    return mode[symbol];
  if (table < SC_MOTION_TABLE_DIFFERENCE)
    return cell[symbol];
  return symbol < 16 ? 64u / (uint32_t)(symbol + 1) + 2 : 40u / (uint32_t)(symbol - 12) + 1;
}

void sc_motion_tables_fit(sc_motion_tables *tables, const sc_motion_counts *counts) {
  static const int32_t kinds[5] = {SC_MOTION_TABLE_MODE, SC_MOTION_TABLE_CELL, SC_MOTION_TABLE_DIFFERENCE,
                                   SC_MOTION_TABLE_DIFFERENCE + 7, SC_MOTION_TABLES};
  for (int32_t kind = 0; kind < 4; kind++) {
    const int32_t symbols = sc_motion_alphabet(kinds[kind]);
    uint64_t all[SC_MOTION_ALPHABET] = {0}, all_sum = 0;
    for (int32_t s = 0; s < symbols; s++) {
      all[s] = prior(kinds[kind], s);
      for (int32_t t = kinds[kind]; t < kinds[kind + 1]; t++)
        all[s] += counts->count[t][s];
      all_sum += all[s];
    }
    for (int32_t t = kinds[kind]; t < kinds[kind + 1]; t++) {
      // In 1/256 of a count, 16 of which come from all tables together.
      uint64_t weight[SC_MOTION_ALPHABET], sum = 0;
      for (int32_t s = 0; s < symbols; s++) {
        weight[s] = ((uint64_t)counts->count[t][s] << 8) + (all[s] << 12) / all_sum + 1;
        sum += weight[s];
      }
      // Cumulative sums are rounded, one slot aside for each symbol: so frequencies add up and none is 0.
      uint64_t before = 0;
      for (int32_t s = 0; s <= SC_MOTION_ALPHABET; s++) {
        const uint32_t floor = (uint32_t)(s < symbols ? s : symbols);
        tables->start[t][s] = (uint16_t)(floor + (before * (SLOTS - (uint32_t)symbols) + sum / 2) / sum);
        before += s < symbols ? weight[s] : 0;
      }
    }
  }
}

// −log2(frequency / 2^15) in 1/256, rounded down: squares of the normalised frequency give the bits of the logarithm.
static uint16_t length(uint32_t frequency) {
  const int32_t e = 31 - __builtin_clz(frequency);
  uint64_t m = (uint64_t)frequency << (31 - e); // [1, 2) with 31 fractional bits
  int32_t log = e;
  for (int32_t i = 0; i < 8; i++) {
    m = m * m >> 31;
    const int32_t bit = m >> 32 != 0;
    m >>= bit;
    log = 2 * log + bit;
  }
  return (uint16_t)(SC_RANS_BITS * 256 - log);
}

void sc_motion_costs_make(sc_motion_costs *costs, const sc_motion_tables *tables) {
  for (int32_t t = 0; t < SC_MOTION_TABLES; t++) {
    const int32_t symbols = sc_motion_alphabet(t);
    for (int32_t s = 0; s < SC_MOTION_ALPHABET; s++) {
      const uint16_t *start = tables->start[t] + s;
      costs->cost[t][s] = s < symbols ? length((uint32_t)start[1] - start[0]) : UINT16_MAX;
    }
  }
}

uint64_t sc_motion_bits(const sc_motion_symbol *symbols, size_t count, const sc_motion_costs *costs) {
  uint64_t sum = 0;
  for (size_t i = 0; i < count; i++)
    sum += symbols[i].table == SC_MOTION_RAW ? symbols[i].bits * 256u
                                             : costs->cost[symbols[i].table][symbols[i].symbol];
  return sum;
}

void sc_motion_count(sc_motion_counts *counts, const sc_motion_symbol *symbols, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (symbols[i].table != SC_MOTION_RAW)
      counts->count[symbols[i].table][symbols[i].symbol]++;
}
