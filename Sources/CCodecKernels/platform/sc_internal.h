// SPDX-License-Identifier: BSD-3-Clause
//
// What the kernel files share: the declarations of every variant and the scalar requantisation.
#ifndef SC_INTERNAL_H
#define SC_INTERNAL_H

#include "sc_kernels.h"

#define SC_DECLARE(id, name, suffix)                                                                         \
  sc_conv_packed_size_fn sc_conv_packed_size_##suffix;                                                       \
  sc_conv_pack_fn sc_conv_pack_##suffix;                                                                     \
  sc_conv_fn sc_conv_##suffix;                                                                               \
  sc_depthwise_fn sc_depthwise_##suffix;                                                                     \
  sc_gain_fn sc_gain_##suffix;                                                                               \
  sc_add_fn sc_add_##suffix;                                                                                 \
  sc_decode_plane_fn sc_decode_plane_##suffix;                                                               \
  sc_encode_plane_fn sc_encode_plane_##suffix;                                                               \
  sc_context_base_fn sc_context_base_##suffix;                                                               \
  sc_mean_base_fn sc_mean_base_##suffix;                                                                     \
  uint64_t sc_peak_##suffix(uint64_t iterations);
SC_CPU_LIST(SC_DECLARE)
#undef SC_DECLARE

/// Makes the compiler forget what it knows about a vector register.
#if defined(SC_SIMDE)
#define SC_OPAQUE(v) ((void)0) // its vectors are structs
#elif defined(__x86_64__)
#define SC_OPAQUE(v) __asm__ volatile("" : "+v"(v))
#elif defined(__ARM_NEON)
#define SC_OPAQUE(v) __asm__ volatile("" : "+w"(v))
#elif defined(__wasm__)
#define SC_OPAQUE(v) __asm__ volatile("" : "+r"(v))
#endif

/// The same for a pointer.
#define SC_OPAQUE_POINTER(p) __asm__ volatile("" : "+r"(p))

static inline int32_t sc_round_up(int32_t n, int32_t to) { return (n + to - 1) / to * to; }

static inline int32_t sc_clamp(int32_t v, int32_t lo, int32_t hi) { return v < lo ? lo : v > hi ? hi : v; }

static inline int16_t sc_requantise(const sc_requant *q, int32_t channel, int32_t acc) {
  int32_t s = q->shift[channel] + (acc < 0 ? q->leaky : 0);
  return (int16_t)sc_clamp((acc + (INT32_C(1) << (s - 1))) >> s, q->lo, q->hi);
}

#endif
