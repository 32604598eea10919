// SPDX-License-Identifier: BSD-3-Clause
//
// Search of vectors by rate and distortion.
#include <string.h>

#include "motion_internal.h"

// The coarse stage looks REACH samples of the small planes to the left and above, and one less to the right and below.
#define REACH 12
#define SMALL 4 // the small planes' scale
#define WHOLE_STEPS 12

// What a block's second vectors take at least, in 1/256: a flag and a mode.
#define FEWEST_SECOND_BITS 256

typedef sc_motion_search search_t;

static uint32_t times_lambda(const search_t *s, uint32_t bits) {
  return (uint32_t)((uint64_t)s->lambda * bits >> 8);
}

// ---- Memory --------------------------------------------------------------------------------------------------------

static size_t align64(size_t n) { return (n + 63) & ~(size_t)63; }
static int32_t small_size(int32_t n) { return (n + SMALL - 1) / SMALL; }

size_t sc_motion_search_size(int32_t width, int32_t height) {
  const size_t blocks = (size_t)sc_motion_blocks(width) * (size_t)sc_motion_blocks(height);
  return align64(sc_motion_plane_size(width, height)) +
         2 * align64(sc_motion_plane_size(small_size(width), small_size(height))) +
         align64(blocks * sizeof(sc_vector)) + align64(blocks * sizeof(sc_motion_start)) +
         align64(blocks * sizeof(uint32_t));
}

search_t sc_motion_search_make(void *memory, int32_t width, int32_t height) {
  const int32_t w = small_size(width), h = small_size(height);
  uint8_t *at = memory;
  search_t s = {.blocks_x = sc_motion_blocks(width), .blocks_y = sc_motion_blocks(height)};
  const size_t blocks = (size_t)s.blocks_x * (size_t)s.blocks_y;
  s.current = sc_motion_plane_make(at, width, height);
  at += align64(sc_motion_plane_size(width, height));
  s.small_current = sc_motion_plane_make(at, w, h);
  at += align64(sc_motion_plane_size(w, h));
  s.small_reference = sc_motion_plane_make(at, w, h);
  at += align64(sc_motion_plane_size(w, h));
  s.coarse = (sc_vector *)at;
  at += align64(blocks * sizeof(sc_vector));
  s.starts = (sc_motion_start *)at;
  at += align64(blocks * sizeof(sc_motion_start));
  s.single_cost = (uint32_t *)(void *)at;
  return s;
}

// Rows first … end − 1 of means of 4×4 samples, with their margins. Columns past the picture are in the padding.
static void shrink(const sc_motion_plane *from, const sc_motion_plane *to, int32_t first, int32_t end) {
  for (int32_t y = first; y < end; y++) {
    const uint8_t *rows[SMALL];
    for (int32_t i = 0; i < SMALL; i++)
      rows[i] = from->samples + sc_motion_clamp(SMALL * y + i, 0, from->height - 1) * from->stride;
    const uint8_t *restrict a = rows[0], *restrict b = rows[1], *restrict c = rows[2], *restrict d = rows[3];
    uint8_t *restrict out = to->samples + y * to->stride;
    for (int32_t x = 0; x < to->width; x++) {
      uint32_t sum = 8;
      for (int32_t i = SMALL * x; i < SMALL * x + SMALL; i++)
        sum += (uint32_t)a[i] + b[i] + c[i] + d[i];
      out[x] = (uint8_t)(sum >> 4);
    }
  }
  sc_motion_plane_pad_rows(to, first, end);
}

// Second vectors begin where the first ones lead.
static int looks_coarsely(const search_t *s) { return s->effort > SC_MOTION_FAST && !s->single; }

void sc_motion_search_load(const search_t *s, const uint8_t *luma, ptrdiff_t stride, int32_t first,
                           int32_t end) {
  const sc_motion_plane *current = &s->current;
  const int32_t last = 16 * end < current->height ? 16 * end : current->height;
  if (s->single) {
    for (int32_t y = 16 * first; y < last; y++) {
      const uint8_t *restrict a = luma + y * stride, *restrict p = s->single->samples + y * s->single->stride;
      uint8_t *restrict out = current->samples + y * current->stride;
      for (int32_t x = 0; x < current->width; x++) {
        const int32_t v = 2 * a[x] - p[x];
        out[x] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
      }
    }
    sc_motion_plane_pad_rows(s->single, 16 * first, last);
  } else {
    for (int32_t y = 16 * first; y < last; y++)
      memcpy(current->samples + y * current->stride, luma + y * stride, (size_t)current->width);
  }
  sc_motion_plane_pad_rows(current, 16 * first, last);
  if (looks_coarsely(s)) {
    const int32_t height = s->small_current.height;
    const int32_t small_end = 16 / SMALL * end < height ? 16 / SMALL * end : height;
    shrink(current, &s->small_current, 16 / SMALL * first, small_end);
    shrink(s->reference, &s->small_reference, 16 / SMALL * first, small_end);
  }
}

void sc_motion_search_pad(const search_t *s) {
  sc_motion_plane_pad_ends(&s->current);
  if (s->single)
    sc_motion_plane_pad_ends(s->single);
  if (looks_coarsely(s)) {
    sc_motion_plane_pad_ends(&s->small_current);
    sc_motion_plane_pad_ends(&s->small_reference);
  }
}

// ---- Coarse --------------------------------------------------------------------------------------------------------

// About the bits of a magnitude with an exponential Golomb code.
static uint32_t golomb(int32_t d) {
  const int32_t m = sc_motion_magnitude(d);
  return m ? 2 * (uint32_t)(31 - __builtin_clz((uint32_t)m)) + 3 : 1;
}

void sc_motion_search_coarse(const search_t *s, int32_t first, int32_t end) {
  const sc_motion_plane *current = &s->small_current, *reference = &s->small_reference;
  uint8_t distance[2 * REACH];
  for (int32_t d = -REACH; d < REACH; d++)
    distance[d + REACH] = (uint8_t)golomb(d);
  for (int32_t by = first; by < end; by++) {
    for (int32_t bx = 0; bx < s->blocks_x; bx++) {
      sc_vector *coarse = s->coarse + (ptrdiff_t)by * s->blocks_x + bx;
      *coarse = (sc_vector){0, 0};
      if (!looks_coarsely(s))
        continue;
      // A window twice as large as the block.
      const int32_t x = 4 * bx - 2, y = 4 * by - 2;
      const uint8_t *window = current->samples + y * current->stride + x;
      uint32_t best = s->kernels->sad8(window, current->stride,
                                       reference->samples + y * reference->stride + x, reference->stride);
      if (best <= 64) // a level a sample: noise
        continue;
      for (int32_t dy = -REACH; dy < REACH; dy++) {
        const uint8_t *row =
            reference->samples + sc_motion_place(y + dy, 8, reference->height) * reference->stride;
        for (int32_t dx = -REACH; dx < REACH; dx += 8) {
          const int32_t at = x + dx;
          if (at < -16 || at > reference->width + 8)
            continue;
          uint16_t sums[8];
          s->kernels->sad8_row(window, current->stride, row + at, reference->stride, sums);
          for (int32_t i = 0; i < 8; i++) {
            const uint32_t cost = sums[i] + (uint32_t)distance[dx + i + REACH] + distance[dy + REACH];
            if (cost < best) {
              best = cost;
              *coarse = (sc_vector){(int16_t)(dx + i), (int16_t)dy};
            }
          }
        }
      }
    }
  }
}

// ---- Whole samples -------------------------------------------------------------------------------------------------
//
// Costs are sums of absolute differences plus λ · bits, in 1/256.

// Absolute differences that a bit is worth: 0.7 of the root of its squared ones.
static uint32_t absolute_lambda(const search_t *s) {
  const uint32_t square = s->lambda << 11;
  uint32_t root = 0;
  for (uint32_t bit = 1u << 15; bit; bit >>= 1)
    if ((root | bit) * (root | bit) <= square)
      root |= bit;
  return root;
}

typedef struct whole_state {
  const search_t *search;
  sc_motion_start *start;
  int32_t x, y; // of the block
  int32_t px, py;
  uint32_t cost, cell_cost[4];
  uint32_t lambda; // of the rough bits of the distance from px, py
} whole_state;

// Tries a vector for the block and its cells; whether the block's is the best so far.
static int try_whole(whole_state *w, int32_t dx, int32_t dy) {
  const search_t *s = w->search;
  const sc_motion_plane *r = s->reference;
  if (sc_motion_magnitude(dx) > SC_VECTOR_LIMIT / 4 || sc_motion_magnitude(dy) > SC_VECTOR_LIMIT / 4)
    return 0;
  uint32_t sums[4];
  s->kernels->sad16(s->current.samples + w->y * s->current.stride + w->x, s->current.stride,
                    r->samples + sc_motion_place(w->y + dy, 16, r->height) * r->stride +
                        sc_motion_place(w->x + dx, 16, r->width),
                    r->stride, sums);
  const uint32_t rate = w->lambda * (golomb(dx - w->px) + golomb(dy - w->py));
  const sc_vector v = {(int16_t)(4 * dx), (int16_t)(4 * dy)};
  for (int32_t i = 0; i < 4; i++) {
    const uint32_t cost = (sums[i] << 8) + rate;
    if (cost < w->cell_cost[i]) {
      w->cell_cost[i] = cost;
      w->start->cell[i] = v;
      w->start->cell_sad[i] = sums[i];
    }
  }
  const uint32_t sad = sums[0] + sums[1] + sums[2] + sums[3], cost = (sad << 8) + rate;
  if (cost >= w->cost)
    return 0;
  w->cost = cost;
  w->start->block = v;
  w->start->block_sad = sad;
  return 1;
}

// Zero and what is best already have been tried.
static void try_coarse(whole_state *w, sc_vector v) {
  const int32_t x = SMALL * v.x, y = SMALL * v.y;
  if ((v.x || v.y) && (4 * x != w->start->block.x || 4 * y != w->start->block.y))
    try_whole(w, x, y);
}

static void whole(const search_t *s, uint32_t lambda, int32_t bx, int32_t by) {
  static const int8_t around[8][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};
  const ptrdiff_t at = (ptrdiff_t)by * s->blocks_x + bx;
  whole_state w = {.search = s,
                   .start = s->starts + at,
                   .x = 16 * bx,
                   .y = 16 * by,
                   .cost = UINT32_MAX,
                   .cell_cost = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX},
                   .lambda = 0};
  if (s->single) {
    s->single_cost[at] =
        s->kernels->squares(s->current.samples + w.y * s->current.stride + w.x, s->current.stride,
                            s->single->samples + w.y * s->single->stride + w.x, s->single->stride, 16)
        << 4;
    // Two predictions cannot be worth their bits.
    if (s->single_cost[at] <= times_lambda(s, FEWEST_SECOND_BITS))
      return;
  }
  try_whole(&w, 0, 0);
  // So similar that no vector can be worth its bits.
  if (w.start->block_sad <= 64 || w.cost <= lambda * 4)
    return;
  // Starts: own and neighbours' coarse vectors, and the field before.
  if (looks_coarsely(s)) {
    const sc_vector *c = s->coarse + at;
    try_coarse(&w, c[0]);
    if (bx > 0)
      try_coarse(&w, c[-1]);
    if (bx + 1 < s->blocks_x)
      try_coarse(&w, c[1]);
    if (by > 0)
      try_coarse(&w, c[-s->blocks_x]);
    if (by + 1 < s->blocks_y)
      try_coarse(&w, c[s->blocks_x]);
  }
  if (s->previous) {
    const sc_vector v = s->previous[4 * (ptrdiff_t)by * s->blocks_x + 2 * bx];
    try_whole(&w, (v.x + 2) >> 2, (v.y + 2) >> 2);
  }
  // From here on, distance costs: half of what it costs in the end, since neighbours often share it.
  w.px = w.start->block.x >> 2;
  w.py = w.start->block.y >> 2;
  w.lambda = lambda / 2;
  for (int32_t i = 0; i < 4; i++)
    w.cell_cost[i] = (w.start->cell_sad[i] << 8) + w.lambda * (golomb((w.start->cell[i].x >> 2) - w.px) +
                                                               golomb((w.start->cell[i].y >> 2) - w.py));
  w.cost = (w.start->block_sad << 8) + 2 * w.lambda;
  // Coarse vectors are multiples of four: one round at a distance of two, then descent.
  for (int32_t i = 0; i < 8; i++)
    try_whole(&w, w.px + 2 * around[i][0], w.py + 2 * around[i][1]);
  for (int32_t step = 0; step < WHOLE_STEPS; step++) {
    const int32_t x = w.start->block.x >> 2, y = w.start->block.y >> 2;
    int better = 0;
    for (int32_t i = 0; i < 8; i++)
      better |= try_whole(&w, x + around[i][0], y + around[i][1]);
    if (!better)
      break;
  }
}

void sc_motion_search_whole(const search_t *s, int32_t first, int32_t end) {
  const uint32_t lambda = absolute_lambda(s);
  for (int32_t by = first; by < end; by++)
    for (int32_t bx = 0; bx < s->blocks_x; bx++)
      whole(s, lambda, bx, by);
}

// ---- Decision ------------------------------------------------------------------------------------------------------
//
// Costs are sums of squared differences plus λ · bits, in 1/16.

static uint32_t difference_bits(const sc_motion_costs *costs, int32_t table, int32_t d) {
  int32_t bits;
  const int32_t symbol = sc_motion_class(sc_motion_magnitude(d), &bits);
  return costs->cost[table][symbol] + (d ? (uint32_t)(bits + 1) << 8 : 0);
}

// Bits of a vector of a block or cell, its mode included.
static uint32_t vector_bits(const search_t *s, const sc_motion_context *c, sc_vector v) {
  const uint16_t *mode = s->costs->cost[c->mode_table];
  for (int32_t i = 0; i < c->count; i++)
    if (sc_vector_equal(c->candidate[i], v))
      return mode[i];
  const int32_t x = v.x - c->candidate[0].x, y = v.y - c->candidate[0].y;
  return mode[SC_MOTION_SYMBOL_NEW] + difference_bits(s->costs, c->x_table, x) +
         difference_bits(s->costs, c->y_table + sc_motion_y_context(x), y);
}

// A choice for a block or cell.
typedef struct choice {
  sc_vector v;
  uint32_t cost;
} choice;

// Costs of the differences that vectors leave, of those that have been tried: refinements come to many of them again.
#define KNOWN 64
typedef struct known {
  sc_vector v;
  uint32_t difference;
} known;

typedef struct target {
  const search_t *search;
  const sc_motion_context *context;
  int32_t x, y, size;
  known *known; // [KNOWN], by the lowest bits of a vector's components
} target;

static known *known_place(const target *t, sc_vector v) { return t->known + ((v.x & 7) | (v.y & 7) << 3); }

static void forget(known *k) {
  for (int32_t i = 0; i < KNOWN; i++)
    k[i].v = (sc_vector){INT16_MIN, INT16_MIN};
}

static uint32_t difference(const target *t, sc_vector v) {
  const search_t *s = t->search;
  const sc_motion_plane *r = s->reference;
  const uint8_t *a = s->current.samples + t->y * s->current.stride + t->x;
  const uint8_t *b = r->samples + sc_motion_place(t->y + (v.y >> 2), t->size, r->height) * r->stride +
                     sc_motion_place(t->x + (v.x >> 2), t->size, r->width);
  ptrdiff_t b_stride = r->stride;
  uint8_t block[16 * 16];
  if ((v.x | v.y) & 3) {
    s->kernels->luma(block, t->size, b, b_stride, t->size, v.x & 3, v.y & 3);
    b = block;
    b_stride = t->size;
  }
  return s->kernels->squares(a, s->current.stride, b, b_stride, t->size) << 4;
}

// Tries a vector; whether it is the best so far. Ties go to the earlier one.
static int try_vector(const target *t, choice *best, int32_t x, int32_t y, uint32_t *cost_out) {
  const sc_vector v = {(int16_t)x, (int16_t)y};
  *cost_out = UINT32_MAX;
  if (sc_motion_magnitude(x) > SC_VECTOR_LIMIT || sc_motion_magnitude(y) > SC_VECTOR_LIMIT)
    return 0;
  const uint32_t rate = times_lambda(t->search, vector_bits(t->search, t->context, v));
  if (rate >= best->cost)
    return 0;
  known *k = known_place(t, v);
  if (!sc_vector_equal(k->v, v))
    *k = (known){v, difference(t, v)};
  const uint32_t cost = rate + k->difference;
  *cost_out = cost;
  if (cost >= best->cost)
    return 0;
  *best = (choice){v, cost};
  return 1;
}

// Moves by `step` in one of eight directions as long as that helps, at most `rounds` times. After the four straight
// ones, only the diagonal between the better two of them is tried, or all with `slow`.
static void refine(const target *t, choice *best, int32_t step, int32_t rounds, int slow) {
  for (int32_t round = 0; round < rounds; round++) {
    const sc_vector at = best->v;
    uint32_t right, left, below, above, ignored;
    int better = try_vector(t, best, at.x + step, at.y, &right);
    better |= try_vector(t, best, at.x - step, at.y, &left);
    better |= try_vector(t, best, at.x, at.y + step, &below);
    better |= try_vector(t, best, at.x, at.y - step, &above);
    const int32_t x = right <= left ? step : -step, y = below <= above ? step : -step;
    better |= try_vector(t, best, at.x + x, at.y + y, &ignored);
    if (slow) {
      better |= try_vector(t, best, at.x - x, at.y + y, &ignored);
      better |= try_vector(t, best, at.x + x, at.y - y, &ignored);
      better |= try_vector(t, best, at.x - x, at.y - y, &ignored);
    }
    if (!better)
      return;
  }
}

static choice best_candidate(const target *t) {
  choice best = {.cost = UINT32_MAX};
  uint32_t ignored;
  for (int32_t i = 0; i < t->context->count; i++)
    try_vector(t, &best, t->context->candidate[i].x, t->context->candidate[i].y, &ignored);
  return best;
}

static void refine_from(const target *t, choice *best, sc_vector start, int slow) {
  // A start that is worse than the best so far is still worth its fractions: they are chosen by themselves.
  choice own = {.cost = UINT32_MAX};
  uint32_t ignored;
  try_vector(t, &own, start.x, start.y, &ignored);
  refine(t, &own, 2, slow ? 2 : 1, slow);
  refine(t, &own, 1, slow ? 2 : 1, slow);
  if (own.cost < best->cost)
    *best = own;
}

// Finds the vectors of a block; returns their cost.
static uint32_t decide_vectors(const search_t *s, const sc_motion_field *field, int32_t bx, int32_t by) {
  const int slow = s->effort >= SC_MOTION_SLOW;
  const ptrdiff_t stride = 2 * (ptrdiff_t)field->blocks_x;
  const sc_motion_start *start = s->starts + (ptrdiff_t)by * s->blocks_x + bx;
  sc_vector *out = field->vectors + 2 * by * stride + 2 * bx;
  uint8_t *mode = field->modes + (ptrdiff_t)by * field->blocks_x + bx;
  const sc_motion_context context = sc_motion_block_context(field, s->previous, bx, by);
  const uint16_t *costs = s->costs->cost[context.mode_table];
  known tried[KNOWN];
  forget(tried);
  const target block = {
      .search = s, .context = &context, .x = 16 * bx, .y = 16 * by, .size = 16, .known = tried};
  choice best = best_candidate(&block);
  // A new vector has at least the bits of its mode, and of a nearest difference about three more.
  const uint32_t least = times_lambda(s, costs[SC_MOTION_SYMBOL_NEW] + 3 * 256u);
  const uint32_t rest = times_lambda(s, costs[SC_MOTION_SYMBOL_SPLIT] + 4 * 256u);
  if (best.cost > least) {
    refine_from(&block, &best, start->block, slow);
    // Around the best so far, which may be a candidate far from the start.
    refine(&block, &best, 2, 1, slow);
    refine(&block, &best, 1, slow ? 2 : 1, slow);
  }
  out[0] = out[1] = out[stride] = out[stride + 1] = best.v;
  int32_t symbol = SC_MOTION_SYMBOL_NEW;
  for (int32_t i = context.count - 1; i >= 0; i--)
    if (sc_vector_equal(context.candidate[i], best.v))
      symbol = i;
  *mode = symbol == 0 ? SC_MOTION_MERGED : symbol == SC_MOTION_SYMBOL_NEW ? SC_MOTION_NEW : SC_MOTION_OTHER;

  // Cells: if their whole-sample vectors promise more than the bits of splitting cost.
  if (s->effort == SC_MOTION_FAST || best.cost <= rest)
    return best.cost;
  const uint32_t cells = start->cell_sad[0] + start->cell_sad[1] + start->cell_sad[2] + start->cell_sad[3];
  // Fractions gain for cells what they gained for the block, and often more.
  if ((uint64_t)best.cost * cells / (start->block_sad + 1) * 3 / 4 + rest >= best.cost)
    return best.cost;
  uint32_t total = times_lambda(s, costs[SC_MOTION_SYMBOL_SPLIT]);
  for (int32_t i = 0; i < 4 && total < best.cost; i++) {
    const sc_motion_context c = sc_motion_cell_context(field, s->previous, bx, by, i);
    forget(tried);
    const target cell = {.search = s,
                         .context = &c,
                         .x = 16 * bx + 8 * (i & 1),
                         .y = 16 * by + 8 * (i >> 1),
                         .size = 8,
                         .known = tried};
    choice own = best_candidate(&cell);
    if (own.cost > times_lambda(s, s->costs->cost[c.mode_table][SC_MOTION_SYMBOL_NEW])) {
      uint32_t ignored;
      try_vector(&cell, &own, best.v.x, best.v.y, &ignored);
      refine_from(&cell, &own, start->cell[i], slow);
    }
    out[(i >> 1) * stride + (i & 1)] = own.v;
    total += own.cost;
  }
  const int same = sc_vector_equal(out[0], out[1]) && sc_vector_equal(out[0], out[stride]) &&
                   sc_vector_equal(out[0], out[stride + 1]);
  if (total < best.cost && !same) {
    *mode = SC_MOTION_SPLIT;
    return total;
  }
  out[0] = out[1] = out[stride] = out[stride + 1] = best.v;
  return best.cost;
}

static int32_t coded_neighbours(const sc_motion_field *field, int32_t bx, int32_t by) {
  const uint8_t *coded = field->coded + (ptrdiff_t)by * field->blocks_x + bx;
  return (bx > 0 ? coded[-1] : 0) + (by > 0 ? coded[-field->blocks_x] : 0);
}

uint64_t sc_motion_flag_bits(const search_t *s, const sc_motion_field *field) {
  uint64_t sum = 0;
  for (int32_t by = 0; by < field->blocks_y; by++)
    for (int32_t bx = 0; bx < field->blocks_x; bx++)
      sum += s->flag_cost[coded_neighbours(field, bx, by)][sc_motion_is_coded(field, bx, by)];
  return sum;
}

// Second vectors are kept where they save more than their bits.
static void decide(const search_t *s, const sc_motion_field *field, int32_t bx, int32_t by) {
  if (!s->single) {
    decide_vectors(s, field, bx, by);
    return;
  }
  const ptrdiff_t at = (ptrdiff_t)by * field->blocks_x + bx, stride = 2 * (ptrdiff_t)field->blocks_x;
  uint8_t *coded = field->coded + at;
  const int32_t neighbours = coded_neighbours(field, bx, by);
  const uint32_t single = s->single_cost[at] + times_lambda(s, s->flag_cost[neighbours][0]);
  const uint32_t flag = times_lambda(s, s->flag_cost[neighbours][1]);
  *coded = 1;
  if (s->single_cost[at] > times_lambda(s, FEWEST_SECOND_BITS) && single > flag &&
      decide_vectors(s, field, bx, by) < single - flag)
    return;
  *coded = 0;
  const sc_vector *given = s->previous + 2 * by * stride + 2 * bx;
  sc_vector *out = field->vectors + 2 * by * stride + 2 * bx;
  memcpy(out, given, 2 * sizeof(sc_vector));
  memcpy(out + stride, given + stride, 2 * sizeof(sc_vector));
  field->modes[at] = SC_MOTION_MERGED;
}

void sc_motion_search_decide(const search_t *s, const sc_motion_field *field, int32_t row, int32_t first,
                             int32_t end) {
  for (int32_t bx = first; bx < end; bx++)
    decide(s, field, bx, row);
}

void sc_motion_search_all(search_t *s, const uint8_t *luma, ptrdiff_t stride, const sc_motion_field *field) {
  sc_motion_search_load(s, luma, stride, 0, s->blocks_y);
  sc_motion_search_pad(s);
  sc_motion_search_coarse(s, 0, s->blocks_y);
  sc_motion_search_whole(s, 0, s->blocks_y);
  for (int32_t row = 0; row < s->blocks_y; row++)
    sc_motion_search_decide(s, field, row, 0, s->blocks_x);
}
