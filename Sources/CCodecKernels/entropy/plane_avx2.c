// SPDX-License-Identifier: BSD-3-Clause
//
// Three-operand instructions and wider vectors.
#include "sc_internal.h"

#if defined(__x86_64__)
#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,bmi,bmi2")))
#include "plane_vectors.h"
#endif
