// SPDX-License-Identifier: BSD-3-Clause
#include <assert.h>

#include "contexts.h"

size_t sc_cdf_size(int32_t symbols) { return sizeof(sc_cdf) + (size_t)symbols * sizeof(sc_symbol); }

size_t sc_cdf_starts(int32_t start_shift) { return (size_t)1 << (SC_RANS_BITS - start_shift); }

void sc_cdf_init(sc_cdf *cdf, int32_t minimum, const uint16_t *frequency, int32_t symbols,
                 const uint8_t *table, int32_t start_shift) {
  uint8_t *const first = (uint8_t *)cdf - sc_cdf_starts(start_shift);
  cdf->minimum = minimum;
  cdf->symbols = symbols;
  uint32_t start = 0;
  for (int32_t i = 0; i < symbols; i++) {
    const int32_t value = minimum + i;
    const int escape = symbols > 1 && i == symbols - 1;
    const uint32_t magnitude = table ? sc_magnitude_of(SC_MAGNITUDE_TABLE, 0, 0, table, value) : 0;
    cdf->symbol[i] = (sc_symbol){
        .frequency = escape ? 0 : frequency[i],
        .start = (uint16_t)start,
        .seen = escape ? frequency[i] : (uint16_t)value | magnitude << 16,
    };
    const uint32_t end = start + frequency[i];
    for (uint32_t j = (start + (1u << start_shift) - 1) >> start_shift; j << start_shift < end; j++)
      first[j] = (uint8_t)i;
    start = end;
  }
  assert(start == 1u << SC_RANS_BITS);
}
