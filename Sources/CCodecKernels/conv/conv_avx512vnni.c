// SPDX-License-Identifier: BSD-3-Clause
#define SC_VNNI 1
#include "conv_avx512.c"
