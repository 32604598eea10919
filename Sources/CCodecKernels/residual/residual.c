// SPDX-License-Identifier: BSD-3-Clause
//
// The residual layer's payloads: the byte of the mode, and the rANS coder that both modes share.
#include <assert.h>

#include "residual_internal.h"

int sc_residual_rans_open(coder *c, const uint8_t *payload, size_t size, int32_t lanes) {
  const size_t states = 4 * (size_t)lanes;
  if (size < states || (size - states) % 2)
    return -1;
  *c = (coder){.words = payload + states, .count = (size - states) / 2};
  for (int32_t i = 0; i < lanes; i++) {
    const uint8_t *p = payload + 4 * i;
    c->state[i] = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    if (c->state[i] < RANS_LOW)
      return -1;
  }
  return 0;
}

int sc_residual_rans_close(const coder *c, int32_t lanes) {
  uint32_t wrong = c->next != c->count;
  for (int32_t i = 0; i < lanes; i++)
    wrong |= c->state[i] ^ RANS_LOW;
  return wrong ? -1 : 0;
}

size_t sc_residual_rans_write(const coder *c, int32_t lanes, uint8_t *out, size_t capacity) {
  if (c->used > c->capacity || capacity < 4 * (size_t)lanes)
    return 0;
  uint32_t state[RANS_LANES];
  for (int32_t i = 0; i < lanes; i++)
    state[i] = RANS_LOW;
  // The words grow down from the end, then move to where they belong.
  size_t at = capacity;
  for (size_t i = c->used; i-- > 0;) {
    const uint32_t s = c->symbols[i], start = s & (RANS_SLOTS - 1);
    const uint32_t frequency = (s >> 15 & (RANS_SLOTS - 1)) + 1;
    uint32_t x = state[s >> 30];
    if (x >> 17 >= frequency) {
      if (at < 4 * (size_t)lanes + 2)
        return 0;
      at -= 2;
      out[at] = (uint8_t)x;
      out[at + 1] = (uint8_t)(x >> 8);
      x >>= 16;
    }
    state[s >> 30] = (x / frequency) << RANS_BITS | (x % frequency + start);
  }
  for (int32_t i = 0; i < lanes; i++)
    for (int b = 0; b < 4; b++)
      out[4 * i + b] = (uint8_t)(state[i] >> 8 * b);
  memmove(out + 4 * lanes, out + at, capacity - at);
  return 4 * (size_t)lanes + capacity - at;
}

static int is_valid(const sc_residual_group *g) {
  return g->width >= 1 && g->width <= 65535 && g->height >= 1 && g->height <= 65535 && g->components >= 1 &&
         g->components <= SC_RESIDUAL_COMPONENTS && g->delta >= 0 && g->delta <= SC_RESIDUAL_DELTA &&
         (int64_t)g->width * g->height * g->components < INT64_C(1) << 30;
}

static size_t memory_of(const sc_residual_group *g, int32_t mode, int encoding) {
  return mode == SC_RESIDUAL_PATTERN  ? sc_residual_pattern_memory(g, 0, encoding)
         : mode == SC_RESIDUAL_MASKED ? sc_residual_pattern_memory(g, 1, encoding)
                                      : sc_residual_predictive_memory(g, encoding);
}

size_t sc_residual_decode_memory(const sc_residual_group *g, int32_t mode) {
  assert(is_valid(g));
  return memory_of(g, mode, 0);
}

int sc_residual_decode(const sc_residual_group *g, const uint8_t *payload, size_t size, void *memory) {
  assert(is_valid(g));
  if (size < 1)
    return -1;
  switch (payload[0]) {
  case SC_RESIDUAL_PREDICTIVE:
    return sc_residual_predictive_decode(g, payload + 1, size - 1, memory);
  case SC_RESIDUAL_PATTERN:
    return sc_residual_pattern_decode(g, 0, payload + 1, size - 1, memory);
  case SC_RESIDUAL_MASKED:
    return g->base[0] ? sc_residual_pattern_decode(g, 1, payload + 1, size - 1, memory) : -1;
  default:
    return -1;
  }
}

size_t sc_residual_encode_memory(const sc_residual_group *g, int32_t mode) {
  assert(is_valid(g));
  return memory_of(g, mode, 1);
}

size_t sc_residual_payload_bound(const sc_residual_group *g) {
  // 16 + 9 bits for the rarest symbol and an escape, and the parameters.
  return 4 * (size_t)g->width * (size_t)g->height * (size_t)g->components + (1u << 16) +
         (size_t)g->width * (size_t)g->height / 16;
}

size_t sc_residual_encode(const sc_residual_group *g, int32_t mode, int32_t effort, void *memory,
                          uint8_t *out, size_t capacity) {
  assert(is_valid(g) && capacity >= sc_residual_payload_bound(g));
  assert(mode != SC_RESIDUAL_MASKED || (g->mask && g->base[0]));
  out[0] = (uint8_t)mode;
  const size_t size =
      mode != SC_RESIDUAL_PREDICTIVE
          ? sc_residual_pattern_encode(g, mode == SC_RESIDUAL_MASKED, memory, out + 1, capacity - 1)
          : sc_residual_predictive_encode(g, effort, memory, out + 1, capacity - 1);
  return size ? size + 1 : 0;
}
