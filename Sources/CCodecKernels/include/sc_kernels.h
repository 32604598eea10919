// SPDX-License-Identifier: BSD-3-Clause
//
// Kernel contracts. Private to the package: the public C interface is swiftcodec.h.
//
// A tensor row is `pixels * channels` int16, channels innermost. A tensor has an exponent q (value = integer * 2^-q)
// and a bound of `bits`: every element lies in [-2^bits, 2^bits - 1], and is not negative after a ReLU.
//
// The plain C function of every operation (suffix _c, conv_ref.c) is its specification; each variant equals it bit
// for bit on every shape. Kernels do not allocate, do not check, and see only sizes that Swift has validated.
#ifndef SC_KERNELS_H
#define SC_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "sc_entropy.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- Requantisation ------------------------------------------------------------------------------------------------
//
// acc is the exact int32 accumulator, bias included: the model loader has proved |acc| + 2^(s + k - 1) < 2^31.
//   out = clamp((acc + 2^(s-1)) >> s, lo, hi)                                  1 <= s <= 30
//   leaky ReLU of slope 2^-k, k > 0: s is replaced by s + k where acc < 0      s + k <= 31
// ReLU is lo = 0. One rounding, one shift, one saturation.

/// The result of a layer: where an accumulator's integer is shifted to, and what it saturates to.
typedef struct sc_requant {
  /// [channels rounded up to SC_LANES]; added to the accumulator first; no rounding constant inside
  const int32_t *bias;
  const int32_t *shift; ///< [channels rounded up to SC_LANES], each 1...30
  int32_t lo, hi;       ///< saturation: [-2^bits, 2^bits - 1], or [0, 2^bits - 1] after a ReLU
  int32_t leaky;        ///< k of a leaky ReLU, 0 for none
} sc_requant;

/// Arrays in sc_requant are padded with zeros (bias) and ones (shift) to a multiple of this many channels.
#define SC_LANES 32

/// Elements that may be read, with any content, past the end of every tensor row (the weights there are zero), and
/// before the start of none.
#define SC_ROW_SLACK 64

// ---- Dense convolution ---------------------------------------------------------------------------------------------
//
// One output row of a convolution, or of one phase of a stride-2 transposed convolution, as an indirect product:
//
//   acc[x][o] = bias[o] + sum over r < rows, e < run of weight[o][r][e] * row[r][x * in_step + e]
//
// With channels innermost and no gap between pixels, the taps of one kernel row are one run of kw * ci elements, so
// this one loop is every stride, kernel size and phase. Borders are in the rows: Swift fills the margins (zero or
// replicated) and passes a row of zeros or the nearest row above and below the picture.

typedef struct sc_conv {
  const int16_t *weights; ///< packed by sc_kernels.conv_pack of the same variant, 64-byte aligned
  int32_t rows;           ///< kernel rows, >= 1
  int32_t run;            ///< elements of one kernel row, >= 1
  int32_t out_channels;   ///< >= 1
  sc_requant requant;
} sc_conv;

/// row[r] points at the first element that output pixel 0 reads. Output pixel x goes to out[x * out_step ...], exactly
/// out_channels elements: nothing between or behind is written. Rows and out do not overlap.
typedef void sc_conv_fn(const sc_conv *conv, const int16_t *const *rows, ptrdiff_t in_step, int16_t *out,
                        ptrdiff_t out_step, size_t pixels);
/// Bytes that conv_pack writes (a multiple of 64).
typedef size_t sc_conv_packed_size_fn(int32_t rows, int32_t run, int32_t out_channels);
/// `weights` is [out_channels][rows][run].
typedef void sc_conv_pack_fn(int16_t *packed, const int16_t *weights, int32_t rows, int32_t run,
                             int32_t out_channels);

// ---- Depthwise convolution -----------------------------------------------------------------------------------------
//
//   acc[x][c] = bias[c] + sum over r < kh, t < kw of weight[r * kw + t][c] * row[r][x * in_step + t * channels + c]

/// Most rows and columns of a depthwise kernel.
#define SC_DEPTHWISE_SIDE 15

typedef struct sc_depthwise {
  const int16_t *weights; ///< [kh * kw][channels rounded up to SC_LANES], zero padded, 64-byte aligned
  int32_t kh, kw;         ///< 1...SC_DEPTHWISE_SIDE
  int32_t channels;
  sc_requant requant;
} sc_depthwise;

typedef void sc_depthwise_fn(const sc_depthwise *conv, const int16_t *const *rows, ptrdiff_t in_step,
                             int16_t *out, ptrdiff_t out_step, size_t pixels);

// ---- Per-channel gain ----------------------------------------------------------------------------------------------
//
//   acc[x][c] = bias[c] + gain[c] * in[x * channels + c], requantised. in == out is allowed.

typedef struct sc_gain {
  const int16_t *gain; ///< [channels rounded up to SC_LANES]
  int32_t channels;
  sc_requant requant;
} sc_gain;

typedef void sc_gain_fn(const sc_gain *gain, const int16_t *in, int16_t *out, size_t pixels);

// ---- Residual add --------------------------------------------------------------------------------------------------
//
// Aligns both to the smaller exponent: round(v, s) = s ? (v + 2^(s-1)) >> s : v, 0 <= s <= 15.
//   out[i] = clamp(round(a[i], shift_a) + round(b[i], shift_b), lo, hi). out may be a or b.

typedef void sc_add_fn(const int16_t *a, const int16_t *b, int16_t *out, size_t count, int32_t shift_a,
                       int32_t shift_b, int32_t lo, int32_t hi);

// ---- Variants and dispatch -----------------------------------------------------------------------------------------

/// Every instruction-set variant, weakest first within an architecture: SC_CPU(enumerator, name for --cpu, function suffix).
/// One list drives the declarations, the dispatch table, the tests and the benchmarks.
#if defined(__x86_64__)
#define SC_CPU_LIST(SC_CPU)                                                                                  \
  SC_CPU(SC_CPU_SCALAR, "scalar", c)                                                                         \
  SC_CPU(SC_CPU_SSE41, "sse41", sse41)                                                                       \
  SC_CPU(SC_CPU_AVX2, "avx2", avx2)                                                                          \
  SC_CPU(SC_CPU_AVX512, "avx512", avx512)                                                                    \
  SC_CPU(SC_CPU_AVX512VNNI, "avx512vnni", avx512vnni)
#elif defined(__ARM_NEON) // aarch64, and armv7 with NEON
#define SC_CPU_LIST(SC_CPU)                                                                                  \
  SC_CPU(SC_CPU_SCALAR, "scalar", c)                                                                         \
  SC_CPU(SC_CPU_NEON, "neon", neon)
#elif defined(__wasm_simd128__)
#define SC_CPU_LIST(SC_CPU)                                                                                  \
  SC_CPU(SC_CPU_SCALAR, "scalar", c)                                                                         \
  SC_CPU(SC_CPU_WASM128, "wasm128", wasm128)
#else
#define SC_CPU_LIST(SC_CPU) SC_CPU(SC_CPU_SCALAR, "scalar", c)
#endif

typedef enum sc_cpu {
#define SC_CPU(id, name, suffix) id,
  SC_CPU_LIST(SC_CPU)
#undef SC_CPU
      SC_CPU_COUNT
} sc_cpu;

/// The function table of one variant. A slot that a variant does not implement holds the next weaker variant's function.
typedef struct sc_kernels {
  const char *name;
  sc_cpu cpu;
  sc_conv_packed_size_fn *conv_packed_size;
  sc_conv_pack_fn *conv_pack;
  sc_conv_fn *conv;
  sc_depthwise_fn *depthwise;
  sc_gain_fn *gain;
  sc_add_fn *add;
  sc_decode_plane_fn *decode_plane;
  sc_encode_plane_fn *encode_plane;
  sc_context_base_fn *context_base;
  sc_mean_base_fn *mean_base;
  /// Runs the variant's int16 multiply-add in registers only, `iterations` times; returns the multiply-adds done.
  uint64_t (*peak)(uint64_t iterations);
} sc_kernels;

/// The table of a variant; NULL where this processor lacks it.
const sc_kernels *sc_kernels_get(sc_cpu cpu);
/// The strongest variant that this processor has.
const sc_kernels *sc_kernels_best(void);
/// The name of a variant, also one that this processor lacks; NULL past the end of the list.
const char *sc_cpu_name(int cpu);

// ---- CRC-32C (Castagnoli, reflected, initial and final XOR 0xFFFFFFFF) ----------------------------------------------

/// Continues `crc` (0 to start) over `size` bytes.
uint32_t sc_crc32c(uint32_t crc, const void *data, size_t size);

// ---- Threads -------------------------------------------------------------------------------------------------------

/// Calls job(context, i) once for every i < count on up to `threads` threads, the caller's included, and returns when all
/// are done. Without thread support (SC_NO_THREADS), or when a thread cannot be made, the caller does the rest. Jobs begin in
/// order: one may wait for what those before it do.
void sc_parallel(int threads, size_t count, void (*job)(void *context, size_t index), void *context);
/// Says how far a job has come: who sees the value sees what was written before.
void sc_counter_set(int32_t *counter, int32_t value);
/// Returns when the counter is `value` or more, which a job that has begun will make it.
void sc_counter_wait(const int32_t *counter, int32_t value);
/// A lock, 0 at first, that is held for a few instructions.
void sc_lock(int32_t *lock);
void sc_unlock(int32_t *lock);
/// Processors that this process may run on, >= 1.
int sc_cpu_count(void);

/// Nanoseconds of a steady clock.
uint64_t sc_clock_ns(void);
/// Nanoseconds of processor time of the calling thread; the steady clock where the system has no such clock.
uint64_t sc_thread_clock_ns(void);
/// Spends `count` (a multiple of 8) clock cycles in a chain of dependent additions; returns count.
uint64_t sc_dependent_additions(uint64_t count);

#ifdef __cplusplus
}
#endif
#endif
