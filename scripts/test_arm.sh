#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# test_arm.sh aarch64|armv7 SWIFT JOBS BUILD OUT: the Embedded library for 64- or 32-bit ARM, sealed and shared, in OUT; the
# golden files through it under emulation, and the C kernels against their reference.
set -euo pipefail
arch=$1 swift=$2 jobs=$3 build=$4 out=$5
include=Sources/CSwiftCodec/include
case $arch in
  aarch64)
    triple=aarch64-none-none-elf cross=aarch64-linux-gnu- target=aarch64-linux-gnu emulator=qemu-aarch64
    c_flags=() swift_flags=()
    cpus=(cortex-a72 cortex-a76) # ARMv8.0, and with the dot product
    ;;
  armv7)
    # Debian's compiler for armhf has no NEON by default, and would leave it out without a word.
    triple=armv7-none-none-eabi cross=arm-linux-gnueabihf- target=arm-linux-gnueabihf emulator=qemu-arm
    c_flags=(-march=armv7-a -mfpu=neon-vfpv4 -mfloat-abi=hard) swift_flags=(-Xcc -mfloat-abi=hard -Xcc -mfpu=neon)
    cpus=(cortex-a7 cortex-a15)
    ;;
  *)
    echo "test_arm.sh: $arch is neither aarch64 nor armv7" >&2
    exit 64
    ;;
esac
mkdir -p "$out"
words() { # as elements of a JSON array
  local separator=
  for word; do printf '%s"%s"' "$separator" "$word" && separator=', '; done
}
cat > "$out/toolset.json" <<END
{
  "schemaVersion": "1.0",
  "rootPath": "$(dirname "$(readlink -f "$(command -v "$swift")")")",
  "swiftCompiler": { "extraCLIOptions": [$(words -Xcc -fPIC -Xcc -isystem -Xcc "/usr/${cross%-}/include" "${swift_flags[@]}")] },
  "cCompiler": { "extraCLIOptions": [$(words "--target=$target" --gcc-toolchain=/usr -fPIC "${c_flags[@]}")] },
  "linker": { "path": "ld.lld", "extraCLIOptions": [] }
}
END
# It would keep the objects of sources that are gone.
rm -f "$build/$triple/release/libSwiftCodec.a"
$swift build -c release --traits Embedded --product SwiftCodec -j "$jobs" --scratch-path "$build" --triple $triple \
  --toolset "$PWD/$out/toolset.json" -Xswiftc -Xfrontend -Xswiftc -function-sections -Xcc -ffunction-sections
scripts/libraries.sh "$build/$triple/release/libSwiftCodec.a" "$out" $cross
${cross}gcc -std=c11 -O2 -Wall -Wextra -Wpedantic -Werror "${c_flags[@]}" -static -I $include -o "$out/golden" \
  Tests/embedded/golden.c "$out/libswiftcodec.a" -lm -lpthread
for cpu in "${cpus[@]}"; do
  echo "$cpu:"
  $emulator -cpu "$cpu" "$out/golden" Fixtures
done
