// SPDX-License-Identifier: BSD-3-Clause
//
// Rate-distortion optimised quantisation: the hot loops of the encoder's search. Plain C; sums of floating-point
// numbers have one order, so that every machine makes the same choices.
#ifndef SC_RDOQ_H
#define SC_RDOQ_H

#include <stddef.h>
#include <stdint.h>

#include "sc_layout.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- Gradient ------------------------------------------------------------------------------------------------------

/// Gradients lie in [-SC_GRADIENT_LIMIT, SC_GRADIENT_LIMIT].
#define SC_GRADIENT_LIMIT 8191

/// out[i] = 0 where in[i] <= 0 or in[i] >= hi; 1 elsewhere. With leaky, 2 where in[i] < 0.
void sc_gradient_mask(const int16_t *in, size_t count, int32_t hi, int32_t leaky, uint8_t *out);
/// gradient[i] becomes 0 where mask[i] is 0 and is divided by 2^leaky, rounded, where it is 2.
void sc_gradient_apply_mask(int16_t *gradient, const uint8_t *mask, size_t count, int32_t leaky);
/// out[x * out_step + c * out_channel] += (in[x * in_step + c * in_channel] * factor[c] + 2^15) >> 16, clamped.
/// 0 <= |factor| < 2^31
void sc_gradient_accumulate(const int16_t *in, ptrdiff_t in_step, ptrdiff_t in_channel, int16_t *out,
                            ptrdiff_t out_step, ptrdiff_t out_channel, int32_t channels,
                            const int32_t *factor, size_t pixels);
/// Σ gradient[i]²; |gradient[i]| < 2^15.
int64_t sc_gradient_power(const int16_t *gradient, size_t count);
/// gradient[i] becomes gradient[i] · 2^shift, rounded down, clamped to the limit; shift is -16…16.
void sc_gradient_scale(int16_t *gradient, size_t count, int32_t shift);
/// out[c * plane + x] = in[x * channels + c] * unit[c]; or adds that to it (`power` 1), or its square (2).
void sc_gradient_to_planes(const int16_t *in, const float *unit, float *out, ptrdiff_t plane,
                           int32_t channels, size_t width, int32_t power);
/// One output of a synthesis and the components of the picture that it is compared with.
typedef struct sc_plane_error {
  const sc_component *components; ///< [count], of one size and step
  int32_t count; ///< that of the output's channels; or 1 with 3 channels: a grey picture coded as RGB
  int32_t channels;
  size_t width; ///< of the components
  /// Pixels to a column of the output and to one of the latent: one need not divide the other.
  size_t divisor, cell;
  /// 1...4: what a squared error counts in cells, and an error in the gradient
  int32_t weight;
  int32_t probe; ///< √weight in 1/256
} sc_plane_error;

/// Errors of row y of an output, in: [width][channels] with exponent q. Adds weight · squared error to each cell. out, if
/// not NULL, gets weight · error · 2^scale as far as the sample is not clamped, clamped to the limit.
void sc_plane_error_row(const int16_t *in, int32_t q, const sc_plane_error *plane, ptrdiff_t y,
                        uint64_t *cells, int16_t *out, int32_t scale);
/// The same with random signs times √weight instead of errors: bit x + channel of a hash of `seed`.
void sc_plane_probe_row(const int16_t *in, int32_t q, const sc_plane_error *plane, int16_t *out,
                        int32_t scale, uint64_t seed);

// ---- Rate ----------------------------------------------------------------------------------------------------------

typedef struct sc_rate_cdf {
  const double *bits; ///< [symbols], of the escape too
  int32_t minimum, symbols;
} sc_rate_cdf;

/// A channel that sees another one: its weights of the 3×3 neighbourhood there, row by row.
typedef struct sc_rate_link {
  int32_t channel;
  int32_t weight[9];
} sc_rate_link;

/// A place whose k-th neighbour is the place that this is listed for.
typedef struct sc_rate_neighbour {
  int32_t place, k;
} sc_rate_neighbour;

typedef struct sc_rate_channel {
  int16_t *values;     ///< [places]
  uint8_t *magnitudes; ///< [places]; NULL if the kind is none
  int32_t *sums;       ///< [places] sums of weighted magnitudes; NULL if there is one level only
  int32_t *means;      ///< [places] sums of weighted values, 2^(mean_shift - 1) included; NULL without a mean
  const uint8_t *level_of;                ///< [1024]; NULL if there is one level only
  const uint16_t *cdf;                    ///< [levels << phase_bits]
  const sc_rate_link *links, *mean_links; ///< active channels that see this one
  int32_t link_count, mean_link_count;
  int32_t low, high, shift, mean_shift, phase_bits;
  int32_t weight[6], mean_weight[6]; ///< left, left of that, top left, top, top right, top of top
  uint8_t *scales;                   ///< [places] of the hyperprior, part of the sums; NULL without one
  int32_t scale_weight;
} sc_rate_channel;

/// One value of a segment's latent.
typedef struct sc_rate_sample {
  int32_t channel, place;
} sc_rate_sample;

/// A segment and its entropy model. A place is row * width + column.
typedef struct sc_rate {
  int32_t places, channel_count;
  int32_t width; ///< places of a row
  int32_t magnitude_kind;
  const uint8_t *table;                    ///< [64]
  const int32_t *causal_start, *box_start; ///< [places + 1]
  const sc_rate_neighbour *causal, *box;   ///< places that see a place: as a causal neighbour, in their 3×3
  const sc_rate_cdf *cdfs;
  sc_rate_channel *channels;
  int32_t *sum_change, *mean_change; ///< [channels][places] of zeros; NULL if the kind is none
  uint8_t *touched;                  ///< [channels][places] of zeros; NULL if the kind is none
  sc_rate_sample *list;              ///< [list_size]
  int32_t list_size;
} sc_rate;

/// Bits of a residual under a CDF.
double sc_rate_bits(const sc_rate_cdf *cdf, int32_t residual);
/// Fills magnitudes, sums and means from the values. `active` is a flag for each channel.
void sc_rate_fill(const sc_rate *rate, const uint8_t *active);
/// Bits of all samples of a channel.
double sc_rate_channel_bits(const sc_rate *rate, int32_t channel);
/// Bits of the sample itself if it becomes `value`, less those that it has.
double sc_rate_own_change(const sc_rate *rate, int32_t channel, int32_t place, int32_t value);
/// What the bits of all samples change by if it becomes `value`.
double sc_rate_change(const sc_rate *rate, int32_t channel, int32_t place, int32_t value);
/// Sets a value, and what others know of it.
void sc_rate_apply(const sc_rate *rate, int32_t channel, int32_t place, int32_t value);

/// Other scales of a channel that has sums: `scales` is [places].
void sc_rate_set_scales(const sc_rate *rate, int32_t channel, const uint8_t *scales);

/// First (`order` 1) or second (2) differences of each sample's own bits by its value, from the values beside it, and by
/// its scale, from scales some levels apart: both [places]. The latter is 0 where there are no scales, or where the scale
/// is the least or the greatest.
void sc_rate_differences(const sc_rate *rate, int32_t channel, int32_t order, float *by_value,
                         float *by_scale);

/// How a channel's values are chosen anew. A move d of a decoded value costs weight · (2 gradient d + curvature d²).
typedef struct sc_requantiser {
  const int16_t *means;              ///< [places]
  int16_t *decoded;                  ///< [places], written: value · 2^q + mean
  const int16_t *reference;          ///< [places], what moves are counted from
  const float *gradient, *curvature; ///< [places]; curvature >= 0
  float weight;
  int32_t q;
  int32_t looks_ahead;    ///< whether bits of other samples count, whose contexts see the value
  const float *threshold; ///< [places], what a change must save, in bits; NULL for any, also a negative one
  uint8_t *scratch;       ///< [places]
} sc_requantiser;

/// Gives every value of an active channel the one nearby that costs least, in the order of rows; returns how many changed.
int32_t sc_rate_requantise(const sc_rate *rate, int32_t channel, const sc_requantiser *how);
/// Says what the best change of every value would save and to what: both [places]; −1e9 where that is less than the
/// threshold.
void sc_rate_propose(const sc_rate *rate, int32_t channel, const sc_requantiser *how, float *gains,
                     int16_t *to);
/// How a channel's values are chosen without a search, from the latent: by squared steps to it, and bits.
typedef struct sc_zone {
  const int16_t *latent, *means; ///< [places], with exponent q
  int32_t q;
  float step; ///< what an error of a step costs, squared, in bits
  /// What a move by a step toward 0 costs beside that: `pull` bits, and the part `share` of the bits that it saves.
  float pull, share;
} sc_zone;

/// Gives every value of a channel, all 0 before, the integer nearest to the latent, or the next one toward 0 where that
/// costs less, in the order of rows. Channels that see this one, after it in coding order, are still all 0.
void sc_rate_quantise(const sc_rate *rate, int32_t channel, const sc_zone *zone);
/// How many of some values are `value`.
size_t sc_count_equal(const int16_t *values, size_t count, int16_t value);
/// Adds the bits of every sample of a channel to its place.
void sc_rate_place_bits(const sc_rate *rate, int32_t channel, double *bits);

#ifdef __cplusplus
}
#endif
#endif
