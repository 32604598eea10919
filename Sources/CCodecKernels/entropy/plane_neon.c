// SPDX-License-Identifier: BSD-3-Clause
#include "sc_internal.h"

#if defined(__ARM_NEON)
#define NAME(x) x##_neon
#define TARGET
#include "plane_vectors.h"
#endif
