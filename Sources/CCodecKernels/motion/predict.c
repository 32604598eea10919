// SPDX-License-Identifier: BSD-3-Clause
//
// Search and compensation of a frame in one call, for training.
#include <string.h>

#include "motion_internal.h"

typedef struct workspace {
  sc_motion_tables tables[SC_MOTION_SETS];
  sc_motion_costs costs[SC_MOTION_SETS];
} workspace;

static size_t align64(size_t n) { return (n + 63) & ~(size_t)63; }

static size_t block_count(int32_t width, int32_t height) {
  return (size_t)sc_motion_blocks(width) * (size_t)sc_motion_blocks(height);
}

size_t sc_motion_predict_size(int32_t width, int32_t height) {
  const size_t blocks = block_count(width, height);
  return align64(sizeof(workspace)) + 3 * align64(sc_motion_frame_size(width, height)) +
         align64(sc_motion_search_size(width, height)) + 2 * align64(blocks) +
         2 * align64(blocks * 4 * sizeof(sc_vector)) +
         align64(blocks * SC_MOTION_SYMBOLS_PER_BLOCK * sizeof(sc_motion_symbol));
}

// Of the probabilities that BlockFlags.swift begins with.
static const uint16_t flag_cost[3][2] = {{49, 768}, {256, 256}, {768, 49}};

// Of a field, under the set that is best for it.
static uint64_t least_bits(const workspace *w, int32_t sets, const sc_motion_field *field,
                           const sc_vector *previous, sc_motion_symbol *symbols) {
  const size_t count = sc_motion_symbols(field, previous, symbols);
  uint64_t bits = UINT64_MAX;
  for (int32_t i = 0; i < sets; i++) {
    const uint64_t b = sc_motion_bits(symbols, count, &w->costs[i]);
    bits = b < bits ? b : bits;
  }
  return bits;
}

int64_t sc_motion_predict_frame(void *memory, int32_t width, int32_t height, const uint8_t *current,
                                const uint8_t *const reference[3], const uint8_t *const second[3],
                                const uint8_t *section, size_t section_size, int32_t set, uint32_t lambda,
                                int32_t effort, int32_t cpu, const sc_vector *previous, sc_vector *vectors,
                                uint8_t *const prediction[3]) {
  if (width < 1 || height < 1 || width > SC_MOTION_SIZE_LIMIT || height > SC_MOTION_SIZE_LIMIT ||
      lambda > SC_MOTION_LAMBDA_LIMIT || (second && !previous))
    return -1;
  const sc_kernels *variant = cpu < 0 ? sc_kernels_best() : sc_kernels_get((sc_cpu)cpu);
  if (!variant)
    return -1;
  uint8_t *at = memory;
  workspace *w = (workspace *)at;
  int32_t sets = 1;
  if (section) {
    sets = sc_motion_tables_read(w->tables, section, section_size);
  } else {
    // The costs' memory is not yet in use.
    sc_motion_counts *counts = (sc_motion_counts *)(void *)w->costs;
    _Static_assert(sizeof(sc_motion_counts) <= sizeof w->costs, "counts fit");
    memset(counts, 0, sizeof *counts);
    sc_motion_tables_fit(w->tables, counts);
  }
  if (sets < 0 || set >= sets)
    return -1;
  for (int32_t i = 0; i < sets; i++)
    sc_motion_costs_make(&w->costs[i], &w->tables[i]);
  const size_t blocks = block_count(width, height);
  at += align64(sizeof(workspace));
  sc_motion_frame frames[3]; // the references, and what the first vectors predict
  for (int32_t i = 0; i < 3; i++) {
    frames[i] = sc_motion_frame_make(at, width, height);
    at += align64(sc_motion_frame_size(width, height));
  }
  sc_motion_search search = sc_motion_search_make(at, width, height);
  at += align64(sc_motion_search_size(width, height));
  sc_motion_field field = {.blocks_x = search.blocks_x, .blocks_y = search.blocks_y, .modes = at};
  at += align64(blocks);
  uint8_t *coded = at;
  at += align64(blocks);
  field.vectors = (sc_vector *)at;
  at += align64(blocks * 4 * sizeof(sc_vector));
  sc_vector *given = (sc_vector *)at;
  at += align64(blocks * 4 * sizeof(sc_vector));
  sc_motion_symbol *symbols = (sc_motion_symbol *)at;

  sc_motion_frame out;
  for (int32_t i = 0; i < 3; i++) {
    const sc_motion_plane *p = &frames[0].plane[i];
    sc_motion_plane_load(p, reference[i], p->width);
    if (second)
      sc_motion_plane_load(&frames[1].plane[i], second[i], p->width);
    out.plane[i] = (sc_motion_plane){
        .samples = prediction[i], .stride = p->width, .width = p->width, .height = p->height};
  }
  if (set < 0) {
    set = 0;
    if (previous) {
      // The best set for the field before, as if it came first.
      memcpy(field.vectors, previous, blocks * 4 * sizeof(sc_vector));
      const size_t count = sc_motion_symbols(&field, NULL, symbols);
      for (int32_t i = 1; i < sets; i++)
        if (sc_motion_bits(symbols, count, &w->costs[i]) < sc_motion_bits(symbols, count, &w->costs[set]))
          set = i;
    }
  }
  search.kernels = sc_motion_kernels_get(variant->cpu);
  search.costs = &w->costs[set];
  search.reference = &frames[0].plane[0];
  search.previous = previous;
  search.lambda = lambda;
  search.effort = effort;
  sc_motion_search_all(&search, current, width, &field);
  uint64_t bits = least_bits(w, sets, &field, previous, symbols);
  sc_motion_compensate(search.kernels, &frames[0], &field, 0, field.blocks_y, &out);
  if (!second) {
    memcpy(vectors, field.vectors, blocks * 4 * sizeof(sc_vector));
    return (int64_t)bits;
  }
  sc_motion_second_vectors(&field, previous, given);
  memcpy(vectors, field.vectors, blocks * 4 * sizeof(sc_vector));
  field.coded = coded;
  sc_motion_plane_load(&frames[2].plane[0], prediction[0], width);
  search.reference = &frames[1].plane[0];
  search.previous = given;
  search.single = &frames[2].plane[0];
  memcpy(search.flag_cost, flag_cost, sizeof flag_cost);
  search.lambda = lambda < SC_MOTION_LAMBDA_LIMIT / SC_MOTION_SECOND_LAMBDA ? SC_MOTION_SECOND_LAMBDA * lambda
                                                                            : SC_MOTION_LAMBDA_LIMIT;
  sc_motion_search_all(&search, current, width, &field);
  sc_motion_compensate_second(search.kernels, &frames[1], &field, 0, field.blocks_y, &out);
  return (int64_t)(bits + least_bits(w, sets, &field, given, symbols) + sc_motion_flag_bits(&search, &field));
}
