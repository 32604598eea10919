// SPDX-License-Identifier: BSD-3-Clause
#include "sc_internal.h"

#if defined(__wasm_simd128__)
#define NAME(x) x##_wasm128
#define TARGET
#include "plane_vectors.h"
#endif
