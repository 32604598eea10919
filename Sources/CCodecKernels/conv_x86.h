// SPDX-License-Identifier: BSD-3-Clause
//
// The x86 kernels, written once. A variant's file defines, before including this one:
//
//   NAME(x)                 x with the variant's suffix
//   TARGET                  the function attribute that switches the instructions on
//   vec, LANES              a vector of int32 and how many it holds (twice as many int16)
//   TILE_V, TILE_P          vectors of channels and pixels of the largest register block
//   v_load, v_store         LANES int32, unaligned
//   v_zero, v_pair          nothing; two int16 from memory in every 32-bit lane
//   v_mac(acc, a, b)        acc + a.lo * b.lo + a.hi * b.hi in every 32-bit lane
//   v_sum4(a, b, c, d)      the sums over all lanes of four vectors, as one __m128i
//   v_requant, v_narrow     see below; VARIABLE_SHIFT says that the instruction set can
//
// Two forms of the convolution. Wide: a vector holds the accumulators of LANES channels; a pair of inputs is
// broadcast and multiplied by a vector of weight pairs. Every partial sum is bounded by the loader's premise,
// so the order of the additions is free. Narrow (at most NARROW channels): a vector runs along the input, and
// is summed at the end; in the wide form most lanes would be idle.
#include <string.h>

#include "sc_internal.h"

#define INLINE static inline __attribute__((always_inline)) TARGET
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum {
  TILE = TILE_V * LANES, // channels of a full tile
  NARROW = 4,            // most channels of the narrow form
  NARROW_P = 4,          // pixels of its register block
  GROUP = 48,            // pixels whose accumulators wait in memory while one chunk of weights is in L1
  CHUNK = 16384 / TILE_V / LANES / 4, // input pairs of a chunk: 16 kB of weights
};

static int32_t round_up(int32_t n, int32_t to) { return (n + to - 1) / to * to; }

// ---- Packed weights
// ------------------------------------------------------------------------------------------------
//
// Wide:   [tile][row][pair][vector][LANES][2]; the last tile has as many vectors as its channels need.
// Narrow: [row][run / (2 * LANES)][channel][2 * LANES].

size_t NAME(sc_conv_packed_size)(int32_t rows, int32_t run, int32_t out_channels) {
  size_t elements = out_channels <= NARROW ? (size_t)round_up(run, 2 * LANES) * (size_t)out_channels
                                           : (size_t)round_up(run, 2) * (size_t)round_up(out_channels, LANES);
  return (elements * (size_t)rows * sizeof(int16_t) + 63) / 64 * 64;
}

void NAME(sc_conv_pack)(int16_t *packed, const int16_t *weights, int32_t rows, int32_t run,
                        int32_t out_channels) {
  memset(packed, 0, NAME(sc_conv_packed_size)(rows, run, out_channels));
  const int32_t width = 2 * LANES, padded = round_up(run, out_channels <= NARROW ? width : 2);
  for (int32_t o = 0; o < out_channels; o++) {
    int32_t tile = o / TILE * TILE;
    int32_t lanes = round_up(out_channels - tile < TILE ? out_channels - tile : TILE, LANES);
    for (int32_t r = 0; r < rows; r++) {
      for (int32_t e = 0; e < run; e++) {
        size_t at = out_channels <= NARROW
                        ? ((size_t)r * (size_t)(padded / width) + (size_t)(e / width)) *
                                  (size_t)out_channels * (size_t)width +
                              (size_t)(o * width + e % width)
                        : (size_t)tile * (size_t)rows * (size_t)padded +
                              ((size_t)r * (size_t)(padded / 2) + (size_t)(e / 2)) * (size_t)lanes * 2 +
                              (size_t)((o - tile) * 2 + e % 2);
        packed[at] = *weights++;
      }
    }
  }
}

// ---- Wide form
// -----------------------------------------------------------------------------------------------------

// acc[p][v] += rows r0 ... r1 - 1, pairs of elements `from` ... `from + 2 * pairs`, for P pixels and V
// vectors of channels. The accumulators come from init (init_step 0: the biases) and go to acc, V * LANES for
// each pixel.
INLINE const int16_t *block(const int P, const int V, const int16_t *w, const int16_t *const *rows,
                            int32_t r0, int32_t r1, ptrdiff_t from, int32_t pairs, ptrdiff_t in_step,
                            const int32_t *init, ptrdiff_t init_step, int32_t *acc) {
  vec a[TILE_P][TILE_V];
  UNROLL for (int p = 0; p < P; p++) {
    UNROLL for (int v = 0; v < V; v++) { a[p][v] = v_load(init + p * init_step + v * LANES); }
  }
  for (int32_t r = r0; r < r1; r++) {
    const int16_t *in = rows[r] + from;
    for (int32_t i = 0; i < pairs; i++) {
      vec b[TILE_V];
      UNROLL for (int v = 0; v < V; v++) { b[v] = v_load((const int32_t *)w + v * LANES); }
      UNROLL for (int p = 0; p < P; p++) {
        vec x = v_pair(in + p * in_step);
        UNROLL for (int v = 0; v < V; v++) { a[p][v] = v_mac(a[p][v], x, b[v]); }
      }
      w += V * LANES * 2;
      in += 2;
    }
  }
  UNROLL for (int p = 0; p < P; p++) {
    UNROLL for (int v = 0; v < V; v++) { v_store(acc + (p * V + v) * LANES, a[p][v]); }
  }
  return w;
}

// Requantises one vector of accumulators, channels c ... c + LANES - 1, and stores the first n.
INLINE void finish(const sc_requant *q, int32_t c, vec acc, int16_t *out, int32_t n) {
#if VARIABLE_SHIFT
  acc = v_requant(acc, v_load(q->shift + c), v_set(q->leaky), v_set(q->lo), v_set(q->hi));
  if (n >= LANES) {
    v_narrow(out, acc);
  } else {
    int16_t part[LANES];
    v_narrow(part, acc);
    memcpy(out, part, (size_t)n * sizeof *out);
  }
#else
  int32_t lane[LANES];
  v_store(lane, acc);
  for (int32_t i = 0; i < LANES && i < n; i++) {
    out[i] = sc_requantise(q, c + i, lane[i]);
  }
#endif
}

INLINE void tile(const int V, const sc_conv *conv, int32_t first, const int16_t *const *rows,
                 ptrdiff_t in_step, int16_t *out, ptrdiff_t out_step, size_t pixels) {
  const int32_t all = (conv->run + 1) / 2;
  const int32_t at_once = all < CHUNK ? CHUNK / all : 1; // rows of a chunk
  const sc_requant *q = &conv->requant;
  const int32_t channels = conv->out_channels - first < V * LANES ? conv->out_channels - first : V * LANES;
  int32_t acc[GROUP * TILE];

  for (size_t x0 = 0; x0 < pixels; x0 += GROUP) {
    const int n = pixels - x0 < GROUP ? (int)(pixels - x0) : GROUP;
    const int16_t *w = conv->weights + (ptrdiff_t)first * conv->rows * all * 2, *next = w;
    const int32_t *init = q->bias + first;
    ptrdiff_t init_step = 0;
    for (int32_t r0 = 0; r0 < conv->rows; r0 += at_once) {
      const int32_t r1 = conv->rows - r0 < at_once ? conv->rows : r0 + at_once;
      for (int32_t e = 0; e < all; e += CHUNK) {
        const int32_t pairs = all - e < CHUNK ? all - e : CHUNK;
        for (int x = 0, left = n, P; left; x += P, left -= P) {
          const ptrdiff_t from = ((ptrdiff_t)x0 + x) * in_step + 2 * e;
          const int32_t *start = init + x * init_step;
          P = left < TILE_P ? left : left < 2 * TILE_P && left > TILE_P ? (left + 1) / 2 : TILE_P;
#define CASE(N)                                                                                              \
  case N:                                                                                                    \
    next = block(N, V, w, rows, r0, r1, from, pairs, in_step, start, init_step, acc + x * V * LANES);        \
    break;
          switch (P) { EACH_P(CASE) }
#undef CASE
        }
        w = next;
        init = acc;
        init_step = V * LANES;
      }
    }
    for (int x = 0; x < n; x++) {
      int16_t *to = out + ((ptrdiff_t)x0 + x) * out_step + first;
      UNROLL for (int v = 0; v < V; v++) {
        finish(q, first + v * LANES, v_load(acc + (x * V + v) * LANES), to + v * LANES, channels - v * LANES);
      }
    }
  }
}

// ---- Narrow form
// ---------------------------------------------------------------------------------------------------

INLINE void narrow(const int C, const sc_conv *conv, const int16_t *const *rows, ptrdiff_t in_step,
                   int16_t *out, ptrdiff_t out_step, size_t pixels) {
  const sc_requant *q = &conv->requant;
  for (size_t x = 0; x < pixels; x += NARROW_P) {
    ptrdiff_t at[NARROW_P]; // the last block repeats its last pixel
    UNROLL for (size_t p = 0; p < NARROW_P; p++) {
      at[p] = (ptrdiff_t)(x + p < pixels ? x + p : pixels - 1) * in_step;
    }
    vec a[NARROW][NARROW_P];
    UNROLL for (int c = 0; c < C; c++) {
      UNROLL for (int p = 0; p < NARROW_P; p++) { a[c][p] = v_zero(); }
    }
    const int16_t *w = conv->weights;
    for (int32_t r = 0; r < conv->rows; r++) {
      const int16_t *in = rows[r];
      for (int32_t e = 0; e < conv->run; e += 2 * LANES) {
        vec b[NARROW_P];
        UNROLL for (int p = 0; p < NARROW_P; p++) { b[p] = v_load((const void *)(in + at[p] + e)); }
        UNROLL for (int c = 0; c < C; c++) {
          vec k = v_load((const void *)w);
          UNROLL for (int p = 0; p < NARROW_P; p++) { a[c][p] = v_mac(a[c][p], b[p], k); }
          w += 2 * LANES;
        }
      }
    }
    UNROLL for (int c = 0; c < C; c++) {
      __m128i s = _mm_add_epi32(v_sum4(a[c][0], a[c][1], a[c][2], a[c][3]), _mm_set1_epi32(q->bias[c]));
      const int32_t sh = q->shift[c], leaky = sh + q->leaky;
      __m128i plain = _mm_sra_epi32(_mm_add_epi32(s, _mm_set1_epi32(1 << (sh - 1))), _mm_cvtsi32_si128(sh));
      __m128i slope =
          _mm_sra_epi32(_mm_add_epi32(s, _mm_set1_epi32(1 << (leaky - 1))), _mm_cvtsi32_si128(leaky));
      s = _mm_blendv_epi8(plain, slope, _mm_srai_epi32(s, 31));
      s = _mm_min_epi32(_mm_max_epi32(s, _mm_set1_epi32(q->lo)), _mm_set1_epi32(q->hi));
      int32_t lane[4];
      _mm_storeu_si128((__m128i *)lane, s);
      for (size_t p = 0; p < NARROW_P && x + p < pixels; p++) {
        out[(ptrdiff_t)(x + p) * out_step + c] = (int16_t)lane[p];
      }
    }
  }
}

#define FORM(form, N)                                                                                        \
  TARGET static void form##_##N(const sc_conv *conv, int32_t first, const int16_t *const *rows,              \
                                ptrdiff_t in_step, int16_t *out, ptrdiff_t out_step, size_t pixels)
#define WIDE(N)                                                                                              \
  FORM(wide, N) { tile(N, conv, first, rows, in_step, out, out_step, pixels); }
#define THIN(N)                                                                                              \
  FORM(thin, N) {                                                                                            \
    (void)first;                                                                                             \
    narrow(N, conv, rows, in_step, out, out_step, pixels);                                                   \
  }
EACH_V(WIDE)
THIN(1)
THIN(2)
THIN(3)
THIN(4)
#undef THIN
#undef WIDE
#undef FORM

void NAME(sc_conv)(const sc_conv *conv, const int16_t *const *rows, ptrdiff_t in_step, int16_t *out,
                   ptrdiff_t out_step, size_t pixels) {
  const int32_t channels = conv->out_channels;
#define CALL(form, N)                                                                                        \
  case N:                                                                                                    \
    form##_##N(conv, first, rows, in_step, out, out_step, pixels);                                           \
    break;
#define WIDE(N) CALL(wide, N)
  int32_t first = 0;
  if (channels <= NARROW) {
    switch (channels) { CALL(thin, 1) CALL(thin, 2) CALL(thin, 3) CALL(thin, 4) }
    return;
  }
  for (; first < channels; first += TILE) {
    switch (channels - first < TILE ? (channels - first + LANES - 1) / LANES : TILE_V) { EACH_V(WIDE) }
  }
#undef WIDE
#undef CALL
}

// ---- Peak
// ----------------------------------------------------------------------------------------------------------

TARGET uint64_t NAME(sc_peak)(uint64_t iterations) {
  const int32_t ones[LANES] = {1};
  vec x = v_load(ones), a[12];
  UNROLL for (int i = 0; i < 12; i++) { a[i] = v_zero(); }
  for (uint64_t n = 0; n < iterations; n++) {
    UNROLL for (int i = 0; i < 12; i++) {
      a[i] = v_mac(a[i], x, x);
      HIDE(a[i]);
      HIDE(x); // or the product is taken once for all
    }
  }
  UNROLL for (int i = 1; i < 12; i++) { a[0] = v_mac(a[0], a[i], x); }
  int32_t sink[LANES];
  v_store(sink, a[0]);
  volatile int32_t out = sink[0];
  (void)out;
  return iterations * 12 * 2 * LANES;
}
