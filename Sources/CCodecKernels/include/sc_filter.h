// SPDX-License-Identifier: BSD-3-Clause
//
// The adaptive filter of decoded pictures (docs/format/bitstream.md §7), after the adaptive loop filter of VVC
// (ITU-T H.266, 8.8.5; Karczewicz et al., "VVC In-Loop Filters", 2021): each 4×4 block is filtered with the taps of its
// class, which the samples around it tell.
#ifndef SC_FILTER_H
#define SC_FILTER_H

#include "sc_kernels.h"
#include "sc_layout.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Classes of blocks; under each, four transforms of the taps: not (0), mirrored left to right (1), rows and columns
/// exchanged (2), exchanged after mirroring (3).
#define SC_FILTER_CLASSES 25
#define SC_FILTER_TRANSFORMS 4
/// Taps of a filter: the first ones for pairs of samples of its own plane, the last 6 for pairs of the guide.
#define SC_FILTER_LUMA_TAPS 18
#define SC_FILTER_CHROMA_TAPS 12
#define SC_FILTER_GUIDE_TAPS 6
/// Differences to the middle sample are clipped to ±these: those of luma's guide, all others.
#define SC_FILTER_GUIDE_CLIP 10
#define SC_FILTER_CLIP 64
/// Fractional bits of taps, and their largest magnitude.
#define SC_FILTER_BITS 6
#define SC_FILTER_TAP 63
/// No weighted sum is larger than this, so that 16 bits hold it. `sc_filter_is_valid` tells.
#define SC_FILTER_SUM 32000
/// Columns that rows go on with on both sides.
#define SC_FILTER_MARGIN 8

/// Taps ready for use: of class c under transform t at [4 c + t], each four times, for the columns of a block.
typedef struct sc_filter_taps {
  int16_t tap[SC_FILTER_CLASSES * SC_FILTER_TRANSFORMS][SC_FILTER_LUMA_TAPS][4];
  uint8_t is_used[SC_FILTER_CLASSES * SC_FILTER_TRANSFORMS]; ///< whether any tap is not 0
} sc_filter_taps;

/// Whether no sum of a filter of `count` taps can leave 16 bits.
int sc_filter_is_valid(const int8_t *taps, int32_t count);
/// `taps` are [SC_FILTER_CLASSES][count].
void sc_filter_prepare(const int8_t *taps, int32_t count, sc_filter_taps *out);

/// Filters a row of blocks: out[y][x] = (Σ tap · pair + 32) >> 6 for its 4 rows. `plane` and `guide` are rows −3…6 around
/// the first one; only rows −2…5 of the guide are read. `shape` has 4 class + transform of each block, and entries up to a
/// multiple of 4; as many columns of `out` are written. `count` is SC_FILTER_LUMA_TAPS, where both planes are the same, or
/// SC_FILTER_CHROMA_TAPS.
typedef void sc_filter_fn(const sc_filter_taps *taps, int32_t count, const int16_t *const *plane,
                          const int16_t *const *guide, const uint8_t *shape, int32_t blocks, int16_t *out,
                          ptrdiff_t stride);
/// Second differences of a row of blocks, summed over the first and third row of each: horizontal, vertical, along both
/// diagonals. `rows` are −1…3 of the guide; up to a multiple of 4 blocks are written.
typedef void sc_filter_activity_fn(const int16_t *const *rows, int32_t blocks, uint16_t *sums[4]);
/// Numbers of what the encoder sums up for a filter: products of its `count` pairs with each other, i ≤ j, and with the error.
#define SC_FILTER_SUMS(count) ((count) * ((count) + 3) / 2)
/// Adds what the whole blocks of a row give to sums[class][SC_FILTER_SUMS(count)], row by row of the upper triangle, each
/// row's last number that of the error. Blocks whose `skip` is not 0 do not count. `error` are 4 rows within ±1020. `scratch`
/// is of `sc_filter_scratch` bytes, zeros at first, and `sc_filter_flush` adds what is left in it.
typedef void sc_filter_measure_fn(int32_t count, const int16_t *const *plane, const int16_t *const *guide,
                                  const uint8_t *shape, const uint8_t *skip, int32_t blocks,
                                  const int16_t *const *error, void *scratch, int64_t *sums);
size_t sc_filter_scratch(void);
void sc_filter_flush(int32_t count, void *scratch, int64_t *sums);

typedef struct sc_filter_kernels {
  const char *name;
  sc_filter_fn *filter;
  sc_filter_activity_fn *activity;
  sc_filter_measure_fn *measure;
} sc_filter_kernels;

/// NULL if this processor lacks the instructions.
const sc_filter_kernels *sc_filter_kernels_get(sc_cpu cpu);

/// What the planes of a job are.
typedef enum sc_filter_kind {
  SC_FILTER_LUMA,   ///< one component, its own guide
  SC_FILTER_RGB,    ///< R, G, B; the guide is (R + 2 G + B + 2) >> 2, chroma R and B less the guide
  SC_FILTER_CHROMA, ///< Y, U, V of 4:2:0; the guide is Y at half the size, only U and V are filtered
} sc_filter_kind;

/// A picture to filter in place, or to measure.
typedef struct sc_filter_job {
  const sc_filter_kernels *kernels;
  sc_filter_kind kind;
  /// Of the picture; a job of kind SC_FILTER_CHROMA has half of it, rounded up.
  int32_t width, height;
  const sc_component *components;
  /// NULL: not filtered.
  const sc_filter_taps *luma, *chroma[2];
} sc_filter_job;

/// Rows of blocks of a job.
int32_t sc_filter_block_rows(const sc_filter_job *job);
/// Bytes that a band of a job takes; for `sc_filter_measure` if `measures` is not 0.
size_t sc_filter_memory(const sc_filter_job *job, int measures);
/// Keeps the rows around the band of block rows first…end − 1 that its neighbours change. For all bands before
/// `sc_filter_apply` of any.
void sc_filter_begin(const sc_filter_job *job, int32_t first, int32_t end, void *memory);
/// Filters the band.
void sc_filter_apply(const sc_filter_job *job, int32_t first, int32_t end, void *memory);
/// Sums of the band for luma, first chroma and second chroma, each [SC_FILTER_CLASSES][SC_FILTER_SUMS(taps)]; NULL where
/// they are not wanted. Errors are those to `original`, three times as large for RGB: of luma those of R, G and B together,
/// of chroma by how much those of R and of B are more. `skip` has a flag for each 16×16 luma samples, in rows, or is NULL.
/// Of each `every` groups of four blocks next to each other one counts.
void sc_filter_measure(const sc_filter_job *job, const sc_component *original, const uint8_t *skip,
                       int32_t every, int32_t first, int32_t end, void *memory, int64_t *const sums[3]);

#ifdef __cplusplus
}
#endif
#endif
