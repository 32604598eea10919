// SPDX-License-Identifier: BSD-3-Clause
//
// Copies between layouts. Rows are [pixels][channels]; in and out do not overlap.
#ifndef SC_LAYOUT_H
#define SC_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// out[x][c] = clamp(round(in[x][c], shift), lo, hi) for c < channels; round as in sc_add_fn, 0 <= shift
/// <= 15.
void sc_copy_channels(const int16_t *in, ptrdiff_t in_step, int16_t *out, ptrdiff_t out_step,
                      int32_t channels, size_t pixels, int32_t shift, int32_t lo, int32_t hi);
/// Row i of the f output rows of a pixel shuffle by f: out[f x + j][c] = in[x][c f² + i f + j], c < channels.
void sc_pixel_shuffle(const int16_t *in, int16_t *out, int32_t channels, int32_t factor, int32_t i,
                      size_t pixels);
/// Input row i of the f rows of an unshuffle by f: out[x][c f² + i f + j] = in[f x + j][c], c < channels, x <
/// pixels.
void sc_pixel_unshuffle(const int16_t *in, int16_t *out, int32_t channels, int32_t factor, int32_t i,
                        size_t pixels);
/// out = 2 sample − 255; the last pixel is repeated up to padded_width. channels is 1 (repeated thrice) or 3.
void sc_samples_to_row(const uint8_t *in, int32_t channels, size_t width, int16_t *out, size_t padded_width);
/// sample = clamp(128 + (in >> q), 0, 255); channels 1: (77 R + 150 G + 29 B + 128) >> 8.
void sc_row_to_samples(const int16_t *in, int32_t q, uint8_t *out, int32_t channels, size_t width);
/// Where the samples of one component of a picture lie: sample x of row y at base[y * row_stride + x * step].
typedef struct sc_component {
  uint8_t *base;
  ptrdiff_t step, row_stride;
} sc_component;

/// What a sample's squared error counts in the distortion of a 4:2:0 picture.
#define SC_LUMA_WEIGHT 3
#define SC_CHROMA_WEIGHT 8

/// Row y of some components of the same size as a network's input: out[x][c] = 2 sample − 255; the last position is
/// repeated up to padded_width.
void sc_load_row(const sc_component *components, int32_t count, ptrdiff_t y, size_t width, int16_t *out,
                 size_t padded_width);
/// Row y of some components from a network's output [width][count]: sample = clamp(128 + (in >> q), 0, 255).
void sc_store_row(const int16_t *in, int32_t q, const sc_component *components, int32_t count, ptrdiff_t y,
                  size_t width);
/// out[x][c] = planes[c * plane_size + x]
void sc_planes_to_row(const int16_t *planes, size_t plane_size, int16_t *out, int32_t channels, size_t width);
/// planes[c * plane_size + x] = in[x][c]
void sc_row_to_planes(const int16_t *in, int16_t *planes, size_t plane_size, int32_t channels, size_t width);
/// The sum of |v| of `count` integers of 16 bits, little-endian and at any address, of a file.
uint64_t sc_magnitude_sum(const void *in, size_t count);

// ---- Hard swish (hard_swish.c) --------------------------------------------------------------------------------------
//
// v clamp(v + 3, 0, 6) / 6 of v = x 2^-q, 0 <= q <= 12, in integers:
//   out = clamp((x t 10923 + 2^(s-1)) >> s, lo, hi) with t = clamp(x + 3 2^q, 0, 6 2^q), 10923 = round(2^16 / 6), 1 <= s <= 44
// |x t 10923| < 2^15 2^15 2^14: 64 bits hold every sum.

void sc_hard_swish(const int16_t *in, int16_t *out, size_t count, int32_t q, int32_t shift, int32_t lo,
                   int32_t hi);
/// out[x][c] += gradient[x][c] factor[c] / 2^16 times the slope at values[x][c], in 1/256; clamped to the gradients' limit.
void sc_hard_swish_gradient(const int16_t *values, const int16_t *gradient, int16_t *out, int32_t channels,
                            int32_t q, const int32_t *factor, size_t pixels);

// ---- Latents of a hyperprior (model.md §7) -------------------------------------------------------------------

/// Takes a row [width][2 channels] of a slice's parameters apart: the means, then the scales clamped to 0…255.
void sc_row_to_parameters(const int16_t *in, int16_t *means, uint8_t *scales, size_t plane_size,
                          int32_t channels, size_t width);
/// v = (y − mean + 2^(q−1)) >> q, clamped to int16; q = 0: y − mean.
void sc_quantise(const int16_t *y, const int16_t *means, int16_t *v, size_t count, int32_t q);
/// y = clamp(v 2^q + mean) to int16. y may be v.
void sc_dequantise(const int16_t *v, const int16_t *means, int16_t *y, size_t count, int32_t q);

#ifdef __cplusplus
}
#endif
#endif
