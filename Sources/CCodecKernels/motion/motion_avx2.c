// SPDX-License-Identifier: BSD-3-Clause
#include "motion_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline)) TARGET

INLINE __m128i load128(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE __m256i load256(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE __m256i two128(const void *low, const void *high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(load128(low)), load128(high), 1);
}
INLINE __m256i pair8(const int8_t *taps, int k) {
  return _mm256_set1_epi16((short)((uint8_t)taps[k] | (uint8_t)taps[k + 1] << 8));
}
INLINE __m256i pair16(const int8_t *taps, int k) {
  return _mm256_set1_epi32((int32_t)((uint16_t)taps[k] | (uint32_t)(uint16_t)taps[k + 1] << 16));
}

// A register holds a row of 16 samples, or two rows of 8; rows lie without gaps, so that the one `k` rows further is
// k * size elements away in both cases.
INLINE void luma(uint8_t *out, ptrdiff_t out_stride, const uint8_t *in, ptrdiff_t in_stride,
                 const int32_t size, int32_t fx, int32_t fy) {
  int16_t rows[24 * 16];
  const int32_t step = 16 / size;
  const int32_t start = fy ? 0 : 3, end = fy ? size + 7 : size + 3;
  // Two rows at once read one more than there is: the last is read twice instead.
#define ROW(j) (in + ((j) < end ? (j)-3 : end - 4) * in_stride)
  if (fx) {
    const int8_t *taps = sc_motion_taps[fx];
    const __m256i first = _mm256_setr_epi8(0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 0, 1, 1, 2, 2, 3,
                                           3, 4, 4, 5, 5, 6, 6, 7, 7, 8);
    const __m256i two = _mm256_set1_epi8(2), second = _mm256_add_epi8(first, two),
                  third = _mm256_add_epi8(second, two), fourth = _mm256_add_epi8(third, two);
    const __m256i t0 = pair8(taps, 0), t1 = pair8(taps, 2), t2 = pair8(taps, 4), t3 = pair8(taps, 6);
    for (int32_t j = start; j < end; j += step) {
      const __m256i v = size == 16 ? two128(ROW(j) - 3, ROW(j) + 5) : two128(ROW(j) - 3, ROW(j + 1) - 3);
      const __m256i a = _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_shuffle_epi8(v, first), t0),
                                         _mm256_maddubs_epi16(_mm256_shuffle_epi8(v, second), t1));
      const __m256i b = _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_shuffle_epi8(v, third), t2),
                                         _mm256_maddubs_epi16(_mm256_shuffle_epi8(v, fourth), t3));
      _mm256_storeu_si256((__m256i *)(rows + j * size), _mm256_add_epi16(a, b));
    }
  } else {
    for (int32_t j = start; j < end; j += step) {
      const __m128i v = size == 16 ? load128(ROW(j))
                                   : _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)ROW(j)),
                                                        _mm_loadl_epi64((const __m128i *)ROW(j + 1)));
      _mm256_storeu_si256((__m256i *)(rows + j * size), _mm256_cvtepu8_epi16(v));
    }
  }
#undef ROW
  const int8_t *taps = sc_motion_taps[fy];
  __m256i pairs[4], single[8];
  for (int k = 0; k < 8; k += 2)
    pairs[k / 2] = pair16(taps, k);
  for (int k = 0; k < 8; k++)
    single[k] = _mm256_set1_epi16(taps[k]);
  for (int32_t j = 0; j < size; j += step) {
    const int16_t *row = rows + j * size;
    __m256i sum;
    if (!fy) {
      sum = _mm256_srai_epi16(_mm256_add_epi16(load256(row + 3 * size), _mm256_set1_epi16(32)), 6);
    } else if (!fx) {
      sum = _mm256_set1_epi16(32);
      for (int k = 0; k < 8; k++)
        sum = _mm256_add_epi16(sum, _mm256_mullo_epi16(load256(row + k * size), single[k]));
      sum = _mm256_srai_epi16(sum, 6);
    } else {
      __m256i low = _mm256_set1_epi32(2048), high = low;
      for (int k = 0; k < 8; k += 2) {
        const __m256i a = load256(row + k * size), b = load256(row + (k + 1) * size);
        low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), pairs[k / 2]));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), pairs[k / 2]));
      }
      sum = _mm256_packs_epi32(_mm256_srai_epi32(low, 12), _mm256_srai_epi32(high, 12));
    }
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    if (size == 16) {
      _mm_storeu_si128((__m128i *)(out + j * out_stride), bytes);
    } else {
      _mm_storel_epi64((__m128i *)(out + j * out_stride), bytes);
      _mm_storeh_pi((__m64 *)(out + (j + 1) * out_stride), _mm_castsi128_ps(bytes));
    }
  }
}

TARGET void sc_motion_luma_avx2(uint8_t *out, ptrdiff_t out_stride, const uint8_t *in, ptrdiff_t in_stride,
                                int32_t size, int32_t fx, int32_t fy) {
  if (!fx && !fy) {
    sc_motion_copy(out, out_stride, in, in_stride, size);
  } else if (size == 16) {
    luma(out, out_stride, in, in_stride, 16, fx, fy);
  } else {
    luma(out, out_stride, in, in_stride, 8, fx, fy);
  }
}

TARGET void sc_motion_sad16_avx2(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride,
                                 uint32_t sums[4]) {
  // Upper half of the block in the lower half of the register.
  __m256i even = _mm256_setzero_si256(), odd = even;
  for (int32_t j = 0; j < 8; j += 2) {
    even = _mm256_add_epi32(even, _mm256_sad_epu8(two128(a + j * a_stride, a + (j + 8) * a_stride),
                                                  two128(b + j * b_stride, b + (j + 8) * b_stride)));
    odd = _mm256_add_epi32(odd, _mm256_sad_epu8(two128(a + (j + 1) * a_stride, a + (j + 9) * a_stride),
                                                two128(b + (j + 1) * b_stride, b + (j + 9) * b_stride)));
  }
  const __m256i sum = _mm256_add_epi32(even, odd);
  // The sums are the low words of four 64-bit elements.
  const __m256i packed = _mm256_permutevar8x32_epi32(sum, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
  _mm_storeu_si128((__m128i *)sums, _mm256_castsi256_si128(packed));
}

TARGET uint32_t sc_motion_squares_avx2(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b,
                                       ptrdiff_t b_stride, int32_t size) {
  __m256i sum = _mm256_setzero_si256();
  const int32_t step = 16 / size;
#define ROW(p, stride)                                                                                       \
  (size == 16 ? load128((p) + j * (stride))                                                                  \
              : _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)((p) + j * (stride))),                   \
                                   _mm_loadl_epi64((const __m128i *)((p) + (j + 1) * (stride)))))
  for (int32_t j = 0; j < size; j += step) {
    const __m256i d =
        _mm256_sub_epi16(_mm256_cvtepu8_epi16(ROW(a, a_stride)), _mm256_cvtepu8_epi16(ROW(b, b_stride)));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(d, d));
  }
#undef ROW
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  half = _mm_add_epi32(half, _mm_unpackhi_epi64(half, half));
  return (uint32_t)(_mm_cvtsi128_si32(half) + _mm_extract_epi32(half, 1));
}
#endif
