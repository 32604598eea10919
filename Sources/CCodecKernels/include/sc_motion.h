// SPDX-License-Identifier: BSD-3-Clause
//
// Block motion: compensation (normative), the code of vectors (normative), and search (the encoder's).
//
// READ ME FIRST
// - The reference is a decoded 8-bit 4:2:0 frame that is continued beyond its border by its nearest samples, without
// end. A padded copy with SC_MOTION_MARGIN samples around it is enough: blocks further outside see constants.
// - Vectors are in quarter luma samples, thus in eighths of a chroma sample. Blocks are 16×16 luma samples, or four 8×8;
// at the right and lower border they are cut.
// - Everything is integers. A frame has the same prediction and, given the same tables, the same vectors on every
// processor. Nothing allocates.
#ifndef SC_MOTION_H
#define SC_MOTION_H

#include <stddef.h>
#include <stdint.h>

#include "sc_entropy.h"
#include "sc_kernels.h"
#include "sc_layout.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- Planes and fields ---------------------------------------------------------------------------------------------

/// Samples around a padded plane.
#define SC_MOTION_MARGIN 32
/// Components of vectors lie in [-SC_VECTOR_LIMIT, SC_VECTOR_LIMIT].
#define SC_VECTOR_LIMIT 2047
/// Largest width and height of a frame.
#define SC_MOTION_SIZE_LIMIT 65535

/// A plane of samples. Padded ones have SC_MOTION_MARGIN samples on each side in memory.
typedef struct sc_motion_plane {
  uint8_t *samples; ///< the top left one of the picture
  ptrdiff_t stride;
  int32_t width, height; ///< of the picture, 1…SC_MOTION_SIZE_LIMIT
} sc_motion_plane;

/// Y, U, V: the chroma planes have half the luma's size, rounded up.
typedef struct sc_motion_frame {
  sc_motion_plane plane[3];
} sc_motion_frame;

/// Bytes of a padded plane.
size_t sc_motion_plane_size(int32_t width, int32_t height);
/// A padded plane in `memory`, of sc_motion_plane_size bytes. Its samples are not set.
sc_motion_plane sc_motion_plane_make(void *memory, int32_t width, int32_t height);
/// Copies samples [height] rows of `stride` into a padded plane and fills its margins.
void sc_motion_plane_load(const sc_motion_plane *plane, const uint8_t *samples, ptrdiff_t stride);
/// Fills the margins of a padded plane with the nearest samples of the picture.
void sc_motion_plane_pad(const sc_motion_plane *plane);
/// The same in two steps: left and right of the rows first … end − 1, and then above and below the picture.
void sc_motion_plane_pad_rows(const sc_motion_plane *plane, int32_t first, int32_t end);
void sc_motion_plane_pad_ends(const sc_motion_plane *plane);

/// Bytes of a frame of three padded planes, and the frame in `memory` of this size.
size_t sc_motion_frame_size(int32_t width, int32_t height);
sc_motion_frame sc_motion_frame_make(void *memory, int32_t width, int32_t height);

typedef struct sc_vector {
  int16_t x, y; ///< quarter samples
} sc_vector;

/// How a block has its vectors; the contexts of its neighbours see it.
typedef enum sc_motion_mode {
  SC_MOTION_MERGED = 0, ///< with the first candidate
  SC_MOTION_OTHER = 1,  ///< with another candidate
  SC_MOTION_NEW = 2,
  SC_MOTION_SPLIT = 3
} sc_motion_mode;

/// A field of vectors: 16×16 blocks in rows, each of four 8×8 cells.
typedef struct sc_motion_field {
  int32_t blocks_x, blocks_y; ///< frame's width and height / 16, rounded up
  sc_vector *vectors;         ///< [2 * blocks_y][2 * blocks_x], of cells
  uint8_t *modes; ///< [blocks_y][blocks_x], sc_motion_mode, written by everything that walks over the field
  /// [blocks_y][blocks_x], or NULL where all are coded: 1 where a block's vectors are coded, 0 where they are as the
  /// caller has set them.
  uint8_t *coded;
} sc_motion_field;

static inline int32_t sc_motion_blocks(int32_t size) { return (size + 15) / 16; }

// ---- Compensation (normative) --------------------------------------------------------------------------------------
//
// Luma: two passes of 8 taps (those of HEVC) with 6 fractional bits, one rounding at the end:
//   t[j][i] = sum over k of tap[x & 3][k] * r[j][i + k - 3]
//   p[j][i] = clamp((sum over k of tap[y & 3][k] * t[j + k - 3][i] + 2048) >> 12, 0, 255)
// |t| < 2^15, and the sum of the second pass is within 24 bits. Chroma: the same with 4 taps, x & 7 and y & 7, k - 1.

typedef struct sc_motion_kernels sc_motion_kernels;

/// Predicts the block rows first … end − 1 into the unpadded or padded planes of `out`. `reference` is padded. Vectors
/// have been checked against the limit.
void sc_motion_compensate(const sc_motion_kernels *kernels, const sc_motion_frame *reference,
                          const sc_motion_field *field, int32_t first, int32_t end,
                          const sc_motion_frame *out);
/// The specification: the reference need not be padded.
void sc_motion_compensate_c(const sc_motion_frame *reference, const sc_motion_field *field,
                            const sc_motion_frame *out);
/// The second prediction of blocks that have two, those that `field` has coded vectors of: each sample of `out` becomes
/// (its own + that of the second reference + 1) >> 1.
void sc_motion_compensate_second(const sc_motion_kernels *kernels, const sc_motion_frame *reference,
                                 const sc_motion_field *field, int32_t first, int32_t end,
                                 const sc_motion_frame *out);
/// Vectors of blocks without second ones, and candidates of others: [2 * blocks_y][2 * blocks_x] sums of the vectors of
/// the frame and of the one before it, within the limit.
void sc_motion_second_vectors(const sc_motion_field *field, const sc_vector *previous, sc_vector *out);

// ---- Kernels -------------------------------------------------------------------------------------------------------
//
// The plain C function of each (suffix _c, motion_ref.c) is its specification. Rows may be read 3 samples before and 21
// samples behind the block's first, 3 rows above and 4 below it.

/// Predicts a block of size × size (8 or 16) samples at a quarter-sample place; fx, fy in 0…3.
typedef void sc_motion_luma_fn(uint8_t *out, ptrdiff_t out_stride, const uint8_t *in, ptrdiff_t in_stride,
                               int32_t size, int32_t fx, int32_t fy);
/// The same with size 4 or 8 and fx, fy in 0…7.
typedef sc_motion_luma_fn sc_motion_chroma_fn;
/// Sums of absolute differences of the four 8×8 quarters of a block of 16×16: top left, top right, then the lower ones.
typedef void sc_motion_sad16_fn(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride,
                                uint32_t sums[4]);
/// Sum of absolute differences of a block of 8×8.
typedef uint32_t sc_motion_sad8_fn(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b,
                                   ptrdiff_t b_stride);
/// Sum of squared differences of a block of size × size (8 or 16).
typedef uint32_t sc_motion_squares_fn(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b,
                                      ptrdiff_t b_stride, int32_t size);
/// Sums of absolute differences of a block of 8×8 of `a` against those at b, b + 1 … b + 7.
typedef void sc_motion_sad8_row_fn(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride,
                                   uint16_t sums[8]);

struct sc_motion_kernels {
  const char *name; ///< of the implementation
  sc_motion_luma_fn *luma;
  sc_motion_chroma_fn *chroma;
  sc_motion_sad16_fn *sad16;
  sc_motion_sad8_fn *sad8;
  sc_motion_sad8_row_fn *sad8_row;
  sc_motion_squares_fn *squares;
};

/// The table of a variant, that of the next weaker one where it has no own functions; NULL where this processor lacks it.
const sc_motion_kernels *sc_motion_kernels_get(sc_cpu cpu);

// ---- The code of vectors (normative) -------------------------------------------------------------------------------
//
// Blocks follow in rows. For a block, and for each 8×8 cell of a split one, three neighbours give a prediction (their
// median, by component) and a list of candidates without repetition: the prediction, left, top, top right, the same
// place in the field before, zero. Top right is replaced by top left where it does not exist or follows later; other
// missing neighbours are replaced by the existing one, or zero.
//
//   mode          a candidate's place in the list (0…5), SC_MOTION_SYMBOL_NEW, SC_MOTION_SYMBOL_SPLIT
//   NEW           the difference to the prediction, x then y
//   SPLIT         for each of four cells: a candidate's place or SC_MOTION_SYMBOL_NEW and a difference
//   difference    a magnitude 0…15, or a class of magnitudes [2^e, 1.5 · 2^e) or [1.5 · 2^e, 2^(e + 1)), 4 <= e <= 11; then, if it is
//                 not 0, one raw symbol: the sign in its lowest bit, above it e − 1 bits of the magnitude
//
// Contexts: of the mode, the number of candidates and the sum of the modes of left and top (of one of them twice where
// the other does not exist); of a cell's mode, the number of candidates and which of the four it is; of x, how far the
// neighbours are apart; of y, the magnitude of x; the latter two apart for blocks and cells.

#define SC_MOTION_CANDIDATES 6
#define SC_MOTION_SYMBOL_NEW 6
#define SC_MOTION_SYMBOL_SPLIT 7

/// Numbers of the first tables: [candidates − 1][sum of modes 0…6]; [candidates − 1][cell]; [cell or block][3 of x, 4 of y].
#define SC_MOTION_TABLE_MODE 0
#define SC_MOTION_TABLE_CELL (SC_MOTION_CANDIDATES * 7)
#define SC_MOTION_TABLE_DIFFERENCE (SC_MOTION_TABLE_CELL + SC_MOTION_CANDIDATES * 4)
#define SC_MOTION_TABLES (SC_MOTION_TABLE_DIFFERENCE + 14)
/// Most symbols of a table.
#define SC_MOTION_ALPHABET 32

/// Symbols of a table.
static inline int32_t sc_motion_alphabet(int32_t table) {
  return table < SC_MOTION_TABLE_CELL         ? SC_MOTION_SYMBOL_SPLIT + 1
         : table < SC_MOTION_TABLE_DIFFERENCE ? SC_MOTION_SYMBOL_NEW + 1
                                              : SC_MOTION_ALPHABET;
}

/// A set of distributions. A frame names the set that it uses.
typedef struct sc_motion_tables {
  /// Symbol s of table t has the slots start[t][s] … start[t][s + 1] − 1 of 2^15.
  uint16_t start[SC_MOTION_TABLES][SC_MOTION_ALPHABET + 1];
} sc_motion_tables;

// The section MOTN of a model file; all numbers are little-endian:
//   u8   sets, 1…SC_MOTION_SETS
//   u8   tables, SC_MOTION_TABLES
//   for each set and table: u16 symbols (sc_motion_alphabet), then as many u16 frequencies, each >= 1, together 2^15
#define SC_MOTION_SETS 8
/// Bytes of a section.
size_t sc_motion_tables_size(int32_t sets);
/// Reads a section into tables[SC_MOTION_SETS]; the number of sets, or −1 if it is not valid.
int32_t sc_motion_tables_read(sc_motion_tables *tables, const uint8_t *bytes, size_t size);
/// Writes a section of sc_motion_tables_size bytes.
void sc_motion_tables_write(uint8_t *bytes, const sc_motion_tables *tables, int32_t sets);

/// Counts of symbols.
typedef struct sc_motion_counts {
  uint32_t count[SC_MOTION_TABLES][SC_MOTION_ALPHABET];
} sc_motion_counts;
/// Distributions from counts. Contexts that were seldom seen lean to all tables of their kind together; without any
/// count these are a prior.
void sc_motion_tables_fit(sc_motion_tables *tables, const sc_motion_counts *counts);

/// Lengths of symbols in 1/256 bit.
typedef struct sc_motion_costs {
  uint16_t cost[SC_MOTION_TABLES][SC_MOTION_ALPHABET];
} sc_motion_costs;
void sc_motion_costs_make(sc_motion_costs *costs, const sc_motion_tables *tables);

/// A symbol of a table, or `bits` equally likely bits where the table is SC_MOTION_RAW.
typedef struct sc_motion_symbol {
  uint8_t table, bits;
  uint16_t symbol;
} sc_motion_symbol;
#define SC_MOTION_RAW 255
/// Most symbols of a block.
#define SC_MOTION_SYMBOLS_PER_BLOCK 21

/// Lists the symbols of a field and sets its modes. `previous` are the vectors of the field before, of the same size,
/// or NULL after an intra frame. `out` has room for SC_MOTION_SYMBOLS_PER_BLOCK for each block. Returns how many.
size_t sc_motion_symbols(const sc_motion_field *field, const sc_vector *previous, sc_motion_symbol *out);
/// Bits of symbols, in 1/256.
uint64_t sc_motion_bits(const sc_motion_symbol *symbols, size_t count, const sc_motion_costs *costs);
void sc_motion_count(sc_motion_counts *counts, const sc_motion_symbol *symbols, size_t count);
/// Appends symbols to those of the rANS encoder, all on one lane. It needs room for as many.
void sc_motion_encode(sc_rans_encoder *encoder, int lane, const sc_motion_tables *tables,
                      const sc_motion_symbol *symbols, size_t count);
/// Sets a field from a payload; 0, or −1 if the payload ends or holds a candidate that does not exist or a vector
/// beyond the limit: then the field is not to be used.
int sc_motion_decode(sc_rans_decoder *decoder, int lane, const sc_motion_tables *tables,
                     const sc_motion_field *field, const sc_vector *previous);

/// Where symbols come from. Both functions return −1 at the end.
typedef struct sc_motion_source {
  int32_t (*symbol)(void *context, int32_t table);
  int32_t (*raw)(void *context, int32_t bits);
  void *context;
} sc_motion_source;
/// As sc_motion_decode, from any source.
int sc_motion_rebuild(const sc_motion_source *source, const sc_motion_field *field,
                      const sc_vector *previous);

// ---- Search --------------------------------------------------------------------------------------------------------
//
// Minimises the sum of squared luma differences + λ · bits, with the lengths of the real tables. In three stages:
//   coarse    at a quarter of the resolution, everything within 48 samples; rows are independent
//   whole     whole-sample vectors of blocks and their cells; rows are independent, but see neighbours' coarse vectors
//   decide    candidates, fractions and splitting, in the order of the code: a block needs left, top and top right
// The first two compare absolute differences, and guess bits.
//
// Second vectors are searched for what the first ones leave: with p their prediction, (p + q) / 2 differs from a sample a
// by half of what q differs from 2 a - p by. So the same search finds q in a picture of 2 a - p at a larger λ, and a block
// has second vectors where they save more than their bits: it writes the field's `coded`. It begins at `previous`, which
// are the vectors of blocks without them.

typedef enum sc_motion_effort {
  SC_MOTION_FAST = 0, ///< no cells
  SC_MOTION_MEDIUM = 1,
  SC_MOTION_SLOW = 2 ///< all eight neighbours in every step, from several starts
} sc_motion_effort;

/// So that costs of a block fit 32 bits.
#define SC_MOTION_LAMBDA_LIMIT (1u << 20)

/// λ of second vectors over that of first ones: squared differences are so much larger.
#define SC_MOTION_SECOND_LAMBDA 4

/// What the second stage leaves to the third.
typedef struct sc_motion_start {
  sc_vector block, cell[4];
  uint32_t block_sad, cell_sad[4];
} sc_motion_start;

typedef struct sc_motion_search {
  const sc_motion_kernels *kernels;
  const sc_motion_costs *costs;
  const sc_motion_plane *reference; ///< padded luma
  const sc_vector *previous;        ///< vectors of the field before, or NULL
  uint32_t lambda;                  ///< squared differences a bit, in 1/16; at most SC_MOTION_LAMBDA_LIMIT
  int32_t effort;
  /// NULL, or luma of the prediction by the first vectors, in memory of a padded plane: for second ones.
  const sc_motion_plane *single;
  /// Of a second one's flag, 0 and 1, by how many of the left and top neighbours have them, in 1/256 bit.
  uint16_t flag_cost[3][2];
  // Set by sc_motion_search_make:
  int32_t blocks_x, blocks_y;
  sc_motion_plane current, small_current, small_reference;
  sc_vector *coarse;       ///< [blocks], in samples of the small planes
  sc_motion_start *starts; ///< [blocks]
  uint32_t *single_cost;   ///< [blocks], of those that keep one prediction
} sc_motion_search;

/// Bytes that the search for frames of a size needs.
size_t sc_motion_search_size(int32_t width, int32_t height);
/// A search in `memory` of this size, aligned to 64. The caller sets kernels, costs, reference, previous, lambda, effort,
/// single and flag_cost before each frame.
sc_motion_search sc_motion_search_make(void *memory, int32_t width, int32_t height);
/// Copies the current frame's luma, and makes the small planes: of the rows first … end − 1 of blocks, which are independent,
/// and after all of them what lies above and below the picture.
void sc_motion_search_load(const sc_motion_search *search, const uint8_t *luma, ptrdiff_t stride,
                           int32_t first, int32_t end);
void sc_motion_search_pad(const sc_motion_search *search);
/// Rows first … end − 1 of blocks of the first stage; all of them before the second, and all of that before the third.
void sc_motion_search_coarse(const sc_motion_search *search, int32_t first, int32_t end);
void sc_motion_search_whole(const sc_motion_search *search, int32_t first, int32_t end);
/// Decides the blocks first … end − 1 of a row of the field. Those above, up to that above and right of the last one,
/// and those to the left have been decided.
void sc_motion_search_decide(const sc_motion_search *search, const sc_motion_field *field, int32_t row,
                             int32_t first, int32_t end);
/// All stages on one thread.
void sc_motion_search_all(sc_motion_search *search, const uint8_t *luma, ptrdiff_t stride,
                          const sc_motion_field *field);

// ---- Choices of the encoder ----------------------------------------------------------------------------------------

/// Of the even rows first … end − 1, and every second sample: sums of absolute differences of luma to the prediction, and to the
/// sample two rows above, which row 0 does not have and is left out for.
void sc_motion_scene(const sc_component *luma, const sc_motion_plane *predicted, int32_t first, int32_t end,
                     uint64_t sums[2]);
/// For each block of a row of blocks, by how much the squared error of `decoded` is larger than that of `predicted`, luma
/// times SC_LUMA_WEIGHT and chroma times SC_CHROMA_WEIGHT. Y, U and V of a frame of their size.
void sc_motion_skip_gain(const sc_component frame[3], const sc_motion_frame *predicted,
                         const sc_motion_frame *decoded, int32_t row, int64_t *gains);

// ---- For training --------------------------------------------------------------------------------------------------

/// Bytes that sc_motion_predict_frame needs.
size_t sc_motion_predict_size(int32_t width, int32_t height);
/// Search and compensation of one frame. Planes without gaps: `current` luma, `reference` and `prediction` Y, U, V.
/// `sections` is a MOTN section, or NULL for the prior. `previous` and `vectors` are [2 * blocks_y][2 * blocks_x];
/// `previous` may be NULL, and `vectors` itself. `second` are Y, U, V of the frame before the reference, for blocks with two
/// predictions, or NULL; it needs `previous`. `set` is the set of the search; −1 searches with the one that is best
/// for the field before. `cpu` is a variant, or −1 for the best. `memory` is aligned to 64. The bits, in 1/256, under
/// the set that is best for the field; or −1 for invalid arguments.
int64_t sc_motion_predict_frame(void *memory, int32_t width, int32_t height, const uint8_t *current,
                                const uint8_t *const reference[3], const uint8_t *const second[3],
                                const uint8_t *section, size_t section_size, int32_t set, uint32_t lambda,
                                int32_t effort, int32_t cpu, const sc_vector *previous, sc_vector *vectors,
                                uint8_t *const prediction[3]);

#ifdef __cplusplus
}
#endif
#endif
