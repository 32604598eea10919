// SPDX-License-Identifier: BSD-3-Clause
#include "sc_kernels.h"

uint64_t sc_dependent_additions(uint64_t count) {
  uint64_t x = count;
  for (uint64_t i = 0; i < count; i += 8) {
    // Each addition waits for the one before: one clock cycle each on every processor of today.
#define STEP                                                                                                 \
  x += i;                                                                                                    \
  __asm__ volatile("" : "+r"(x));
    STEP STEP STEP STEP STEP STEP STEP STEP
#undef STEP
  }
  return count;
}
