// SPDX-License-Identifier: BSD-3-Clause
//
// Tiling, weight packing and the entry point of the dense convolution, shared by all instruction sets. A
// kernel file defines, before including this one:
//
//   NAME(x), TARGET   x with the variant's suffix; the function attribute that switches the instructions on
//   LANES             accumulators of a vector
//   TILE_V, TILE_P    vectors of channels and pixels of the largest register block
//   UNIT, PAIR        elements of one step along the run; neighbours among them that one lane multiplies
//   WIDTH             elements of an input vector in the narrow form
//   blocks[v - 1][P - 1], finish, narrow_1 ... narrow_4
//
// Wide form: a vector holds the accumulators of LANES channels; single inputs or pairs are broadcast and
// multiplied by vectors of weights. Narrow form, for at most NARROW channels, where most lanes of the wide
// form would idle: a vector runs along the input and is summed at the end. The loader's premise bounds every
// partial sum, so the order of the additions is free.

enum {
  TILE = TILE_V * LANES, // channels of a full tile
  GROUP = 48,            // pixels whose accumulators wait in memory while a chunk of weights is in L1
  CHUNK = 16384 / (TILE * UNIT * 2), // steps of a chunk: 16 kB of weights
  FLAT = 128, // patches of at most this many elements are gathered: one row, one long run
  COPY = 16,  // elements copied at once while gathering
  NARROW = 4, // most channels of the narrow form
};

static int is_flat(int32_t rows, int32_t run, int32_t out_channels) {
  return out_channels > NARROW && rows > 1 && run <= FLAT / rows;
}

// ---- Packed weights ----
//
// Wide:   [tile][row][run / UNIT][UNIT / PAIR][channel][PAIR]; the last tile has as many vectors as it needs.
// Narrow: [row][run / WIDTH][channel][WIDTH].

size_t NAME(sc_conv_packed_size)(int32_t rows, int32_t run, int32_t out_channels) {
  if (is_flat(rows, run, out_channels)) {
    run *= rows;
    rows = 1;
  }
  const size_t taps = (size_t)rows * (size_t)sc_round_up(run, out_channels <= NARROW ? WIDTH : UNIT);
  const int32_t channels = out_channels <= NARROW ? out_channels : sc_round_up(out_channels, LANES);
  return (taps * (size_t)channels * sizeof(int16_t) + 63) / 64 * 64;
}

void NAME(sc_conv_pack)(int16_t *packed, const int16_t *weights, int32_t rows, int32_t run,
                        int32_t out_channels) {
  memset(packed, 0, NAME(sc_conv_packed_size)(rows, run, out_channels));
  if (is_flat(rows, run, out_channels)) {
    run *= rows;
    rows = 1;
  }
  const int narrow = out_channels <= NARROW;
  const int32_t side = narrow ? WIDTH : PAIR; // elements of one channel side by side
  const size_t padded = (size_t)sc_round_up(run, narrow ? WIDTH : UNIT), next = (size_t)rows * (size_t)run;
  for (int32_t tile = 0; tile < out_channels; tile += TILE) {
    const int32_t left = out_channels - tile, own = left < TILE ? left : TILE;
    const size_t channels = (size_t)(narrow ? own : sc_round_up(own, LANES));
    for (int32_t r = 0; r < rows; r++, packed += padded * channels)
      for (int32_t e = 0; e < run; e += side) {
        const int16_t *from = weights + (size_t)tile * next + (size_t)r * (size_t)run + (size_t)e;
        int16_t *to = packed + (size_t)e * channels;
        const size_t size = (size_t)(run - e < side ? run - e : side) * sizeof *to;
        if (size == PAIR * sizeof *to) // a constant, which takes one instruction
          for (int32_t o = 0; o < own; o++, from += next, to += side)
            memcpy(to, from, PAIR * sizeof *to);
        else
          for (int32_t o = 0; o < own; o++, from += next, to += side)
            memcpy(to, from, size);
      }
  }
}

// ---- Wide form ----

// v vectors of channels from `first` on, for a group of at most GROUP pixels that starts `from` elements into
// the rows.
TARGET static void tile(int v, const sc_conv *conv, const int16_t *const *rows, int32_t row_count,
                        int32_t run, ptrdiff_t from, ptrdiff_t in_step, int32_t first, int16_t *out,
                        ptrdiff_t out_step, int pixels) {
  const int32_t all = (run + UNIT - 1) / UNIT;
  const int32_t at_once = all < CHUNK ? CHUNK / all : 1; // rows of a chunk
  const sc_requant *q = &conv->requant;
  const int16_t *w = conv->weights + (ptrdiff_t)first * row_count * all * UNIT, *next = w;
  int32_t acc[GROUP * TILE];
  const int32_t *init = q->bias + first;
  ptrdiff_t init_step = 0;
  for (int32_t r0 = 0; r0 < row_count; r0 += at_once) {
    const int32_t r1 = row_count - r0 < at_once ? row_count : r0 + at_once;
    for (int32_t e = 0; e < all; e += CHUNK) {
      const int32_t steps = all - e < CHUNK ? all - e : CHUNK;
      for (int x = 0, P; x < pixels; x += P) {
        const int left = pixels - x;
        P = left <= TILE_P ? left : left < 2 * TILE_P ? (left + 1) / 2 : TILE_P;
        next = blocks[v - 1][P - 1](w, rows + r0, r1 - r0, steps, from + x * in_step + e * UNIT, in_step,
                                    init + x * init_step, init_step, acc + x * v * LANES);
      }
      w = next;
      init = acc;
      init_step = v * LANES;
    }
  }
  const int32_t channels = conv->out_channels - first < v * LANES ? conv->out_channels - first : v * LANES;
  if (q->leaky) {
    finish(1, q, first, channels, acc, v * LANES, out + first, out_step, pixels);
  } else {
    finish(0, q, first, channels, acc, v * LANES, out + first, out_step, pixels);
  }
}

TARGET static void wide(const sc_conv *conv, const int16_t *const *rows, ptrdiff_t in_step, ptrdiff_t from,
                        int16_t *out, ptrdiff_t out_step, int pixels) {
  int32_t row_count = conv->rows, run = conv->run;
  int16_t patch[GROUP * FLAT + COPY];
  const int16_t *flat[1] = {patch};
  if (is_flat(row_count, run, conv->out_channels)) {
    const ptrdiff_t step = sc_round_up(row_count * run, UNIT);
    for (int x = 0; x < pixels; x++) {
      int16_t *to = patch + x * step;
      memset(to + step - UNIT, 0, UNIT * sizeof *to);
      for (int32_t r = 0; r < row_count; r++) {
        // Too much is copied: the next row overwrites it, or it meets a weight of zero.
        const int16_t *in = rows[r] + from + x * in_step;
        for (int32_t e = 0; e < run; e += COPY) {
          memcpy(to + r * run + e, in + e, COPY * sizeof *to);
        }
      }
    }
    run *= row_count;
    row_count = 1;
    rows = flat;
    in_step = step;
    from = 0;
  }
  for (int32_t first = 0; first < conv->out_channels; first += TILE) {
    const int32_t left = conv->out_channels - first;
    tile(left < TILE ? (left + LANES - 1) / LANES : TILE_V, conv, rows, row_count, run, from, in_step, first,
         out, out_step, pixels);
  }
}

void NAME(sc_conv)(const sc_conv *conv, const int16_t *const *rows, ptrdiff_t in_step, int16_t *out,
                   ptrdiff_t out_step, size_t pixels) {
  const ptrdiff_t count = (ptrdiff_t)pixels;
  switch (conv->out_channels) {
  case 1:
    narrow_1(conv, rows, in_step, out, out_step, count);
    return;
  case 2:
    narrow_2(conv, rows, in_step, out, out_step, count);
    return;
  case 3:
    narrow_3(conv, rows, in_step, out, out_step, count);
    return;
  case 4:
    narrow_4(conv, rows, in_step, out, out_step, count);
    return;
  }
  for (ptrdiff_t x = 0; x < count; x += GROUP) {
    wide(conv, rows, in_step, x * in_step, out + x * out_step, out_step,
         count - x < GROUP ? (int)(count - x) : GROUP);
  }
}
