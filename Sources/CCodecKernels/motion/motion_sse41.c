// SPDX-License-Identifier: BSD-3-Clause
#include "motion_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("sse4.1")))
#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE __m128i load64(const uint8_t *p) { return _mm_loadl_epi64((const __m128i *)p); }
INLINE __m128i load128(const void *p) { return _mm_loadu_si128((const __m128i *)p); }

/// Taps k and k + 1 side by side.
INLINE __m128i pair8(const int8_t *taps, int k) {
  return _mm_set1_epi16((short)((uint8_t)taps[k] | (uint8_t)taps[k + 1] << 8));
}
INLINE __m128i pair16(const int8_t *taps, int k) {
  return _mm_set1_epi32((int32_t)((uint16_t)taps[k] | (uint32_t)(uint16_t)taps[k + 1] << 16));
}

// The first pass leaves `size` sums a row; samples themselves where fx is 0.
INLINE void luma_rows(int16_t *rows, const uint8_t *in, ptrdiff_t stride, int32_t size, const int8_t *taps) {
  const __m128i first = _mm_setr_epi8(0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8), two = _mm_set1_epi8(2);
  const __m128i second = _mm_add_epi8(first, two), third = _mm_add_epi8(second, two),
                fourth = _mm_add_epi8(third, two);
  const __m128i t0 = pair8(taps, 0), t1 = pair8(taps, 2), t2 = pair8(taps, 4), t3 = pair8(taps, 6);
  for (int32_t j = 0; j < size + 7; j++) {
    for (int32_t i = 0; i < size; i += 8) {
      // Pairs of 8-bit products and all partial sums fit 16 bits: no saturation.
      const __m128i v = load128(in + (j - 3) * stride + i - 3);
      const __m128i a = _mm_add_epi16(_mm_maddubs_epi16(_mm_shuffle_epi8(v, first), t0),
                                      _mm_maddubs_epi16(_mm_shuffle_epi8(v, second), t1));
      const __m128i b = _mm_add_epi16(_mm_maddubs_epi16(_mm_shuffle_epi8(v, third), t2),
                                      _mm_maddubs_epi16(_mm_shuffle_epi8(v, fourth), t3));
      _mm_storeu_si128((__m128i *)(rows + j * size + i), _mm_add_epi16(a, b));
    }
  }
}

TARGET void sc_motion_luma_sse41(uint8_t *out, ptrdiff_t out_stride, const uint8_t *in, ptrdiff_t in_stride,
                                 int32_t size, int32_t fx, int32_t fy) {
  if (!fx && !fy) {
    sc_motion_copy(out, out_stride, in, in_stride, size);
    return;
  }
  int16_t rows[23 * 16];
  const int8_t *taps = sc_motion_taps[fy];
  if (fx) {
    luma_rows(rows, in, in_stride, size, sc_motion_taps[fx]);
  } else {
    for (int32_t j = 0; j < size + 7; j++)
      for (int32_t i = 0; i < size; i += 8)
        _mm_storeu_si128((__m128i *)(rows + j * size + i),
                         _mm_cvtepu8_epi16(load64(in + (j - 3) * in_stride + i)));
  }
  for (int32_t i = 0; i < size; i += 8) {
    for (int32_t j = 0; j < size; j++) {
      const int16_t *row = rows + j * size + i;
      __m128i sum;
      if (!fy) {
        sum = _mm_srai_epi16(_mm_add_epi16(load128(row + 3 * size), _mm_set1_epi16(32)), 6);
      } else if (!fx) {
        sum = _mm_set1_epi16(32);
        for (int k = 0; k < 8; k++)
          sum = _mm_add_epi16(sum, _mm_mullo_epi16(load128(row + k * size), _mm_set1_epi16(taps[k])));
        sum = _mm_srai_epi16(sum, 6);
      } else {
        __m128i low = _mm_set1_epi32(2048), high = low;
        for (int k = 0; k < 8; k += 2) {
          const __m128i a = load128(row + k * size), b = load128(row + (k + 1) * size), t = pair16(taps, k);
          low = _mm_add_epi32(low, _mm_madd_epi16(_mm_unpacklo_epi16(a, b), t));
          high = _mm_add_epi32(high, _mm_madd_epi16(_mm_unpackhi_epi16(a, b), t));
        }
        sum = _mm_packs_epi32(_mm_srai_epi32(low, 12), _mm_srai_epi32(high, 12));
      }
      _mm_storel_epi64((__m128i *)(out + j * out_stride + i), _mm_packus_epi16(sum, sum));
    }
  }
}

// Sums of a row of chroma for eight samples: they fit 16 bits, without saturation.
INLINE __m128i chroma_row(const uint8_t *in, __m128i first, __m128i second, __m128i h0, __m128i h1) {
  const __m128i v = load128(in);
  return _mm_add_epi16(_mm_maddubs_epi16(_mm_shuffle_epi8(v, first), h0),
                       _mm_maddubs_epi16(_mm_shuffle_epi8(v, second), h1));
}

TARGET void sc_motion_chroma_sse41(uint8_t *out, ptrdiff_t out_stride, const uint8_t *in, ptrdiff_t in_stride,
                                   int32_t size, int32_t fx, int32_t fy) {
  if (!fx && !fy) {
    sc_motion_copy(out, out_stride, in, in_stride, size);
    return;
  }
  const __m128i first = _mm_setr_epi8(0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8),
                second = _mm_add_epi8(first, _mm_set1_epi8(2));
  const int8_t *taps = sc_motion_chroma_taps[fx];
  const __m128i h0 = pair8(taps, 0), h1 = pair8(taps, 2);
  taps = sc_motion_chroma_taps[fy];
  const __m128i v0 = pair16(taps, 0), v1 = pair16(taps, 2), half = _mm_set1_epi32(2048);
#define ROW(j) chroma_row(in + (j)*in_stride - 1, first, second, h0, h1)
  __m128i a = ROW(-1), b = ROW(0), c = ROW(1);
  for (int32_t j = 0; j < size; j++) {
    const __m128i d = ROW(j + 2);
    const __m128i low = _mm_add_epi32(_mm_madd_epi16(_mm_unpacklo_epi16(a, b), v0),
                                      _mm_madd_epi16(_mm_unpacklo_epi16(c, d), v1));
    const __m128i high = _mm_add_epi32(_mm_madd_epi16(_mm_unpackhi_epi16(a, b), v0),
                                       _mm_madd_epi16(_mm_unpackhi_epi16(c, d), v1));
    const __m128i v = _mm_packs_epi32(_mm_srai_epi32(_mm_add_epi32(low, half), 12),
                                      _mm_srai_epi32(_mm_add_epi32(high, half), 12));
    const __m128i bytes = _mm_packus_epi16(v, v);
    if (size == 8) {
      _mm_storel_epi64((__m128i *)out, bytes);
    } else {
      const int32_t four = _mm_cvtsi128_si32(bytes);
      memcpy(out, &four, 4);
    }
    out += out_stride;
    a = b, b = c, c = d;
  }
#undef ROW
}

TARGET void sc_motion_sad16_sse41(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride,
                                  uint32_t sums[4]) {
  for (int32_t half = 0; half < 2; half++) {
    __m128i sum = _mm_setzero_si128();
    for (int32_t j = 0; j < 8; j++)
      sum = _mm_add_epi32(sum, _mm_sad_epu8(load128(a + j * a_stride), load128(b + j * b_stride)));
    sums[2 * half] = (uint32_t)_mm_cvtsi128_si32(sum);
    sums[2 * half + 1] = (uint32_t)_mm_extract_epi32(sum, 2);
    a += 8 * a_stride;
    b += 8 * b_stride;
  }
}

TARGET uint32_t sc_motion_sad8_sse41(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b,
                                     ptrdiff_t b_stride) {
  __m128i sum = _mm_setzero_si128();
  for (int32_t j = 0; j < 8; j += 2) {
    const __m128i x = _mm_unpacklo_epi64(load64(a + j * a_stride), load64(a + (j + 1) * a_stride));
    const __m128i y = _mm_unpacklo_epi64(load64(b + j * b_stride), load64(b + (j + 1) * b_stride));
    sum = _mm_add_epi32(sum, _mm_sad_epu8(x, y));
  }
  return (uint32_t)(_mm_cvtsi128_si32(sum) + _mm_extract_epi32(sum, 2));
}

TARGET void sc_motion_sad8_row_sse41(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b,
                                     ptrdiff_t b_stride, uint16_t sums[8]) {
  __m128i sum = _mm_setzero_si128();
  for (int32_t j = 0; j < 8; j++) {
    const __m128i x = load64(a + j * a_stride), y = load128(b + j * b_stride);
    // Four samples of x against eight places of y, then the other four, from the fifth sample of y on.
    sum = _mm_add_epi16(sum, _mm_add_epi16(_mm_mpsadbw_epu8(y, x, 0), _mm_mpsadbw_epu8(y, x, 5)));
  }
  _mm_storeu_si128((__m128i *)sums, sum);
}

TARGET uint32_t sc_motion_squares_sse41(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b,
                                        ptrdiff_t b_stride, int32_t size) {
  __m128i sum = _mm_setzero_si128();
  for (int32_t j = 0; j < size; j++) {
    for (int32_t i = 0; i < size; i += 8) {
      const __m128i d = _mm_sub_epi16(_mm_cvtepu8_epi16(load64(a + j * a_stride + i)),
                                      _mm_cvtepu8_epi16(load64(b + j * b_stride + i)));
      sum = _mm_add_epi32(sum, _mm_madd_epi16(d, d));
    }
  }
  sum = _mm_add_epi32(sum, _mm_unpackhi_epi64(sum, sum));
  return (uint32_t)(_mm_cvtsi128_si32(sum) + _mm_extract_epi32(sum, 1));
}
#endif
