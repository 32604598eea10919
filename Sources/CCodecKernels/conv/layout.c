// SPDX-License-Identifier: BSD-3-Clause
#include "sc_layout.h"

#include <string.h>

static inline int32_t clamp(int32_t v, int32_t lo, int32_t hi) { return v < lo ? lo : v > hi ? hi : v; }

// Vectors of the compiler's own, which become SSE2 or NEON; without them the plain loops do all the work.
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector) && __has_builtin(__builtin_convertvector)
#define VECTORS 1
#endif
#endif

#ifdef VECTORS
typedef int16_t v8 __attribute__((vector_size(16)));
typedef uint8_t bytes __attribute__((vector_size(8)));

static inline v8 load(const int16_t *p) {
  v8 v;
  memcpy(&v, p, sizeof v);
  return v;
}

static inline void store(int16_t *p, v8 v) { memcpy(p, &v, sizeof v); }

static inline v8 splat(int16_t v) { return (v8){v, v, v, v, v, v, v, v}; }

#define LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)

// r[j][i] = in[i * step + j]: three times the perfect shuffle of rows i and i + 4.
static inline void transpose_8x8(const int16_t *in, size_t step, v8 r[8]) {
  v8 t[8];
  for (int i = 0; i < 4; i++) {
    const v8 a = load(in + (size_t)i * step), b = load(in + (size_t)(i + 4) * step);
    t[2 * i] = LOW(a, b);
    t[2 * i + 1] = HIGH(a, b);
  }
  for (int i = 0; i < 4; i++) {
    r[2 * i] = LOW(t[i], t[i + 4]);
    r[2 * i + 1] = HIGH(t[i], t[i + 4]);
  }
  for (int i = 0; i < 4; i++) {
    t[2 * i] = LOW(r[i], r[i + 4]);
    t[2 * i + 1] = HIGH(r[i], r[i + 4]);
  }
  for (int i = 0; i < 8; i++)
    r[i] = t[i];
}
#endif

// out[j * out_step + i] = in[i * in_step + j]. `by_columns` walks down the columns of `in`, otherwise along its
// rows: along planes, whose rows may lie whole multiples of a cache's way apart.
static inline void transpose(const int16_t *in, size_t in_step, int16_t *out, size_t out_step, size_t rows,
                             size_t columns, int by_columns) {
  size_t whole_rows = 0, whole_columns = 0;
#ifdef VECTORS
  whole_rows = rows / 8 * 8;
  whole_columns = columns / 8 * 8;
  const size_t outer = by_columns ? whole_columns : whole_rows,
               inner = by_columns ? whole_rows : whole_columns;
  for (size_t o = 0; o < outer; o += 8)
    for (size_t n = 0; n < inner; n += 8) {
      const size_t i = by_columns ? n : o, j = by_columns ? o : n;
      v8 r[8];
      transpose_8x8(in + i * in_step + j, in_step, r);
      for (size_t k = 0; k < 8; k++)
        store(out + (j + k) * out_step + i, r[k]);
    }
#endif
  for (size_t i = 0; i < rows; i++)
    for (size_t j = i < whole_rows ? whole_columns : 0; j < columns; j++)
      out[j * out_step + i] = in[i * in_step + j];
}

void sc_copy_channels(const int16_t *in, ptrdiff_t in_step, int16_t *out, ptrdiff_t out_step,
                      int32_t channels, size_t pixels, int32_t shift, int32_t lo, int32_t hi) {
  const int32_t half = shift ? 1 << (shift - 1) : 0;
  for (size_t x = 0; x < pixels; x++, in += in_step, out += out_step) {
    int32_t c = 0;
#ifdef VECTORS
    const v8 low = splat((int16_t)lo), high = splat((int16_t)hi);
    const int16_t whole = (int16_t)shift, last = (int16_t)(shift ? shift - 1 : 0), one = shift != 0;
    for (; c + 8 <= channels; c += 8) {
      // (v + half) >> shift, without a carry out of 16 bits
      v8 v = load(in + c);
      v = (v >> whole) + ((v >> last) & one);
      v = (v & (v > low)) | (low & (v <= low));
      store(out + c, (v & (v < high)) | (high & (v >= high)));
    }
#endif
    for (; c < channels; c++)
      out[c] = (int16_t)clamp((in[c] + half) >> shift, lo, hi);
  }
}

void sc_pixel_shuffle(const int16_t *in, int16_t *out, int32_t channels, int32_t factor, int32_t i,
                      size_t pixels) {
  const int32_t square = factor * factor;
#ifdef VECTORS
  // The picture from eighths of its height and width.
  if (channels == 3 && factor == 8) {
    for (size_t x = 0; x < pixels; x++, in += 192, out += 24) {
      const v8 a = load(in + 8 * i), b = load(in + 64 + 8 * i), c = load(in + 128 + 8 * i);
      const v8 ab = LOW(a, b), cd = HIGH(a, b);
      store(out, __builtin_shufflevector(ab, c, 0, 1, 8, 2, 3, 9, 4, 5));
      const v8 middle = __builtin_shufflevector(ab, cd, 6, 7, 8, 9, 10, 11, 12, 13);
      store(out + 8, __builtin_shufflevector(middle, c, 10, 0, 1, 11, 2, 3, 12, 4));
      store(out + 16, __builtin_shufflevector(cd, c, 3, 13, 4, 5, 14, 6, 7, 15));
    }
    return;
  }
  // Luma and chroma from the same eighths.
  if (channels == 1 && factor == 8) {
    for (size_t x = 0; x < pixels; x++, in += 64, out += 8)
      store(out, load(in + 8 * i));
    return;
  }
  if (channels == 2 && factor == 4) {
    for (size_t x = 0; x < pixels; x++, in += 32, out += 8) {
      int16_t u[8], v[8];
      memcpy(u, in + 4 * i, 8);
      memcpy(v, in + 16 + 4 * i, 8);
      for (int32_t j = 0; j < 4; j++) {
        out[2 * j] = u[j];
        out[2 * j + 1] = v[j];
      }
    }
    return;
  }
#endif
  for (size_t x = 0; x < pixels; x++, in += channels * square)
    for (int32_t j = 0; j < factor; j++, out += channels)
      for (int32_t c = 0; c < channels; c++)
        out[c] = in[c * square + i * factor + j];
}

void sc_pixel_unshuffle(const int16_t *in, int16_t *out, int32_t channels, int32_t factor, int32_t i,
                        size_t pixels) {
  const int32_t square = factor * factor;
#ifdef VECTORS
  if (channels == 3 && factor == 8) {
    for (size_t x = 0; x < pixels; x++, in += 24, out += 192) {
      const v8 p = load(in), q = load(in + 8), r = load(in + 16);
      const v8 a = __builtin_shufflevector(p, q, 0, 3, 6, 9, 12, 15, -1, -1);
      const v8 b = __builtin_shufflevector(p, q, 1, 4, 7, 10, 13, -1, -1, -1);
      const v8 c = __builtin_shufflevector(p, q, 2, 5, 8, 11, 14, -1, -1, -1);
      store(out + 8 * i, __builtin_shufflevector(a, r, 0, 1, 2, 3, 4, 5, 10, 13));
      store(out + 64 + 8 * i, __builtin_shufflevector(b, r, 0, 1, 2, 3, 4, 8, 11, 14));
      store(out + 128 + 8 * i, __builtin_shufflevector(c, r, 0, 1, 2, 3, 4, 9, 12, 15));
    }
    return;
  }
  if (channels == 1 && factor == 8) {
    for (size_t x = 0; x < pixels; x++, in += 8, out += 64)
      store(out + 8 * i, load(in));
    return;
  }
  if (channels == 2 && factor == 4) {
    for (size_t x = 0; x < pixels; x++, in += 8, out += 32)
      for (int32_t j = 0; j < 4; j++) {
        out[4 * i + j] = in[2 * j];
        out[16 + 4 * i + j] = in[2 * j + 1];
      }
    return;
  }
#endif
  for (size_t x = 0; x < pixels; x++, out += channels * square)
    for (int32_t j = 0; j < factor; j++, in += channels)
      for (int32_t c = 0; c < channels; c++)
        out[c * square + i * factor + j] = in[c];
}

void sc_samples_to_row(const uint8_t *in, int32_t channels, size_t width, int16_t *out, size_t padded_width) {
  if (channels == 3) {
    for (size_t i = 0; i < 3 * width; i++)
      out[i] = (int16_t)(2 * in[i] - 255);
  } else {
    for (size_t x = 0; x < width; x++)
      out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = (int16_t)(2 * in[x] - 255);
  }
  for (size_t i = 3 * width; i < 3 * padded_width; i++)
    out[i] = out[i - 3];
}

void sc_row_to_samples(const int16_t *in, int32_t q, uint8_t *out, int32_t channels, size_t width) {
  if (channels == 3) {
    for (size_t i = 0; i < 3 * width; i++)
      out[i] = (uint8_t)clamp(128 + (in[i] >> q), 0, 255);
  } else {
    for (size_t x = 0; x < width; x++) {
      const int32_t r = clamp(128 + (in[3 * x] >> q), 0, 255), g = clamp(128 + (in[3 * x + 1] >> q), 0, 255),
                    b = clamp(128 + (in[3 * x + 2] >> q), 0, 255);
      out[x] = (uint8_t)((77 * r + 150 * g + 29 * b + 128) >> 8);
    }
  }
}

void sc_planes_to_row(const int16_t *planes, size_t plane_size, int16_t *out, int32_t channels,
                      size_t width) {
  transpose(planes, plane_size, out, (size_t)channels, (size_t)channels, width, 0);
}

void sc_row_to_planes(const int16_t *in, int16_t *planes, size_t plane_size, int32_t channels, size_t width) {
  transpose(in, (size_t)channels, planes, plane_size, width, (size_t)channels, 1);
}

void sc_row_to_parameters(const int16_t *in, int16_t *means, uint8_t *scales, size_t plane_size,
                          int32_t channels, size_t width) {
  const size_t m = (size_t)channels;
  transpose(in, 2 * m, means, plane_size, width, m, 1);
  in += m;
  size_t whole_width = 0, whole_m = 0;
#ifdef VECTORS
  whole_width = width / 8 * 8;
  whole_m = m / 8 * 8;
  for (size_t c = 0; c < whole_m; c += 8)
    for (size_t x = 0; x < whole_width; x += 8) {
      v8 r[8];
      transpose_8x8(in + 2 * m * x + c, 2 * m, r);
      for (size_t k = 0; k < 8; k++) {
        const v8 v = r[k] & (r[k] > 0);
        const bytes narrow = __builtin_convertvector((v & (v < 255)) | (255 & (v >= 255)), bytes);
        memcpy(scales + (c + k) * plane_size + x, &narrow, sizeof narrow);
      }
    }
#endif
  for (size_t x = 0; x < width; x++)
    for (size_t c = x < whole_width ? whole_m : 0; c < m; c++)
      scales[c * plane_size + x] = (uint8_t)clamp(in[2 * m * x + c], 0, 255);
}

void sc_quantise(const int16_t *y, const int16_t *means, int16_t *v, size_t count, int32_t q) {
  const int32_t half = q ? 1 << (q - 1) : 0;
  for (size_t i = 0; i < count; i++)
    v[i] = (int16_t)clamp((y[i] - means[i] + half) >> q, -32768, 32767);
}

void sc_dequantise(const int16_t *v, const int16_t *means, int16_t *y, size_t count, int32_t q) {
  for (size_t i = 0; i < count; i++)
    y[i] = (int16_t)clamp(v[i] * (1 << q) + means[i], -32768, 32767);
}

uint64_t sc_magnitude_sum(const void *in, size_t count) {
  const uint8_t *p = in;
  uint64_t sum = 0;
  while (count) {
    // So many of at most 2^15 fit 32 bits, which go several at a time.
    const size_t part = count < 65536 ? count : 65536;
    uint32_t low = 0;
    for (size_t i = 0; i < part; i++) {
      const int16_t v = (int16_t)(uint16_t)(p[2 * i] | p[2 * i + 1] << 8);
      low += (uint32_t)(v < 0 ? -(int32_t)v : v);
    }
    sum += low;
    p += 2 * part;
    count -= part;
  }
  return sum;
}
