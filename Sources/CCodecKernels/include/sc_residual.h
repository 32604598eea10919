// SPDX-License-Identifier: BSD-3-Clause
//
// The residual layer: planes of 8-bit samples coded exactly, or to within δ, alone or on top of a base picture.
//
// READ ME FIRST
// - A *group* is one to three components of equal size that are coded together: R, G, B; or U and V; or one plane alone.
//   Components are coded in the order given; later ones are predicted from earlier ones.
// - Three modes. *Predictive*: linear predictors, one of up to 16 for each block of 8×8, whose weights are in the
//   payload; errors coded by static distributions chosen by the neighbouring errors. *Pattern*: whole pixels, found
//   again by hashes of their neighbourhood; adaptive binary decisions. *Masked*: the same in the blocks of a mask, and the
//   base elsewhere. Everything is defined in docs/format/residual.md.
// - No function allocates: the caller gives memory of the size that is asked for here, aligned to 64 bytes.
// - The decoder trusts nothing in a payload. It reads only inside it and writes only the group's samples and memory.
#ifndef SC_RESIDUAL_H
#define SC_RESIDUAL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SC_RESIDUAL_COMPONENTS 3
#define SC_RESIDUAL_DELTA 15
/// Rows and columns of a block of a mask.
#define SC_RESIDUAL_BLOCK 16

typedef struct sc_residual_group {
  int32_t width, height; ///< 1…65535; width · height · components below 2^30
  int32_t components;    ///< 1…3
  int32_t delta;         ///< largest error allowed, 0…15
  /// First sample of each component: written by the decoder, read by the encoder.
  uint8_t *samples[SC_RESIDUAL_COMPONENTS];
  /// The base picture's components in the same layout; all NULL without a base.
  const uint8_t *base[SC_RESIDUAL_COMPONENTS];
  ptrdiff_t step;  ///< bytes from a pixel to the next
  ptrdiff_t pitch; ///< bytes from a row to the next
  /// Of an encoder in the masked mode: 1 for blocks that are coded, 0 for those that are left to the base.
  /// [⌈height / 16⌉][⌈width / 16⌉], as `costs`.
  const uint8_t *mask;
  /// NULL, or where an encoder in the pattern or masked mode writes what each block took, in 1/1024 bits.
  uint32_t *costs;
} sc_residual_group;

typedef enum sc_residual_mode {
  SC_RESIDUAL_PREDICTIVE = 0,
  SC_RESIDUAL_PATTERN = 1,
  SC_RESIDUAL_MASKED = 2 ///< needs a base
} sc_residual_mode;

/// Bytes that a payload of this mode takes to decode.
size_t sc_residual_decode_memory(const sc_residual_group *group, int32_t mode);
/// Decodes a payload of sc_residual_encode; 0, or −1 for a damaged one, after which the samples mean nothing.
/// `memory` has sc_residual_decode_memory bytes for the mode that is the payload's first byte.
int sc_residual_decode(const sc_residual_group *group, const uint8_t *payload, size_t size, void *memory);

size_t sc_residual_encode_memory(const sc_residual_group *group, int32_t mode);
/// A bound of a payload's size.
size_t sc_residual_payload_bound(const sc_residual_group *group);
/// Codes a group: the size of the payload in `out`, which has room for `capacity` bytes, at least the bound; 0 if the
/// mode does not suit the group at all (a pattern payload that would be larger than the bound).
/// `effort` is 0…2: more predictors, fitted more often.
size_t sc_residual_encode(const sc_residual_group *group, int32_t mode, int32_t effort, void *memory,
                          uint8_t *out, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
