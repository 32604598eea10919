// SPDX-License-Identifier: BSD-3-Clause
#include "rans_decoder.h"

int sc_rans_decoder_init(sc_rans_decoder *d, int lanes, const uint8_t *payload, size_t size) {
  const size_t head = 4 * (size_t)lanes;
  if (size < head || size % 2)
    return -1;
  d->lanes = lanes;
  for (int l = 0; l < lanes; l++) {
    d->state[l] = sc_load16(payload + 4 * l) | sc_load16(payload + 4 * l + 2) << 16;
    if (d->state[l] < SC_RANS_LOW)
      return -1;
  }
  d->words = payload + head;
  d->next = 0;
  d->count = (size - head) / 2;
  return 0;
}

int sc_rans_decoder_finish(const sc_rans_decoder *d) {
  uint32_t off = (uint32_t)(d->next != d->count);
  for (int l = 0; l < d->lanes; l++)
    off |= d->state[l] ^ SC_RANS_LOW;
  return off ? -1 : 0;
}

int sc_rans_decode_flag(sc_rans_decoder *d, int lane, uint32_t one) {
  lane &= d->lanes - 1;
  const uint32_t x = d->state[lane], slot = x & (SC_RANS_SLOTS - 1), zero = SC_RANS_SLOTS - one;
  const int flag = slot >= zero;
  d->state[lane] =
      sc_rans_renormalise(d, (flag ? one : zero) * (x >> SC_RANS_BITS) + slot - (flag ? zero : 0));
  if (d->next > d->count) {
    d->next = d->count; // keeps later reads inside of the slack
    return -1;
  }
  return flag;
}
