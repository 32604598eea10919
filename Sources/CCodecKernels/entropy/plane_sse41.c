// SPDX-License-Identifier: BSD-3-Clause
#include "sc_internal.h"

#if defined(__x86_64__)
#define NAME(x) x##_sse41
#define TARGET __attribute__((target("sse4.1")))
#include "plane_vectors.h"
#endif
