// SPDX-License-Identifier: BSD-3-Clause
//
// Random numbers with a seed, the same on every machine. One file of a program defines `random_state`.
#ifndef RANDOM_H
#define RANDOM_H
#include <stdint.h>

/// Where they go on from; never 0.
extern uint64_t random_state;

static inline uint32_t next(void) {
  uint64_t s = random_state;
  s ^= s << 13, s ^= s >> 7, s ^= s << 17;
  random_state = s;
  return (uint32_t)(s >> 32);
}

/// lo…hi, both included.
static inline int32_t between(int32_t lo, int32_t hi) {
  return (int32_t)(lo + (int64_t)(next() % (uint32_t)((int64_t)hi - lo + 1)));
}
#endif
