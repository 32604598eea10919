// SPDX-License-Identifier: BSD-3-Clause
//
// The function tables, weakest variant first, and the test for what this processor has.
#include "sc_internal.h"

// SSE4.1 has no lane-wise shifts: these three stay plain C on processors this old.
#define sc_depthwise_sse41 sc_depthwise_c
#define sc_gain_sse41 sc_gain_c
#define sc_add_sse41 sc_add_c

#define SC_TABLE(id, text, suffix)                                                                           \
  [id] = {.name = text,                                                                                      \
          .cpu = id,                                                                                         \
          .conv_packed_size = sc_conv_packed_size_##suffix,                                                  \
          .conv_pack = sc_conv_pack_##suffix,                                                                \
          .conv = sc_conv_##suffix,                                                                          \
          .depthwise = sc_depthwise_##suffix,                                                                \
          .gain = sc_gain_##suffix,                                                                          \
          .add = sc_add_##suffix,                                                                            \
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
    return __builtin_cpu_supports("avx2");
#if defined(SC_SIMDE) // emulated, for tests
  case SC_CPU_AVX512:
  case SC_CPU_AVX512VNNI:
    return 1;
#else
  case SC_CPU_AVX512:
    return __builtin_cpu_supports("avx512bw");
  case SC_CPU_AVX512VNNI:
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
#endif
  default:
    return 0;
#elif defined(__aarch64__)
  case SC_CPU_NEON:
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
