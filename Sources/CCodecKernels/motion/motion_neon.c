// SPDX-License-Identifier: BSD-3-Clause
#include "motion_internal.h"

#if defined(__ARM_NEON)
#include <arm_neon.h>
#include <string.h>

// Sums of the first pass for eight samples. Products and sums are modulo 2^16, and the results fit.
SC_MOTION_INLINE int16x8_t filter8(const uint8_t *in, const int8_t *taps) {
  const uint8x16_t v = vld1q_u8(in);
  const int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(v)));
  const int16x8_t high = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(v)));
  int16x8_t sum = vmulq_n_s16(low, taps[0]);
#define TAP(k) sum = vmlaq_n_s16(sum, vextq_s16(low, high, k), taps[k])
  TAP(1);
  TAP(2);
  TAP(3);
  TAP(4);
  TAP(5);
  TAP(6);
  TAP(7);
#undef TAP
  return sum;
}

void sc_motion_luma_neon(uint8_t *out, ptrdiff_t out_stride, const uint8_t *in, ptrdiff_t in_stride,
                         int32_t size, int32_t fx, int32_t fy) {
  if (!fx && !fy) {
    sc_motion_copy(out, out_stride, in, in_stride, size);
    return;
  }
  int16_t rows[23 * 16];
  for (int32_t j = 0; j < size + 7; j++) {
    for (int32_t i = 0; i < size; i += 8) {
      const uint8_t *p = in + (j - 3) * in_stride + i;
      vst1q_s16(rows + j * size + i,
                fx ? filter8(p - 3, sc_motion_taps[fx]) : vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p))));
    }
  }
  const int8_t *taps = sc_motion_taps[fy];
  for (int32_t i = 0; i < size; i += 8) {
    for (int32_t j = 0; j < size; j++) {
      const int16_t *row = rows + j * size + i;
      uint8x8_t v;
      if (!fy) {
        v = vqrshrun_n_s16(vld1q_s16(row + 3 * size), 6);
      } else if (!fx) {
        int16x8_t sum = vdupq_n_s16(0);
        for (int k = 0; k < 8; k++)
          sum = vmlaq_n_s16(sum, vld1q_s16(row + k * size), taps[k]);
        v = vqrshrun_n_s16(sum, 6);
      } else {
        int32x4_t low = vdupq_n_s32(0), high = low;
        for (int k = 0; k < 8; k++) {
          const int16x8_t r = vld1q_s16(row + k * size);
          low = vmlal_n_s16(low, vget_low_s16(r), taps[k]);
          high = vmlal_n_s16(high, vget_high_s16(r), taps[k]);
        }
        v = vqmovun_s16(vcombine_s16(vrshrn_n_s32(low, 12), vrshrn_n_s32(high, 12)));
      }
      vst1_u8(out + j * out_stride + i, v);
    }
  }
}

// Sums of a row of chroma for eight samples.
SC_MOTION_INLINE int16x8_t chroma8(const uint8_t *in, const int8_t *taps) {
  const uint8x16_t v = vld1q_u8(in);
  const int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(v)));
  const int16x8_t high = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(v)));
  int16x8_t sum = vmulq_n_s16(low, taps[0]);
  sum = vmlaq_n_s16(sum, vextq_s16(low, high, 1), taps[1]);
  sum = vmlaq_n_s16(sum, vextq_s16(low, high, 2), taps[2]);
  return vmlaq_n_s16(sum, vextq_s16(low, high, 3), taps[3]);
}

void sc_motion_chroma_neon(uint8_t *out, ptrdiff_t out_stride, const uint8_t *in, ptrdiff_t in_stride,
                           int32_t size, int32_t fx, int32_t fy) {
  if (!fx && !fy) {
    sc_motion_copy(out, out_stride, in, in_stride, size);
    return;
  }
  const int8_t *horizontal = sc_motion_chroma_taps[fx], *vertical = sc_motion_chroma_taps[fy];
  in -= in_stride + 1;
  int16x8_t a = chroma8(in, horizontal), b = chroma8(in + in_stride, horizontal),
            c = chroma8(in + 2 * in_stride, horizontal);
  in += 3 * in_stride;
  for (int32_t j = 0; j < size; j++) {
    const int16x8_t d = chroma8(in, horizontal);
    in += in_stride;
#define SUM(half)                                                                                            \
  vmlal_n_s16(vmlal_n_s16(vmlal_n_s16(vmull_n_s16(vget_##half##_s16(a), vertical[0]), vget_##half##_s16(b),  \
                                      vertical[1]),                                                          \
                          vget_##half##_s16(c), vertical[2]),                                                \
              vget_##half##_s16(d), vertical[3])
    const uint8x8_t v = vqmovun_s16(vcombine_s16(vrshrn_n_s32(SUM(low), 12), vrshrn_n_s32(SUM(high), 12)));
#undef SUM
    if (size == 8) {
      vst1_u8(out, v);
    } else {
      uint8_t part[8];
      vst1_u8(part, v);
      memcpy(out, part, 4);
    }
    out += out_stride;
    a = b, b = c, c = d;
  }
}

SC_MOTION_INLINE uint32_t total(uint16x8_t v) {
  const uint64x2_t sum = vpaddlq_u32(vpaddlq_u16(v));
  return (uint32_t)(vgetq_lane_u64(sum, 0) + vgetq_lane_u64(sum, 1));
}

uint32_t sc_motion_sad8_neon(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride) {
  uint16x8_t sum = vdupq_n_u16(0);
  for (int32_t j = 0; j < 8; j++)
    sum = vabal_u8(sum, vld1_u8(a + j * a_stride), vld1_u8(b + j * b_stride));
  return total(sum);
}

void sc_motion_sad16_neon(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride,
                          uint32_t sums[4]) {
  for (int32_t half = 0; half < 2; half++) {
    uint16x8_t left = vdupq_n_u16(0), right = left;
    for (int32_t j = 8 * half; j < 8 * half + 8; j++) {
      const uint8x16_t x = vld1q_u8(a + j * a_stride), y = vld1q_u8(b + j * b_stride);
      left = vabal_u8(left, vget_low_u8(x), vget_low_u8(y));
      right = vabal_u8(right, vget_high_u8(x), vget_high_u8(y));
    }
    sums[2 * half] = total(left);
    sums[2 * half + 1] = total(right);
  }
}

void sc_motion_sad8_row_neon(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride,
                             uint16_t sums[8]) {
  // Lane i is the sum at b + i: a sample of `a` in all lanes against eight neighbours of `b`.
  uint16x8_t sum = vdupq_n_u16(0);
  for (int32_t j = 0; j < 8; j++) {
    const uint8_t *x = a + j * a_stride;
    const uint8x16_t y = vld1q_u8(b + j * b_stride);
    const uint8x8_t low = vget_low_u8(y), high = vget_high_u8(y);
    sum = vabal_u8(sum, vdup_n_u8(x[0]), low);
#define PLACE(k) sum = vabal_u8(sum, vdup_n_u8(x[k]), vext_u8(low, high, k))
    PLACE(1);
    PLACE(2);
    PLACE(3);
    PLACE(4);
    PLACE(5);
    PLACE(6);
    PLACE(7);
#undef PLACE
  }
  vst1q_u16(sums, sum);
}

uint32_t sc_motion_squares_neon(const uint8_t *a, ptrdiff_t a_stride, const uint8_t *b, ptrdiff_t b_stride,
                                int32_t size) {
  uint32x4_t sum = vdupq_n_u32(0);
  for (int32_t j = 0; j < size; j++) {
    for (int32_t i = 0; i < size; i += 8) {
      const uint8x8_t d = vabd_u8(vld1_u8(a + j * a_stride + i), vld1_u8(b + j * b_stride + i));
      sum = vpadalq_u16(sum, vmull_u8(d, d));
    }
  }
  const uint64x2_t all = vpaddlq_u32(sum);
  return (uint32_t)(vgetq_lane_u64(all, 0) + vgetq_lane_u64(all, 1));
}
#endif
