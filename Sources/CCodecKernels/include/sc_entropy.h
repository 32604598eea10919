// SPDX-License-Identifier: BSD-3-Clause
//
// The entropy coder: distributions, planes of a segment, payloads. The bitstream is defined in docs/format (model.md §8, bitstream.md §4),
// the coder in entropy/rans_decoder.h.
#ifndef SC_ENTROPY_H
#define SC_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SC_RANS_LANES 4
#define SC_RANS_BITS 15
/// Bytes past the end of a payload that the decoder may read, with any content.
#define SC_RANS_SLACK 128
/// Columns to the left and right, and rows above and below a padded plane.
#define SC_MAGNITUDE_MARGIN 2

/// A symbol as the decoder needs it.
typedef struct sc_symbol {
  uint16_t frequency; ///< 0 for the escape, so that no slot is in it
  uint16_t start;     ///< its first slot
  uint32_t seen; ///< value | magnitude of it (with the magnitude rule table) << 16; the escape's frequency
} sc_symbol;

/// A distribution over the values minimum … minimum + symbols − 2 and the escape, which is the last symbol; or over
/// the value 0 alone, which takes no bits.
///
/// Before it in memory stand the symbols of the slots j << start_shift, a byte each: sc_cdf_starts bytes. Fine tables
/// find nearly all symbols at once, coarse ones stay in the caches if there are many.
typedef struct sc_cdf {
  int32_t minimum;
  int32_t symbols; ///< 2…256, or 1
  sc_symbol symbol[];
} sc_cdf;

/// Bytes before and from a distribution on, multiples of 8.
size_t sc_cdf_starts(int32_t start_shift);
size_t sc_cdf_size(int32_t symbols);
/// `frequency` is [symbols], each >= 1 and 2^15 together; `table` is [64], the magnitude of |value|, or NULL. One symbol
/// alone is the value 0. `start_shift` is 1…12.
void sc_cdf_init(sc_cdf *cdf, int32_t minimum, const uint16_t *frequency, int32_t symbols,
                 const uint8_t *table, int32_t start_shift);

/// How a residual (a value less its predicted mean) is seen by the contexts of others.
typedef enum sc_magnitude_kind {
  SC_MAGNITUDE_NONE = 0,
  SC_MAGNITUDE_THRESHOLD = 1,
  SC_MAGNITUDE_TABLE = 2
} sc_magnitude_kind;

/// A channel of a segment, with its contexts.
///
/// Padded planes are [height + 2 margins][width + 2 margins]; the coder fills them, margins too: nothing has to be
/// zeroed. Afterwards the first margin around holds the nearest sample.
typedef struct sc_plane {
  int32_t width, height; ///< >= 1
  int16_t *values;       ///< [height][width], written by the decoder, read by the encoder
  uint8_t *magnitudes;   ///< padded; NULL if the kind is none
  int16_t *samples;      ///< padded, the values; NULL if no mean depends on them
  int32_t magnitude_kind;
  int32_t low, high;    ///< magnitude 1 where value < low or value >= high
  const uint8_t *table; ///< [64], magnitude of |residual|
  const uint16_t *base; ///< contributions of the sources, in the order of the wavefront; NULL for none
  /// [SC_LEVEL_SUMS + 1] level of a shifted sum times 2^phase_bits; the last element is for what is outside of the
  /// plane, the place of a CDF of one symbol. NULL if there is one level only and no mean.
  const uint16_t *level_of;
  int32_t weight[6]; ///< left, left of left, top left, top, top right, top of top
  int32_t shift;
  int32_t mean_shift;       ///< 1…15; 0 without a mean, which asks for samples and magnitude kind table
  int32_t mean_weight[6];   ///< as weight, signed
  const int32_t *mean_base; ///< contributions of other channels, in the order of the wavefront; NULL for none
  int32_t phase_bits;       ///< 0…3, at most mean_shift
  const sc_cdf *const *cdfs; ///< [levels << phase_bits], then one of one symbol
  int32_t start_shift;       ///< of all CDFs
  void *scratch;             ///< sc_plane_scratch bytes, aligned to 16, zeroed once
} sc_plane;
#define SC_LEVEL_SUMS 1024

/// The order in which the samples of a plane are coded: a wavefront of eight rows. Row y is on line y mod 8, and the lines
/// run side by side, each two steps behind the one before it. On its line a row follows on the one eight rows before it
/// after `period` steps.
typedef struct sc_wavefront {
  int32_t period; ///< the width, but at least 16: a row's top-right neighbour is known in every step
  size_t steps;
  size_t line; ///< elements from one line to the next: a multiple of 8, more than the steps
} sc_wavefront;

static inline sc_wavefront sc_wavefront_of(int32_t width, int32_t height) {
  sc_wavefront w;
  w.period = width < 16 ? 16 : width;
  // The last row is the last to end: a period is longer than the lines are behind each other.
  w.steps = (size_t)((height - 1) / 8) * (size_t)w.period + 2 * (size_t)((height - 1) % 8) + (size_t)width;
  w.line = (w.steps + 16) & ~(size_t)7;
  return w;
}
/// Place of the first sample of a row in an array in the order of the wavefront, which has 8 · line elements.
static inline size_t sc_wavefront_row(const sc_wavefront *wavefront, int32_t y) {
  return (size_t)(y % 8) * (wavefront->line + 2) + (size_t)(y / 8) * (size_t)wavefront->period;
}
/// Bytes that coding a plane, or the sums over its sources, need beside it.
size_t sc_plane_scratch(int32_t width, int32_t height);

/// A channel coded before whose 3×3 neighbourhoods take part in levels.
typedef struct sc_context_source {
  const uint8_t *magnitudes; ///< padded
  const uint8_t *weight;     ///< [9], at most 127
} sc_context_source;

/// A channel coded before whose 3×3 neighbourhoods take part in means.
typedef struct sc_mean_source {
  const int16_t *samples; ///< padded
  const int16_t *weight;  ///< [9]
} sc_mean_source;

/// Most sources of a channel.
#define SC_CONTEXT_SOURCES 16
/// Elements past the end of padded planes that can be read.
#define SC_PLANE_SLACK 64

/// base = Σ weight · magnitude over the sources, plus scale_weight · scales ([height][width], NULL for none), in the
/// order of the wavefront. `count` is at most SC_CONTEXT_SOURCES; `scratch` is as in sc_plane. Magnitudes are at most 127,
/// and the model loader has proved that sums fit 16 bits.
typedef void sc_context_base_fn(uint16_t *base, int32_t width, int32_t height,
                                const sc_context_source *sources, int32_t count, const uint8_t *scales,
                                int32_t scale_weight, void *scratch);
/// base = Σ weight · sample over the sources, in the order of the wavefront; the model loader has proved that sums fit 32
/// bits.
typedef void sc_mean_base_fn(int32_t *base, int32_t width, int32_t height, const sc_mean_source *sources,
                             int32_t count, void *scratch);

/// Reads a payload, which has SC_RANS_SLACK readable bytes behind it.
typedef struct sc_rans_decoder {
  const uint8_t *words;
  size_t next, count; ///< words
  uint32_t state[SC_RANS_LANES];
  int32_t lanes; ///< SC_RANS_LANES, or 1: all lanes are the first one
} sc_rans_decoder;

/// 0, or −1 for a payload that is too short or has an invalid state. A payload of one lane saves the states of the others,
/// and decodes more slowly.
int sc_rans_decoder_init(sc_rans_decoder *decoder, int lanes, const uint8_t *payload, size_t size);
/// One binary symbol with P(1) = one / 2^15.
int sc_rans_decode_flag(sc_rans_decoder *decoder, int lane, uint32_t one);
/// Decodes a plane; 0, or −1 if the payload ends too early or holds a value outside of int16. After −1 the plane and the
/// decoder have any content.
typedef int sc_decode_plane_fn(sc_rans_decoder *decoder, const sc_plane *plane);
/// 0 if everything was used and every state is back at 2^16.
int sc_rans_decoder_finish(const sc_rans_decoder *decoder);

/// Symbols in the order of decoding: start | frequency << 15 | lane << 30.
typedef struct sc_rans_encoder {
  uint32_t *symbols;
  size_t count, capacity;
} sc_rans_encoder;

/// Most symbols that one value takes: itself, and an escape's length and two groups of bits.
#define SC_RANS_SYMBOLS_PER_VALUE 4

/// One binary symbol with P(1) = one / 2^15.
void sc_rans_encode_flag(sc_rans_encoder *encoder, int lane, uint32_t one, int flag);
/// Appends the symbols of a plane: needs room for SC_RANS_SYMBOLS_PER_VALUE times its values.
typedef void sc_encode_plane_fn(sc_rans_encoder *encoder, const sc_plane *plane);
/// Bytes that sc_rans_encoder_finish can write at most.
size_t sc_rans_payload_bound(size_t symbols);
/// Writes the payload, of SC_RANS_LANES lanes or one, to the end of `out` (of `capacity` bytes) and returns its size.
size_t sc_rans_encoder_finish(const sc_rans_encoder *encoder, int lanes, uint8_t *out, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
