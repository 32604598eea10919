// SPDX-License-Identifier: BSD-3-Clause
#include "sc_internal.h"

#if defined(__x86_64__)
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "contexts.h"
#include "rans_decoder.h"
// Two weights side by side at once (vpmaddubsw), on the padded planes as they lie in memory: rows and what is between
// them in one run, even and odd places in sums of their own.
typedef struct tap {
  const void *at;
  uint32_t weight; // of two neighbouring samples, the left one in the lower half
} tap;

// The pairs of nonzero weights of a row of three: at most two.
static SC_INLINE int32_t add_taps(tap *taps, const char *row, ptrdiff_t sample, int32_t w0, int32_t w1,
                                  int32_t w2) {
  int32_t count = 0;
  if (w0 || (w1 && !w2))
    taps[count++] = (tap){row, (uint16_t)w0 | (uint32_t)w1 << 16};
  if (w2) {
    // The middle weight belongs to the first pair if there is one.
    taps[count] =
        (tap){row + (count ? 2 : 1) * sample, (uint16_t)(count ? w2 : w1) | (uint32_t)(count ? 0 : w2) << 16};
    count++;
  }
  return count;
}

__attribute__((target("avx2"))) void sc_context_base_avx2(uint16_t *base, int32_t width, int32_t height,
                                                          const sc_context_source *sources, int32_t count,
                                                          const uint8_t *scales, int32_t scale_weight,
                                                          void *scratch) {
  const ptrdiff_t s = sc_padded_stride(width);
  const sc_wavefront wavefront = sc_wavefront_of(width, height);
  assert(count <= SC_CONTEXT_SOURCES);
  tap taps[6 * SC_CONTEXT_SOURCES];
  int32_t n = 0;
  for (int32_t i = 0; i < count; i++) {
    for (int k = 0; k < 3; k++) {
      const uint8_t *w = sources[i].weight + 3 * k;
      n += add_taps(taps + n,
                    (const char *)sources[i].magnitudes + (SC_MAGNITUDE_MARGIN - 1 + k) * s +
                        SC_MAGNITUDE_MARGIN - 1,
                    1, w[0], w[1], w[2]);
    }
  }
  uint16_t *const sums = scratch;
  const ptrdiff_t end = (height - 1) * s + width;
  for (ptrdiff_t at = 0; at < end; at += 64) {
    __m256i even0 = _mm256_setzero_si256(), odd0 = even0, even1 = even0, odd1 = even0;
    for (int32_t i = 0; i < n; i++) {
      const char *p = (const char *)taps[i].at + at;
      const __m256i w = _mm256_set1_epi16((short)(taps[i].weight | taps[i].weight >> 8));
      even0 = _mm256_add_epi16(even0, _mm256_maddubs_epi16(w, _mm256_loadu_si256((const __m256i *)p)));
      odd0 = _mm256_add_epi16(odd0, _mm256_maddubs_epi16(w, _mm256_loadu_si256((const __m256i *)(p + 1))));
      even1 = _mm256_add_epi16(even1, _mm256_maddubs_epi16(w, _mm256_loadu_si256((const __m256i *)(p + 32))));
      odd1 = _mm256_add_epi16(odd1, _mm256_maddubs_epi16(w, _mm256_loadu_si256((const __m256i *)(p + 33))));
    }
#define INTERLEAVE(to, even, odd, low, high)                                                                 \
  do {                                                                                                       \
    const __m256i lo = low(even, odd), hi = high(even, odd);                                                 \
    _mm256_storeu_si256((__m256i *)(to), _mm256_permute2x128_si256(lo, hi, 0x20));                           \
    _mm256_storeu_si256((__m256i *)(to) + 1, _mm256_permute2x128_si256(lo, hi, 0x31));                       \
  } while (0)
    INTERLEAVE(sums + at, even0, odd0, _mm256_unpacklo_epi16, _mm256_unpackhi_epi16);
    INTERLEAVE(sums + at + 32, even1, odd1, _mm256_unpacklo_epi16, _mm256_unpackhi_epi16);
  }
  for (int32_t y = 0; y < height; y++) {
    uint16_t *restrict out = base + sc_wavefront_row(&wavefront, y);
    const uint16_t *restrict sum = sums + y * s;
    if (scales) {
      const uint8_t *restrict scale = scales + (size_t)y * (size_t)width;
      for (int32_t x = 0; x < width; x++)
        out[x] = (uint16_t)(sum[x] + scale_weight * scale[x]);
    } else {
      memcpy(out, sum, (size_t)width * sizeof *out);
    }
  }
}

__attribute__((target("avx2"))) void sc_mean_base_avx2(int32_t *base, int32_t width, int32_t height,
                                                       const sc_mean_source *sources, int32_t count,
                                                       void *scratch) {
  const ptrdiff_t s = sc_padded_stride(width);
  const sc_wavefront wavefront = sc_wavefront_of(width, height);
  assert(count <= SC_CONTEXT_SOURCES);
  tap taps[6 * SC_CONTEXT_SOURCES];
  int32_t n = 0;
  for (int32_t i = 0; i < count; i++) {
    for (int k = 0; k < 3; k++) {
      const int16_t *w = sources[i].weight + 3 * k;
      n += add_taps(
          taps + n,
          (const char *)(sources[i].samples + (SC_MAGNITUDE_MARGIN - 1 + k) * s + SC_MAGNITUDE_MARGIN - 1), 2,
          w[0], w[1], w[2]);
    }
  }
  int32_t *const sums = scratch;
  const ptrdiff_t end = (height - 1) * s + width;
  for (ptrdiff_t at = 0; at < end; at += 32) {
    __m256i even0 = _mm256_setzero_si256(), odd0 = even0, even1 = even0, odd1 = even0;
    for (int32_t i = 0; i < n; i++) {
      const int16_t *p = (const int16_t *)taps[i].at + at;
      const __m256i w = _mm256_set1_epi32((int)taps[i].weight);
      even0 = _mm256_add_epi32(even0, _mm256_madd_epi16(w, _mm256_loadu_si256((const __m256i *)p)));
      odd0 = _mm256_add_epi32(odd0, _mm256_madd_epi16(w, _mm256_loadu_si256((const __m256i *)(p + 1))));
      even1 = _mm256_add_epi32(even1, _mm256_madd_epi16(w, _mm256_loadu_si256((const __m256i *)(p + 16))));
      odd1 = _mm256_add_epi32(odd1, _mm256_madd_epi16(w, _mm256_loadu_si256((const __m256i *)(p + 17))));
    }
    INTERLEAVE(sums + at, even0, odd0, _mm256_unpacklo_epi32, _mm256_unpackhi_epi32);
    INTERLEAVE(sums + at + 16, even1, odd1, _mm256_unpacklo_epi32, _mm256_unpackhi_epi32);
  }
  for (int32_t y = 0; y < height; y++)
    memcpy(base + sc_wavefront_row(&wavefront, y), sums + y * s, (size_t)width * sizeof *base);
}
#endif
