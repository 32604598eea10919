// SPDX-License-Identifier: BSD-3-Clause
//
// READ ME FIRST
// - rANS is a stack: the encoder codes symbols in reverse, and writes its words from the end of the payload to the
//   start. The decoder reads forwards.
// - Four lanes share one stream of 16-bit little-endian words: four dependent chains overlap.
// - The decoder reads up to SC_RANS_SLACK bytes past the end of the payload before it notices: the buffer must have them.
//   Whoever decodes checks next <= count often enough.
//
// States are 32 bits in [2^16, 2^32), probabilities 15 bits. A state x >= 2^16 leaves x' >= f * (x >> 15) >= 2 after a
// symbol, so that one word (x' < 2^16 becomes x' * 2^16 + word) always brings it back: one renormalisation, no loop.
// The payload starts with the four states; after the last symbol every state is 2^16 and all words are used. Everything
// is defined in bitstream.md §4. rANS: J. Duda, "Asymmetric numeral systems" (2013); lanes that share a stream: F. Giesen,
// "Interleaved entropy coders" (2014).
#ifndef SC_RANS_DECODER_H
#define SC_RANS_DECODER_H

#include "contexts.h"

#define SC_INLINE inline __attribute__((always_inline))
#define SC_RANS_LOW (1u << 16)
#define SC_RANS_SLOTS (1u << SC_RANS_BITS)

static SC_INLINE uint32_t sc_load16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }

/// Brings a state back with the next word if it has to.
static SC_INLINE uint32_t sc_rans_renormalise(sc_rans_decoder *d, uint32_t x) {
  const uint32_t filled = x << 16 | sc_load16(d->words + 2 * d->next);
  d->next += x < SC_RANS_LOW;
  return x < SC_RANS_LOW ? filled : x;
}

/// One of 2^bits equally likely values, bits <= 15.
static inline uint32_t sc_rans_decode_bits(sc_rans_decoder *d, int lane, int bits) {
  const uint32_t x = d->state[lane], slot = x & (SC_RANS_SLOTS - 1), f = SC_RANS_SLOTS >> bits,
                 value = slot / f;
  d->state[lane] = sc_rans_renormalise(d, f * (x >> SC_RANS_BITS) + slot - value * f);
  return value;
}

/// Marks the payload as damaged: it looks as if it had been read past its end.
static inline int32_t sc_rans_invalid(sc_rans_decoder *d) {
  if (d->next <= d->count)
    d->next = d->count + 1;
  return 0;
}

/// The residual of an escape, which is the next symbol.
static __attribute__((noinline)) int32_t sc_rans_decode_escape(sc_rans_decoder *d, int lane,
                                                               const sc_cdf *cdf) {
  const int32_t escape = cdf->symbols - 1;
  const sc_symbol *s = cdf->symbol + escape;
  const uint32_t x = d->state[lane], slot = x & (SC_RANS_SLOTS - 1);
  d->state[lane] = sc_rans_renormalise(d, (uint16_t)s->seen * (x >> SC_RANS_BITS) + slot - s->start);
  const int length = (int)sc_rans_decode_bits(d, lane, SC_ESCAPE_LENGTH_BITS);
  if (length > 17)
    return sc_rans_invalid(d);
  uint32_t rest = length > 0;
  for (int left = length - 1; left > 0;) {
    const int bits = left < SC_ESCAPE_GROUP_BITS ? left : SC_ESCAPE_GROUP_BITS;
    rest = rest << bits | sc_rans_decode_bits(d, lane, bits);
    left -= bits;
  }
  const int32_t residual = cdf->minimum + sc_escape_index(rest, escape);
  return residual == (int16_t)residual ? residual : sc_rans_invalid(d);
}

/// The residual, modulo 2^16, and in the upper half its magnitude by the table.
static SC_INLINE uint32_t sc_rans_decode_symbol(sc_rans_decoder *d, const uint8_t *table, int32_t start_shift,
                                                const sc_cdf *cdf, int lane) {
  const uint32_t x = d->state[lane], slot = x & (SC_RANS_SLOTS - 1);
  // The slot less 2^15: the first symbols of all slots stand before the CDF.
  const ptrdiff_t before = (ptrdiff_t)x | -(ptrdiff_t)SC_RANS_SLOTS;
  size_t i = ((const uint8_t *)cdf)[before >> start_shift];
  uint32_t f = cdf->symbol[i].frequency, offset = slot - cdf->symbol[i].start;
  // Nearly never: the branch takes the comparison off the chain of dependent instructions from state to state.
  if (__builtin_expect(offset >= f, 0)) {
    while (cdf->symbol[i].frequency && slot - cdf->symbol[i].start >= cdf->symbol[i].frequency)
      i++;
    f = cdf->symbol[i].frequency;
    offset = slot - cdf->symbol[i].start;
    if (!f) {
      // A copy, so that the address of the decoder proper never escapes and its states stay in registers.
      sc_rans_decoder copy = *d;
      const int32_t residual = sc_rans_decode_escape(&copy, lane, cdf);
      *d = copy;
      return (uint16_t)residual |
             (uint32_t)sc_magnitude_of(SC_MAGNITUDE_TABLE, 0, 0, table, (int16_t)residual) << 16;
    }
  }
  d->state[lane] = sc_rans_renormalise(d, f * (x >> SC_RANS_BITS) + offset);
  return cdf->symbol[i].seen;
}

#endif
