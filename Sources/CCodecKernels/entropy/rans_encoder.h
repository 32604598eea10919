// SPDX-License-Identifier: BSD-3-Clause
//
// Symbols for the encoder, in the order of decoding: they are collected first, since rANS codes in reverse.
#ifndef SC_RANS_ENCODER_H
#define SC_RANS_ENCODER_H

#include "rans_decoder.h"

/// A symbol: start | frequency << 15 | lane << 30.
static SC_INLINE uint32_t sc_rans_symbol(int lane, uint32_t start, uint32_t frequency) {
  return start | frequency << SC_RANS_BITS | (uint32_t)lane << 30;
}

static inline uint32_t *sc_rans_push_bits(uint32_t *to, int lane, uint32_t value, int bits) {
  *to = sc_rans_symbol(lane, value << (SC_RANS_BITS - bits), SC_RANS_SLOTS >> bits);
  return to + 1;
}

static __attribute__((noinline)) uint32_t *sc_rans_push_escape(uint32_t *to, int lane, const sc_cdf *cdf,
                                                               int32_t residual) {
  const int32_t escape = cdf->symbols - 1;
  *to++ = sc_rans_symbol(lane, cdf->symbol[escape].start, cdf->symbol[escape].seen);
  const uint32_t rest = sc_escape_rest(residual - cdf->minimum, escape);
  const int length = sc_escape_length(rest);
  to = sc_rans_push_bits(to, lane, (uint32_t)length, SC_ESCAPE_LENGTH_BITS);
  for (int left = length - 1; left > 0;) {
    const int bits = left < SC_ESCAPE_GROUP_BITS ? left : SC_ESCAPE_GROUP_BITS;
    left -= bits;
    to = sc_rans_push_bits(to, lane, rest >> left & ((1u << bits) - 1), bits);
  }
  return to;
}

/// Appends the symbols of a residual and returns what decoding them returns. A CDF of one symbol takes none.
static SC_INLINE uint32_t sc_rans_encode_symbol(uint32_t **symbols, const uint8_t *table, const sc_cdf *cdf,
                                                int lane, int32_t residual) {
  const uint32_t i = (uint32_t)(residual - cdf->minimum);
  if (__builtin_expect(i < (uint32_t)cdf->symbols - 1, 1)) {
    *(*symbols)++ = sc_rans_symbol(lane, cdf->symbol[i].start, cdf->symbol[i].frequency);
    return cdf->symbol[i].seen;
  }
  if (cdf->symbols == 1)
    return 0;
  *symbols = sc_rans_push_escape(*symbols, lane, cdf, residual);
  return (uint16_t)residual | (uint32_t)sc_magnitude_of(SC_MAGNITUDE_TABLE, 0, 0, table, residual) << 16;
}

#endif
