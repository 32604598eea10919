// SPDX-License-Identifier: BSD-3-Clause
//
// What the files of the residual layer share: the rANS coder, adaptive decisions, memory.
#ifndef SC_RESIDUAL_INTERNAL_H
#define SC_RESIDUAL_INTERNAL_H

#include <string.h>

#include "sc_residual.h"

#define INLINE inline __attribute__((always_inline))

// ---- Memory: cut from the caller's block, or only counted while `at` is NULL

typedef struct arena {
  uint8_t *at;
  size_t used;
} arena;

static inline void *arena_take(arena *a, size_t size) {
  void *p = a->at ? a->at + a->used : NULL;
  a->used += (size + 63) / 64 * 64;
  return p;
}

// ---- rANS, as in sc_entropy.h: states in [2^16, 2^32), 15-bit probabilities, 16-bit words

#define RANS_BITS 15
#define RANS_SLOTS (1u << RANS_BITS)
#define RANS_LOW (1u << 16)
#define RANS_LANES 4

typedef struct coder {
  // Decoder. Words past the end are 0 and counted, so that the end is noticed.
  const uint8_t *words;
  size_t next, count;
  uint32_t state[RANS_LANES];
  // Encoder: start | (frequency − 1) << 15 | lane << 30, in the order of decoding.
  uint32_t *symbols;
  size_t used, capacity;
} coder;

static INLINE uint32_t rans_renormalise(coder *c, uint32_t x) {
  if (x < RANS_LOW) {
    uint32_t word = 0;
    if (c->next < c->count)
      word = (uint32_t)c->words[2 * c->next] | (uint32_t)c->words[2 * c->next + 1] << 8;
    c->next++;
    x = x << 16 | word;
  }
  return x;
}

static INLINE void rans_emit(coder *c, uint32_t lane, uint32_t start, uint32_t frequency) {
  if (c->used < c->capacity)
    c->symbols[c->used] = start | (frequency - 1) << 15 | lane << 30;
  c->used++;
}

/// −1 if there are no `lanes` valid states.
int sc_residual_rans_open(coder *c, const uint8_t *payload, size_t size, int32_t lanes);
/// 0 if all was used and every state is back at 2^16.
int sc_residual_rans_close(const coder *c, int32_t lanes);
/// Size of the payload; 0 if it, or the symbols, found no room.
size_t sc_residual_rans_write(const coder *c, int32_t lanes, uint8_t *out, size_t capacity);

/// A bit, where lengths of code are counted.
#define LOG_ONE 1024

/// 1024 log2(n), rounded down, n ≥ 1.
static inline uint32_t log2_of(uint32_t n) {
  const int e = 31 - __builtin_clz(n);
  uint64_t m = (uint64_t)n << 32 >> e; // [1, 2) with 32 bits
  uint32_t fraction = 0;
  for (int i = 0; i < 10; i++) {
    m = (m >> 1) * (m >> 1) >> 30;
    fraction <<= 1;
    if (m >> 33) {
      fraction |= 1;
      m >>= 1;
    }
  }
  return (uint32_t)e * LOG_ONE + fraction;
}

// ---- Adaptive decisions, all on lane 0

/// P(1) in 1/65536 by a quick and by a slow estimate.
typedef struct bit_model {
  uint16_t quick, slow;
  uint16_t seen;
} bit_model;

static inline void bit_models_reset(bit_model *m, size_t count) {
  for (size_t i = 0; i < count; i++)
    m[i] = (bit_model){1u << 15, 1u << 15, 0};
}

static INLINE int code_bit(coder *c, bit_model *m, int bit, const int decoding) {
  static const uint8_t rates[16] = {1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 6};
  uint32_t one = ((uint32_t)m->quick + m->slow) >> 2;
  one = one < 8 ? 8 : one > RANS_SLOTS - 8 ? RANS_SLOTS - 8 : one;
  if (decoding) {
    const uint32_t x = c->state[0], slot = x & (RANS_SLOTS - 1);
    bit = slot < one;
    c->state[0] =
        rans_renormalise(c, (bit ? one : RANS_SLOTS - one) * (x >> RANS_BITS) + slot - (bit ? 0 : one));
  } else {
    rans_emit(c, 0, bit ? 0 : one, bit ? one : RANS_SLOTS - one);
  }
  const int32_t target = bit ? 65535 : 0;
  const int rate = m->seen < 16 ? rates[m->seen] : m->seen < 48 ? 6 : 7;
  m->seen = (uint16_t)(m->seen + (m->seen < 48));
  m->quick = (uint16_t)(m->quick + (target - m->quick) / 16);
  m->slow = (uint16_t)(m->slow + (target - m->slow) / (1 << rate));
  return bit;
}

/// `bits` bits of equal probability, at most 12.
static INLINE uint32_t code_raw(coder *c, uint32_t lane, uint32_t value, int bits, const int decoding) {
  const int shift = RANS_BITS - bits;
  if (decoding) {
    const uint32_t x = c->state[lane], slot = x & (RANS_SLOTS - 1);
    value = slot >> shift;
    c->state[lane] = rans_renormalise(c, (1u << shift) * (x >> RANS_BITS) + slot - (value << shift));
    return value;
  }
  rans_emit(c, lane, value << shift, 1u << shift);
  return value;
}

/// A number below 2^bits, its high bits first, each in the context of those before it: 2^bits models.
static INLINE uint32_t code_tree(coder *c, bit_model *m, uint32_t value, int bits, const int decoding) {
  uint32_t node = 1;
  for (int i = bits - 1; i >= 0; i--)
    node = node << 1 | (uint32_t)code_bit(c, m + node, value >> i & 1, decoding);
  return node - (1u << bits);
}

#define NUMBER_MODELS 32
/// A number 0…4095: the length of number + 1 in unary, then its lower bits, the highest of them adaptive.
static INLINE uint32_t code_number(coder *c, bit_model *m, uint32_t value, const int decoding) {
  int length = 0;
  if (decoding) {
    while (length < 12 && code_bit(c, m + length, 0, decoding))
      length++;
  } else {
    while ((value + 1) >> (length + 1)) {
      code_bit(c, m + length, 1, decoding);
      length++;
    }
    if (length < 12)
      code_bit(c, m + length, 0, decoding);
  }
  if (!length)
    return 0;
  const uint32_t rest = value + 1 - (1u << length);
  uint32_t top = (uint32_t)code_bit(c, m + 12 + length, rest >> (length - 1) & 1, decoding) << (length - 1);
  if (length > 1)
    top |= code_raw(c, 0, rest & ((1u << (length - 1)) - 1), length - 1, decoding);
  return top + (1u << length) - 1;
}

/// A signed number, |number| ≤ 2047: 2n, or −2n − 1 for a negative one... in one code_number.
static INLINE int32_t code_signed(coder *c, bit_model *m, int32_t value, const int decoding) {
  const uint32_t folded = value < 0 ? (uint32_t)(-2 * value - 1) : (uint32_t)(2 * value);
  const uint32_t n = code_number(c, m, folded, decoding);
  return n & 1 ? -(int32_t)(n >> 1) - 1 : (int32_t)(n >> 1);
}

// ---- Modes

size_t sc_residual_predictive_memory(const sc_residual_group *g, int encoding);
int sc_residual_predictive_decode(const sc_residual_group *g, const uint8_t *payload, size_t size,
                                  void *memory);
size_t sc_residual_predictive_encode(const sc_residual_group *g, int32_t effort, void *memory, uint8_t *out,
                                     size_t capacity);
/// `masked` is a constant of the call: the mode is SC_RESIDUAL_MASKED.
size_t sc_residual_pattern_memory(const sc_residual_group *g, int masked, int encoding);
int sc_residual_pattern_decode(const sc_residual_group *g, int masked, const uint8_t *payload, size_t size,
                               void *memory);
size_t sc_residual_pattern_encode(const sc_residual_group *g, int masked, void *memory, uint8_t *out,
                                  size_t capacity);

#endif
