// SPDX-License-Identifier: BSD-3-Clause
//
// Twice as many registers.
#include "sc_internal.h"

#if defined(__x86_64__) && !defined(SC_SIMDE)
#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx2,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl")))
#include "plane_vectors.h"
#endif
