// SPDX-License-Identifier: BSD-3-Clause
//
// The function tables, weakest variant first, and the test for what this processor has.
#include "sc_internal.h"

// SSE4.1 has no lane-wise shifts: these three stay plain C on processors this old.
#define sc_depthwise_sse41 sc_depthwise_c
#define sc_gain_sse41 sc_gain_c
#define sc_add_sse41 sc_add_c

// Coding planes: what is new in AVX-512 VNNI is of no use there. SIMDe emulates the convolutions only.
#define sc_decode_plane_avx512vnni sc_decode_plane_avx512
#define sc_encode_plane_avx512vnni sc_encode_plane_avx512
#if defined(SC_SIMDE)
#define sc_decode_plane_avx512 sc_decode_plane_avx2
#define sc_encode_plane_avx512 sc_encode_plane_avx2
#endif

// Sums over sources: the compiler makes vectors of 128 bits of the plain loops.
#define sc_context_base_sse41 sc_context_base_c
#define sc_context_base_avx512 sc_context_base_avx2
#define sc_context_base_avx512vnni sc_context_base_avx2
#define sc_context_base_neon sc_context_base_c
#define sc_context_base_wasm128 sc_context_base_c
#define sc_mean_base_sse41 sc_mean_base_c
#define sc_mean_base_avx512 sc_mean_base_avx2
#define sc_mean_base_avx512vnni sc_mean_base_avx2
#define sc_mean_base_neon sc_mean_base_c
#define sc_mean_base_wasm128 sc_mean_base_c

#define SC_TABLE(id, text, suffix)                                                                           \
  [id] = {.name = text,                                                                                      \
          .cpu = id,                                                                                         \
          .conv_packed_size = sc_conv_packed_size_##suffix,                                                  \
          .conv_pack = sc_conv_pack_##suffix,                                                                \
          .conv = sc_conv_##suffix,                                                                          \
          .depthwise = sc_depthwise_##suffix,                                                                \
          .gain = sc_gain_##suffix,                                                                          \
          .add = sc_add_##suffix,                                                                            \
          .decode_plane = sc_decode_plane_##suffix,                                                          \
          .encode_plane = sc_encode_plane_##suffix,                                                          \
          .context_base = sc_context_base_##suffix,                                                          \
          .mean_base = sc_mean_base_##suffix,                                                                \
          .peak = sc_peak_##suffix},
static const sc_kernels tables[SC_CPU_COUNT] = {SC_CPU_LIST(SC_TABLE)};
#undef SC_TABLE

static int has(sc_cpu cpu) {
  switch (cpu) {
  case SC_CPU_SCALAR:
    return 1;
#if defined(__x86_64__)
  case SC_CPU_SSE41:
    return __builtin_cpu_supports("sse4.1");
  case SC_CPU_AVX2:
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#if defined(SC_SIMDE) // emulated, for tests
  case SC_CPU_AVX512:
  case SC_CPU_AVX512VNNI:
    return 1;
#else
  case SC_CPU_AVX512:
    return has(SC_CPU_AVX2) && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  case SC_CPU_AVX512VNNI:
    return has(SC_CPU_AVX512) && __builtin_cpu_supports("avx512vnni");
#endif
  default:
    return 0;
#elif defined(__ARM_NEON)
  case SC_CPU_NEON:
    return 1;
  default:
    return 0;
#elif defined(__wasm_simd128__)
  case SC_CPU_WASM128:
    return 1;
  default:
    return 0;
#else
  default:
    return 0;
#endif
  }
}

const sc_kernels *sc_kernels_get(sc_cpu cpu) {
  return (int)cpu >= 0 && cpu < SC_CPU_COUNT && has(cpu) ? &tables[cpu] : NULL;
}

const sc_kernels *sc_kernels_best(void) {
  for (int cpu = SC_CPU_COUNT - 1; cpu > 0; cpu--) {
    if (has((sc_cpu)cpu)) {
      return &tables[cpu];
    }
  }
  return &tables[SC_CPU_SCALAR];
}

const char *sc_cpu_name(int cpu) { return cpu >= 0 && cpu < SC_CPU_COUNT ? tables[cpu].name : NULL; }
