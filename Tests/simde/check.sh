#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Checks the AVX-512 kernels on a processor without AVX-512, through SIMDe's emulation (apt install libsimde-dev).
# Environment: CC, BUILD. Arguments go to check_kernels.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-.build/simde}
mkdir -p "$build"
kernels=Sources/CCodecKernels
# shellcheck disable=SC2086
${CC:-cc} -std=gnu17 -O1 -Wall -Wextra -Wno-psabi -mavx2 -DSC_SIMDE -ITests/simde -I$kernels/include -I$kernels/platform -I$kernels/conv -I$kernels/entropy -o "$build/check_kernels" \
  Tests/kernels/check_kernels.c Tests/kernels/check_entropy.c $kernels/conv/*.c $kernels/entropy/*.c $kernels/platform/dispatch.c $kernels/platform/parallel.c \
  $kernels/platform/crc32c.c -lpthread
"$build/check_kernels" "$@"
