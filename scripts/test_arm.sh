#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# test_arm.sh SWIFT JOBS BUILD OUT: the Embedded library for 64-bit ARM, under emulation.
set -euo pipefail
swift=$1 jobs=$2 build=$3 out=$4
header=Sources/CSwiftCodec/include/swiftcodec.h
cross=aarch64-linux-gnu-

$swift build -c release --traits Embedded --product SwiftCodec -j "$jobs" --scratch-path "$build" \
  --triple aarch64-none-none-elf --toolset "$PWD/$out/arm-toolset.json" \
  -Xswiftc -Xfrontend -Xswiftc -function-sections -Xcc -ffunction-sections
scripts/seal.sh "$build/aarch64-none-none-elf/release/libSwiftCodec.a" $header "$out/arm/libswiftcodec.a" $cross
scripts/check_symbols.sh "$out/arm/libswiftcodec.a" $header $cross
${cross}gcc -std=c11 -O2 -Wall -Wextra -Wpedantic -Werror -static -I "$(dirname $header)" -o "$out/arm/golden" \
  Tests/embedded/golden.c "$out/arm/libswiftcodec.a" -lm -lpthread
# Cortex-A72 is ARMv8.0; Cortex-A76 has the dot product.
for cpu in cortex-a72 cortex-a76; do
  echo "$cpu:"
  qemu-aarch64 -cpu $cpu "$out/arm/golden" Fixtures
done
