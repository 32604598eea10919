// SPDX-License-Identifier: BSD-3-Clause
#include "rans_encoder.h"

#include <assert.h>

void sc_rans_encode_flag(sc_rans_encoder *e, int lane, uint32_t one, int flag) {
  assert(e->count < e->capacity);
  e->symbols[e->count++] =
      sc_rans_symbol(lane, flag ? SC_RANS_SLOTS - one : 0, flag ? one : SC_RANS_SLOTS - one);
}

size_t sc_rans_payload_bound(size_t symbols) { return 4 * SC_RANS_LANES + 2 * symbols; }

size_t sc_rans_encoder_finish(const sc_rans_encoder *e, int lanes, uint8_t *out, size_t capacity) {
  assert(capacity >= sc_rans_payload_bound(e->count));
  uint8_t *p = out + capacity;
  uint32_t state[SC_RANS_LANES] = {SC_RANS_LOW, SC_RANS_LOW, SC_RANS_LOW, SC_RANS_LOW};
  for (size_t i = e->count; i-- > 0;) {
    const uint32_t s = e->symbols[i], start = s & (SC_RANS_SLOTS - 1),
                   f = s >> SC_RANS_BITS & (SC_RANS_SLOTS - 1), lane = s >> 30 & (uint32_t)(lanes - 1);
    uint32_t x = state[lane];
    // The decoder's x' = f * (x >> 15) + ... is below 2^16 * 2^16 exactly for x < f * 2^17.
    if ((uint64_t)x >= (uint64_t)f << 17) {
      p -= 2;
      p[0] = (uint8_t)x;
      p[1] = (uint8_t)(x >> 8);
      x >>= 16;
    }
    state[lane] = (x / f << SC_RANS_BITS) + x % f + start;
  }
  for (int l = lanes - 1; l >= 0; l--) {
    p -= 4;
    for (int b = 0; b < 4; b++)
      p[b] = (uint8_t)(state[l] >> 8 * b);
  }
  return (size_t)(out + capacity - p);
}
